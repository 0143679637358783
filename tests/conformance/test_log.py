"""What every log does, whichever backend holds it.

Holds one claim per test, each made of memory, SQLite and a real Kafka broker. Must not name a backend. Keeps
the port's docstrings
honest: what they promise is claimed here.
"""

import asyncio
from collections.abc import Sequence

import pytest

from streams.errors import LogUnavailable, OffsetOutOfRange, RecordTooLarge, TopicMismatch
from streams.ports import Log, LogReader, LogRecord, NewRecord, OffsetRange
from streams.topics import TopicSpec
from tests.conformance.conftest import Backend

EVENTS = TopicSpec(name="events", partitions=3, keep_forever=True)
LATEST = TopicSpec(name="latest", partitions=1, compacted=True)
WAIT_MS = 10_000


def record(value: str, key: str | None = "wf-1") -> NewRecord:
    """Return a record with a readable value."""
    return NewRecord(key=None if key is None else key.encode(), value=value.encode())


async def read_values(reader: LogReader, count: int) -> list[str]:
    """Read until `count` records have come, and return their values."""
    return [(found.value or b"").decode() for found in await read_records(reader, count)]


async def read_records(reader: LogReader, count: int) -> list[LogRecord]:
    """Read until `count` records have come; fail if a read comes back empty before."""
    found: list[LogRecord] = []
    while len(found) < count:
        batch = await reader.read(records_max=count - len(found), wait_ms=WAIT_MS)
        assert batch, f"{count} records were expected, {len(found)} came"
        found += batch
    return found


async def test_append_in_turn_yields_ascending_offsets_from_zero(backend: Backend) -> None:
    """The first record has offset 0, and each append begins where the one before it ended."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        assert await log.append("events", 0, [record("a")]) == 0
        assert await log.append("events", 0, [record("b"), record("c"), record("d")]) == 1
        assert await log.append("events", 0, [record("e")]) == 4


async def test_append_of_several_records_is_read_in_order_with_consecutive_offsets(backend: Backend) -> None:
    """One call's records lie side by side, complete, with key, value and place."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 2, [record(str(number), key=f"k{number}") for number in range(50)])
        found = await read_records(log.reader("events", 2, from_offset=0), 50)
    assert [(one.topic, one.partition, one.offset, one.key, one.value) for one in found] == [
        ("events", 2, number, f"k{number}".encode(), str(number).encode()) for number in range(50)
    ]


async def test_appends_in_flight_keep_the_order_of_the_calls(backend: Backend) -> None:
    """Calls that do not wait for one another are stored as they were made, and each knows its own offset."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        calls = [log.append("events", 1, [record(f"{number}a"), record(f"{number}b")]) for number in range(200)]
        assert await asyncio.gather(*calls) == [2 * number for number in range(200)]
        values = await read_values(log.reader("events", 1, from_offset=0), 400)
    assert values == [f"{number}{half}" for number in range(200) for half in "ab"]


async def test_parallel_appends_to_all_partitions_lose_and_mix_nothing(backend: Backend) -> None:
    """Many tasks append at once: every record is at the offset that its caller was told."""
    told: dict[tuple[int, int], str] = {}

    async def append_some(log: Log, writer: int) -> None:
        for number in range(20):
            partition = (writer + number) % EVENTS.partitions
            value = f"{writer}/{number}"
            told[partition, await log.append("events", partition, [record(value)])] = value

    async with backend.open() as log:
        await log.create_topics([EVENTS])
        async with asyncio.TaskGroup() as writers:
            for writer in range(24):
                writers.create_task(append_some(log, writer))
        found: dict[tuple[int, int], str] = {}
        for partition in range(EVENTS.partitions):
            held = await log.offsets("events", partition)
            values = await read_values(log.reader("events", partition, from_offset=0), held.next)
            found.update({(partition, offset): value for offset, value in enumerate(values)})
    assert len(told) == 24 * 20
    assert found == told


async def test_partitions_count_their_offsets_apart(backend: Backend) -> None:
    """What goes to one partition is not seen in another."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        assert await log.append("events", 0, [record("zero")]) == 0
        assert await log.append("events", 1, [record("one")]) == 0
        assert await read_values(log.reader("events", 1, from_offset=0), 1) == ["one"]
        assert not await log.reader("events", 2, from_offset=0).read(records_max=1, wait_ms=0)


