"""What a reader of `events` believes, and where it stops."""

import msgspec
import pytest

from engine.ids import WorkflowId
from streams.errors import LogCorrupt
from streams.partition.chain import Chain, ChainPosition
from streams.ports import LogRecord
from streams.records import (
    CHAIN_START,
    DecisionPart,
    DecisionRecord,
    OwnerClaimed,
    chain_hash,
    encode,
)


class Writer:
    """Writes a partition as its owners do, record by record."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.hash = CHAIN_START
        self.sequence = 0
        self.epoch = -1

    def claim(self, *, partitions: int = 1) -> None:
        """Append a claim and write under it from here on."""
        value = encode(OwnerClaimed(owner="node", url="", at_ms=0, partitions=partitions))
        self.epoch = len(self.records)
        self.append(value)
        self.hash = chain_hash(self.hash, value)

    def decision(self, **fields: object) -> bytes:
        """Return the next decision, and count it as written."""
        self.sequence += 1
        record = DecisionRecord(
            workflow_id=WorkflowId("wf"),
            cause="test",
            at_ms=self.sequence,
            epoch=self.epoch,
            sequence=self.sequence,
            previous=self.hash,
        )
        value = encode(msgspec.structs.replace(record, **fields))
        self.hash = chain_hash(self.hash, value)
        return value

    def append(self, value: bytes | None) -> None:
        """Append whatever it is."""
        offset = len(self.records)
        self.records.append(
            LogRecord(topic="events", partition=0, offset=offset, key=None, value=value, appended_at_ms=0)
        )

    def stale(self, *, epoch: int) -> None:
        """Append what an owner that lost the partition still writes: another line of the chain."""
        record = DecisionRecord(
            workflow_id=WorkflowId("wf"), cause="stale", at_ms=9, epoch=epoch, sequence=99, previous="elsewhere"
        )
        self.append(encode(record))

    def parts(self, value: bytes, count: int) -> list[bytes]:
        """Return a decision in so many parts."""
        text = value.decode()
        size = -(-len(text) // count)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        return [
            encode(DecisionPart(epoch=self.epoch, part=number, parts=count, text=piece))
            for number, piece in enumerate(pieces, start=1)
        ]


@pytest.fixture
def writer() -> Writer:
    """A partition that has been claimed, and has one decision."""
    made = Writer()
    made.claim()
    made.append(made.decision(command_offset=0))
    return made


def read_all(records: list[LogRecord], chain: Chain | None = None) -> list[int]:
    """Return the numbers of the decisions that a reader believes."""
    chain = Chain(0) if chain is None else chain
    found = [chain.read(record) for record in records]
    return [entry.sequence for entry in found if isinstance(entry, DecisionRecord)]


def test_decisions_of_the_newest_claim_are_believed_in_order(writer: Writer) -> None:
    """What one owner wrote after another is one log."""
    writer.append(writer.decision(command_offset=1))
    writer.claim()
    writer.append(writer.decision(command_offset=2))
    chain = Chain(0)
    assert read_all(writer.records, chain) == [1, 2, 3]
    assert chain.position == ChainPosition(
        next_offset=5,
        epoch=3,
        sequence=3,
        hash=writer.hash,
        command_offset=2,
        partitions=1,
        owner="node",
        at_ms=3,
    )


def test_records_of_an_owner_that_lost_the_partition_are_dropped(writer: Writer) -> None:
    """Whatever an older epoch says after a newer claim adds nothing, decision or part."""
    writer.claim()
    writer.stale(epoch=0)
    writer.append(encode(DecisionPart(epoch=0, part=2, parts=3, text="…")))
    writer.append(writer.decision())
    writer.stale(epoch=0)
    assert read_all(writer.records) == [1, 2]


def test_an_epoch_whose_claim_is_not_in_the_log_is_corrupt(writer: Writer) -> None:
    """A record of an owner that never claimed here means that its claim was lost: nothing may be skipped silently."""
    writer.stale(epoch=7)
    with pytest.raises(LogCorrupt, match="offset 2"):
        read_all(writer.records)


def test_a_gap_in_the_sequence_is_corrupt_at_its_offset(writer: Writer) -> None:
    """A decision that is missing is noticed at the next one."""
    writer.decision()
    writer.append(writer.decision())
    with pytest.raises(LogCorrupt, match="offset 2: sequence 2 was expected, found 3"):
        read_all(writer.records)


def test_a_changed_byte_is_corrupt_at_the_next_record(writer: Writer) -> None:
    """Whoever alters a record breaks the hash that its successor names."""
    writer.append(writer.decision())
    altered = msgspec.structs.replace(
        writer.records[1], value=(writer.records[1].value or b"").replace(b"test", b"text")
    )
    with pytest.raises(LogCorrupt, match="offset 2: it follows"):
        read_all([writer.records[0], altered, writer.records[2]])


def test_an_exchanged_claim_is_corrupt_at_the_next_record(writer: Writer) -> None:
    """Claims are bound into the chain as well."""
    other = OwnerClaimed(owner="somebody else", url="", at_ms=0, partitions=1)
    altered = msgspec.structs.replace(writer.records[0], value=encode(other))
    with pytest.raises(LogCorrupt, match="offset 1"):
        read_all([altered, writer.records[1]])


@pytest.mark.parametrize("value", [b"", None, b"{", b'{"record":"unknown"}', b"\xff", b'{"record":"decision"}'])
def test_a_record_that_is_not_ours_is_corrupt(writer: Writer, value: bytes | None) -> None:
    """The topic has one writer: anything that cannot be read halts the partition, with its offset."""
    writer.append(value)
    with pytest.raises(LogCorrupt, match="partition 0, offset 2"):
        read_all(writer.records)


def test_a_command_that_was_decided_before_is_corrupt(writer: Writer) -> None:
    """One command has one decision in the believed log."""
    writer.append(writer.decision(command_offset=0))
    with pytest.raises(LogCorrupt, match="command 0 was decided before"):
        read_all(writer.records)


def test_another_partition_count_is_corrupt(writer: Writer) -> None:
    """The count by which ids were hashed to partitions can never change."""
    writer.claim(partitions=2)
    with pytest.raises(LogCorrupt, match="written for 2 partitions, not 1"):
        read_all(writer.records)


def test_parts_make_one_decision_with_the_last_of_them(writer: Writer) -> None:
    """Nothing is believed before the last part, then the whole."""
    value = writer.decision(request_id="🎬" * 40)
    chain = Chain(0)
    read_all(writer.records, chain)
    for part in writer.parts(value, 3):
        writer.append(part)
    found = [chain.read(record) for record in writer.records[2:]]
    assert found[:2] == [None, None]
    assert isinstance(found[2], DecisionRecord)
    assert found[2].request_id == "🎬" * 40
    assert chain.position.hash == writer.hash


def test_parts_without_their_last_are_void_after_the_next_claim(writer: Writer) -> None:
    """A torn decision never happened: the next owner decides the command anew."""
    hash_before, sequence_before = writer.hash, writer.sequence
    for part in writer.parts(writer.decision(command_offset=1), 3)[:2]:
        writer.append(part)
    writer.hash, writer.sequence = hash_before, sequence_before
    writer.claim()
    writer.append(writer.decision(command_offset=1))
    assert read_all(writer.records) == [1, 2]


def test_a_part_that_is_missing_in_the_middle_is_corrupt(writer: Writer) -> None:
    """Within one epoch parts follow each other without a gap."""
    first, _, third = writer.parts(writer.decision(), 3)
    writer.append(first)
    writer.append(third)
    with pytest.raises(LogCorrupt, match="part 2 was expected, found part 3"):
        read_all(writer.records)


def test_a_decision_amid_the_parts_of_another_is_corrupt(writer: Writer) -> None:
    """An owner never begins a decision before it has written the one before it."""
    writer.append(writer.parts(writer.decision(), 3)[0])
    writer.append(writer.decision())
    with pytest.raises(LogCorrupt, match="part 2 of a decision was expected"):
        read_all(writer.records)


def test_parts_that_do_not_make_a_decision_are_corrupt(writer: Writer) -> None:
    """The joined text must be one of our records."""
    writer.append(encode(DecisionPart(epoch=0, part=1, parts=1, text="{}")))
    with pytest.raises(LogCorrupt, match="joined parts cannot be read"):
        read_all(writer.records)


def test_a_reader_goes_on_where_an_earlier_one_stood(writer: Writer) -> None:
    """A position is enough to go on, and to notice that the log before it has changed."""
    chain = Chain(0)
    read_all(writer.records, chain)
    writer.append(writer.decision())
    assert read_all(writer.records[2:], Chain(0, chain.position)) == [2]
    elsewhere = msgspec.structs.replace(chain.position, hash="0" * 16)
    with pytest.raises(LogCorrupt, match="offset 2"):
        read_all(writer.records[2:], Chain(0, elsewhere))


def test_effects_sent_is_the_highest_that_a_believed_record_names(writer: Writer) -> None:
    """It never goes back, and a record that is not believed says nothing about it."""
    writer.append(writer.decision(effects_sent=1))
    writer.append(writer.decision(effects_sent=0))
    writer.claim()
    writer.stale(epoch=0)
    chain = Chain(0)
    read_all(writer.records, chain)
    assert chain.effects_sent == 1
