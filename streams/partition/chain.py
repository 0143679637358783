"""Reading `events`: what of a partition's log is to be believed.

Holds the one reading rule that owners, projectors and auditors share. Must not apply events. Keeps the invariant that
all readers believe the same records: those of the newest claim before them, bound to each other without a gap.

The rule, record by record:
1. a claim begins a new epoch (its own offset) and voids unfinished parts;
2. a record that carries an older epoch than the newest claim is a late word of an owner that lost the partition:
   dropped; one that carries a newer epoch means that a claim has been lost: the log is corrupt;
3. any other record must name the hash of what came before and the next sequence number, else the log is corrupt.
"""

from typing import Final

import msgspec

from streams.errors import LogCorrupt
from streams.ports import LogRecord
from streams.records import (
    CHAIN_START,
    NO_OFFSET,
    DecisionPart,
    DecisionRecord,
    OwnerClaimed,
    chain_hash,
    decode,
    decode_decision,
    join_parts,
)

NO_EPOCH: Final = -1


class ChainPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader stands: enough to go on from there and to notice if anything before has changed."""

    next_offset: int = 0
    epoch: int = NO_EPOCH
    sequence: int = 0
    hash: str = CHAIN_START
    command_offset: int = NO_OFFSET
    effects_sent: int = 0
    partitions: int = 0
    owner: str = ""
    url: str = ""
    at_ms: int = 0
    """Of the newest decision: the next one is not of an earlier instant."""


AT_THE_START: Final = ChainPosition()


class Chain:
    """A cursor of belief over one partition. Feed it every record in offset order."""

    def __init__(self, partition: int, position: ChainPosition = AT_THE_START) -> None:
        """Begin at the start of the partition, or where an earlier reader stood."""
        self.partition = partition
        self.stand_at(position)

    def stand_at(self, position: ChainPosition) -> None:
        """Go on from where another reader of the partition, or its owner, stands."""
        self.next_offset = position.next_offset
        self.epoch = position.epoch
        self.sequence = position.sequence
        self.hash = position.hash
        self.command_offset = position.command_offset
        self.effects_sent = position.effects_sent
        self.partitions = position.partitions
        self.owner = position.owner
        self.url = position.url
        self.at_ms = position.at_ms
        self._parts: list[DecisionPart] = []

    @property
    def position(self) -> ChainPosition:
        """The present position. Not to be taken while parts of a decision are pending."""
        return ChainPosition(
            next_offset=self.next_offset,
            epoch=self.epoch,
            sequence=self.sequence,
            hash=self.hash,
            command_offset=self.command_offset,
            effects_sent=self.effects_sent,
            partitions=self.partitions,
            owner=self.owner,
            url=self.url,
            at_ms=self.at_ms,
        )

    def read(self, record: LogRecord) -> DecisionRecord | OwnerClaimed | None:
        """Return what a record adds to the log, or None if it adds nothing (yet).

        Raises:
            LogCorrupt: the record is not ours, or does not follow what came before; names the offset.
        """
        self.next_offset = record.offset + 1
        value = record.value or b""
        try:
            entry = decode(value)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise self._corrupt(record, f"it cannot be read: {error}") from error
        if isinstance(entry, OwnerClaimed):
            self._claimed(record, value, entry)
            return entry
        if entry.epoch < self.epoch:
            return None
        if entry.epoch > self.epoch:
            raise self._corrupt(record, f"it names a claim at offset {entry.epoch}, which is not in the log")
        if isinstance(entry, DecisionPart):
            return self._part(record, entry)
        if self._parts:
            raise self._corrupt(record, f"part {len(self._parts) + 1} of a decision was expected")
        return self._decision(record, value, entry)

    def follow(self, value: bytes, decision: DecisionRecord) -> None:
        """Note a decision that this process is itself about to append: the owner's side of `read`."""
        self.hash = chain_hash(self.hash, value)
        self.sequence = decision.sequence
        self.command_offset = max(self.command_offset, decision.command_offset)
        self.effects_sent = max(self.effects_sent, decision.effects_sent)
        self.at_ms = max(self.at_ms, decision.at_ms)

    def _claimed(self, record: LogRecord, value: bytes, claim: OwnerClaimed) -> None:
        if self.partitions not in {0, claim.partitions}:
            raise self._corrupt(record, f"it was written for {claim.partitions} partitions, not {self.partitions}")
        self._parts.clear()
        self.epoch = record.offset
        self.hash = chain_hash(self.hash, value)
        self.partitions = claim.partitions
        self.owner = claim.owner
        self.url = claim.url

    def _part(self, record: LogRecord, part: DecisionPart) -> DecisionRecord | None:
        if part.part != len(self._parts) + 1:
            raise self._corrupt(record, f"part {len(self._parts) + 1} was expected, found part {part.part}")
        self._parts.append(part)
        if part.part < part.parts:
            return None
        value = join_parts(self._parts)
        self._parts.clear()
        try:
            decision = decode_decision(value)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise self._corrupt(record, f"its joined parts cannot be read: {error}") from error
        return self._decision(record, value, decision)

    def _decision(self, record: LogRecord, value: bytes, decision: DecisionRecord) -> DecisionRecord:
        if decision.sequence != self.sequence + 1:
            raise self._corrupt(record, f"sequence {self.sequence + 1} was expected, found {decision.sequence}")
        if decision.previous != self.hash:
            raise self._corrupt(record, f"it follows {decision.previous!r}, but the log before it is {self.hash!r}")
        if NO_OFFSET < decision.command_offset <= self.command_offset:
            raise self._corrupt(record, f"command {decision.command_offset} was decided before")
        self.follow(value, decision)
        return decision

    def _corrupt(self, record: LogRecord, why: str) -> LogCorrupt:
        return LogCorrupt(f"events partition {self.partition}, offset {record.offset}: {why}")