async def test_read_from_an_offset_starts_there(backend: Backend) -> None:
    """The first record is the one at `from_offset`; what is read once does not come again."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record(str(number)) for number in range(10)])
        reader = log.reader("events", 0, from_offset=7)
        assert await read_values(reader, 2) == ["7", "8"]
        assert await read_values(reader, 1) == ["9"]
        assert not await reader.read(records_max=5, wait_ms=0)


async def test_read_takes_no_more_than_asked(backend: Backend) -> None:
    """`records_max` is a maximum, and the rest comes with the next reads."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record(str(number)) for number in range(10)])
        reader = log.reader("events", 0, from_offset=0)
        sizes = []
        while batch := await reader.read(records_max=4, wait_ms=100):
            sizes.append(len(batch))
    assert max(sizes) <= 4
    assert sum(sizes) == 10


async def test_read_of_nothing_comes_back_empty_after_the_wait(backend: Backend) -> None:
    """A reader at the end gives an empty sequence when its time is over, and not before."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        reader = log.reader("events", 0, from_offset=0)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert not await reader.read(records_max=10, wait_ms=150)
        assert loop.time() - begun >= 0.14


async def test_a_waiting_read_wakes_when_a_record_is_appended(backend: Backend) -> None:
    """A read that has long to wait comes back with the record as soon as that is durable."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        reader = log.reader("events", 0, from_offset=0)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(reader.read(records_max=10, wait_ms=60_000))
            # The read has begun to wait: nothing it could find was there.
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await log.append("events", 0, [record("news")])
            async with asyncio.timeout(5):
                found = await waiting
    assert [one.value for one in found] == [b"news"]


async def test_every_reader_of_a_partition_sees_every_record(backend: Backend) -> None:
    """Readers do not take records from one another."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        first, second = (log.reader("events", 0, from_offset=0) for _ in range(2))
        await log.append("events", 0, [record("a"), record("b")])
        assert await read_values(first, 2) == ["a", "b"]
        assert await read_values(second, 2) == ["a", "b"]


async def test_a_read_that_is_cancelled_loses_nothing(backend: Backend) -> None:
    """The next read of the same cursor gives what the cancelled one would have given."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        reader = log.reader("events", 0, from_offset=0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(records_max=10, wait_ms=60_000)
        await log.append("events", 0, [record("kept")])
        assert await read_values(reader, 1) == ["kept"]


async def test_offsets_tell_earliest_and_next(backend: Backend) -> None:
    """An empty partition begins and ends at 0; acknowledged records move the end."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        assert await log.offsets("events", 0) == OffsetRange(earliest=0, next=0)
        await log.append("events", 0, [record("a"), record("b")])
        assert await log.offsets("events", 0) == OffsetRange(earliest=0, next=2)


async def test_an_append_is_seen_by_offsets_and_readers_when_it_is_acknowledged(backend: Backend) -> None:
    """Whoever was told that a record is there finds it, without waiting."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        reader = log.reader("events", 0, from_offset=0)
        for number in range(20):
            await log.append("events", 0, [record(str(number))])
            assert (await log.offsets("events", 0)).next == number + 1
            assert await read_values(reader, 1) == [str(number)]


async def test_reading_beyond_the_end_is_refused(backend: Backend) -> None:
    """A position that the log never reached means that the log was cut or exchanged: it is not waited for."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record("a")])
        with pytest.raises(OffsetOutOfRange, match="5"):
            await log.reader("events", 0, from_offset=5).read(records_max=1, wait_ms=WAIT_MS)


async def test_trim_forgets_what_lies_before_and_moves_the_earliest_offset(backend: Backend) -> None:
    """Trimmed records are out of range for readers; later ones keep their offsets."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record(str(number)) for number in range(10)])
        await log.trim("events", 0, before_offset=6)
        assert await log.offsets("events", 0) == OffsetRange(earliest=6, next=10)
        assert await read_values(log.reader("events", 0, from_offset=6), 4) == ["6", "7", "8", "9"]
        with pytest.raises(OffsetOutOfRange, match="5"):
            await log.reader("events", 0, from_offset=5).read(records_max=1, wait_ms=WAIT_MS)


async def test_trim_of_everything_keeps_the_next_offset(backend: Backend) -> None:
    """Offsets are never given twice, also when nothing is left, and also after the log was opened anew."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record("a"), record("b"), record("c")])
        await log.trim("events", 0, before_offset=3)
        await log.trim("events", 0, before_offset=2)
    async with backend.open() as log:
        assert await log.offsets("events", 0) == OffsetRange(earliest=3, next=3)
        assert await log.append("events", 0, [record("d")]) == 3


async def test_a_null_key_stays_null_where_keys_are_not_needed(backend: Backend) -> None:
    """No key and an empty key are different, and so are no value and an empty value."""
    rows = [(None, b"v"), (b"", b""), (b"k", None)]
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [NewRecord(key=key, value=value) for key, value in rows])
        found = await read_records(log.reader("events", 0, from_offset=0), 3)
    assert [(one.key, one.value) for one in found] == rows


async def test_a_compacted_topic_refuses_a_record_without_key(backend: Backend) -> None:
    """Without a key nobody could say which record replaces it: a defect of the caller, named at once."""
    async with backend.open() as log:
        await log.create_topics([LATEST])
        with pytest.raises(ValueError, match="key"):
            await log.append("latest", 0, [record("lost", key=None)])
        assert (await log.offsets("latest", 0)).next == 0


async def test_an_append_without_records_is_refused(backend: Backend) -> None:
    """There is no offset to return for nothing."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        with pytest.raises(ValueError, match="no records"):
            await log.append("events", 0, [])


async def test_the_newest_record_of_each_key_survives_compaction_in_order(backend: Backend) -> None:
    """Folding a compacted topic by key from offset 0 gives the newest value of every key; tombstones remove theirs."""
    writes = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", None), ("a", "3"), ("d", "1")]
    async with backend.open() as log:
        await log.create_topics([LATEST])
        for key, value in writes:
            await log.append(
                "latest", 0, [NewRecord(key=key.encode(), value=None if value is None else value.encode())]
            )
        found = await read_all(log.reader("latest", 0, from_offset=0))
    folded: dict[bytes | None, bytes | None] = {}
    for one in found:
        folded[one.key] = one.value
    assert {key: value for key, value in folded.items() if value is not None} == {
        b"a": b"3",
        b"c": b"1",
        b"d": b"1",
    }
    assert [one.offset for one in found] == sorted(one.offset for one in found)
    if backend.compacts_at_once:
        assert [(one.offset, one.key) for one in found] == [(3, b"c"), (4, b"b"), (5, b"a"), (6, b"d")]


async def test_keys_replaced_within_one_append_leave_the_last(backend: Backend) -> None:
    """A batch may hold a key twice; the later record counts."""
    async with backend.open() as log:
        await log.create_topics([LATEST])
        assert await log.append("latest", 0, [record("1", "k"), record("2", "k"), record("3", "j")]) == 0
        assert await log.append("latest", 0, [record("4", "j")]) == 3
        found = await read_all(log.reader("latest", 0, from_offset=0))
    assert {one.key: one.value for one in found} == {b"k": b"2", b"j": b"4"}


async def test_a_reader_at_the_end_of_a_compacted_topic_sees_tombstones(backend: Backend) -> None:
    """Who follows live learns that a key was forgotten."""
    async with backend.open() as log:
        await log.create_topics([LATEST])
        reader = log.reader("latest", 0, from_offset=0)
        await log.append("latest", 0, [record("1", "k")])
        assert await read_values(reader, 1) == ["1"]
        await log.append("latest", 0, [NewRecord(key=b"k", value=None)])
        (found,) = await read_records(reader, 1)
    assert (found.offset, found.key, found.value) == (1, b"k", None)


async def test_a_record_of_900_kilobytes_comes_back_whole(backend: Backend) -> None:
    """The largest records that Podium writes itself pass through, alone and side by side."""
    values = [bytes([number]) * 900_000 for number in range(3)]
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        for value in values[:2]:
            await log.append("events", 0, [NewRecord(key=b"k", value=value)])
        await log.append("events", 0, [NewRecord(key=b"k", value=values[2])])
        found = await read_records(log.reader("events", 0, from_offset=0), 3)
    assert [one.value for one in found] == values


async def test_several_large_records_in_one_append_get_consecutive_offsets(backend: Backend) -> None:
    """A call may be larger than one batch of the log; its records still lie side by side."""
    values = [bytes([number]) * 700_000 for number in range(4)]
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [record("before")])
        assert await log.append("events", 0, [NewRecord(key=b"k", value=value) for value in values]) == 1
        assert await log.append("events", 0, [record("after")]) == 5
        found = await read_records(log.reader("events", 0, from_offset=1), 4)
    assert [(one.offset, one.value) for one in found] == list(enumerate(values, start=1))


async def test_a_record_above_the_limit_is_refused_and_nothing_of_its_append_is_stored(backend: Backend) -> None:
    """The refusal names the size, and the log goes on."""
    large = NewRecord(key=b"k", value=b"x" * (backend.record_bytes_max + 1))
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        with pytest.raises(RecordTooLarge, match=str(backend.record_bytes_max + 2)):
            await log.append("events", 0, [record("small"), large])
        assert await log.append("events", 0, [record("next")]) == 0


async def test_a_log_opened_anew_holds_everything(backend: Backend) -> None:
    """What was acknowledged is there after the log was left and entered again, and offsets go on."""
    async with backend.open() as log:
        await log.create_topics([EVENTS, LATEST])
        await log.append("events", 0, [record(str(number)) for number in range(100)])
        await log.append("latest", 0, [record("1", "k")])
    async with backend.open() as log:
        await log.create_topics([EVENTS, LATEST])
        assert await log.append("events", 0, [record("100")]) == 100
        assert await read_values(log.reader("events", 0, from_offset=0), 101) == [str(n) for n in range(101)]
        assert await read_values(log.reader("latest", 0, from_offset=0), 1) == ["1"]


async def test_create_topics_twice_and_at_once_changes_nothing(backend: Backend) -> None:
    """It is idempotent, also when several processes do it at the same time."""
    async with backend.open() as log:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(log.create_topics([EVENTS, LATEST]))
        await log.append("events", 0, [record("a")])
        await log.create_topics([LATEST, EVENTS])
        assert await log.offsets("events", 0) == OffsetRange(earliest=0, next=1)


@pytest.mark.parametrize(
    "other",
    [
        TopicSpec(name="events", partitions=4, keep_forever=True),
        TopicSpec(name="events", partitions=3, compacted=True),
    ],
    ids=["partitions", "cleanup"],
)
async def test_create_topics_refuses_a_topic_that_exists_otherwise(backend: Backend, other: TopicSpec) -> None:
    """Another partition count or cleanup policy is an error that names the topic, never a silent change."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
        with pytest.raises(TopicMismatch, match="events"):
            await log.create_topics([other])
        assert await log.append("events", 0, [record("a")]) == 0


async def test_a_log_that_was_left_takes_nothing(backend: Backend) -> None:
    """After the end of its block the log says so instead of dropping records."""
    async with backend.open() as log:
        await log.create_topics([EVENTS])
    with pytest.raises(LogUnavailable):
        await log.append("events", 0, [record("late")])


async def test_a_log_answers_a_ping_while_it_is_open(backend: Backend) -> None:
    """Health checks ask the log itself."""
    async with backend.open() as log:
        assert await log.ping()
    assert not await log.ping()


async def read_all(reader: LogReader) -> Sequence[LogRecord]:
    """Read until a read comes back empty."""
    found: list[LogRecord] = []
    while batch := await reader.read(records_max=100, wait_ms=200):
        found += batch
    return found
