"""The one waiting fetch of a process: who gets what, when, and how much is read ahead."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from struct import Struct

import pytest
from aiokafka.conn import AIOKafkaConnection

from streams.errors import OffsetOutOfRange
from streams.kafka import KafkaLog, KafkaSettings
from streams.kafka.fetching import FetchRequest
from streams.kafka.reader import KafkaReader
from streams.ports import LogRecord, NewRecord
from streams.topics import COMMANDS, EVENTS, TopicSpec

PARTITIONS = 12
HEAD_BYTES = 25
"""Of a request: replica, wait, two sizes, isolation, session and epoch; then come the topics."""
COUNT, LENGTH = Struct(">i"), Struct(">h")
LONG_MS = 20_000
"""Longer than a request of the tail waits, so that only news can end the read soon."""
SOON_S = 1.0
"""Shorter than a request of the tail waits (2.5 s): what comes sooner was not waited for."""


def record(value: str) -> NewRecord:
    """Return a record with a readable value."""
    return NewRecord(key=b"k", value=value.encode())


def values_of(records: Sequence[LogRecord]) -> list[str]:
    """Return what was appended."""
    return [(one.value or b"").decode() for one in records]


async def read(reader: KafkaReader) -> list[str]:
    """Return what comes next, and fail if it does not come soon."""
    async with asyncio.timeout(LONG_MS / 1_000):
        return values_of(await reader.read(records_max=1_000, wait_ms=LONG_MS))


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[FetchRequest]:
    """Every request of a tail in this process."""
    seen: list[FetchRequest] = []
    send = AIOKafkaConnection.send

    def note(connection: AIOKafkaConnection, request: object, **rest: bool) -> object:
        if isinstance(request, FetchRequest):
            seen.append(request)
        return send(connection, request, **rest)

    monkeypatch.setattr(AIOKafkaConnection, "send", note)
    return seen


@pytest.fixture
async def log(settings: KafkaSettings) -> AsyncIterator[KafkaLog]:
    """The log of the process that reads."""
    async with KafkaLog(settings) as log:
        await log.create_topics([TopicSpec(name=name, partitions=PARTITIONS) for name in (COMMANDS, EVENTS)])
        yield log


@pytest.fixture
async def other(settings: KafkaSettings) -> AsyncIterator[KafkaLog]:
    """The log of another process."""
    async with KafkaLog(settings) as log:
        yield log


async def following(log: KafkaLog, topic: str = COMMANDS, count: int = PARTITIONS) -> list[KafkaReader]:
    """Return readers that have found nothing and follow their partitions."""
    readers = [log.reader(topic, number, from_offset=0) for number in range(count)]
    async with asyncio.timeout(LONG_MS / 1_000):
        while not all(reader.is_following for reader in readers):
            assert not any(await asyncio.gather(*(reader.read(records_max=1, wait_ms=100) for reader in readers)))
    return readers


def partitions_in(fetch: FetchRequest) -> int:
    """Return how many partitions a request names, of the one topic that is read here."""
    body = fetch.encode()
    (topics,) = COUNT.unpack_from(body, HEAD_BYTES)
    if not topics:
        return 0
    (length,) = LENGTH.unpack_from(body, HEAD_BYTES + COUNT.size)
    (partitions,) = COUNT.unpack_from(body, HEAD_BYTES + COUNT.size + LENGTH.size + length)
    return int(partitions)


async def named(fetches: list[FetchRequest], partitions: int) -> None:
    """Wait until a request has named so many partitions."""
    async with asyncio.timeout(LONG_MS / 1_000):
        while not fetches or partitions_in(fetches[-1]) < partitions:
            await asyncio.sleep(0.01)


async def test_all_partitions_are_waited_for_by_one_request(
    log: KafkaLog, other: KafkaLog, fetches: list[FetchRequest]
) -> None:
    """A record of another process in any of twelve partitions arrives at once, and costs about a request."""
    readers = await following(log)
    await named(fetches, PARTITIONS)
    fetches.clear()
    for number, reader in enumerate(readers):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(read(reader))
            await asyncio.sleep(0)
            begun = time.monotonic()
            await other.append(COMMANDS, number, [record(str(number))])
        assert waiting.result() == [str(number)]
        assert time.monotonic() - begun < SOON_S
    assert len(fetches) <= 2 * PARTITIONS


async def test_a_request_names_only_what_has_changed(
    log: KafkaLog, other: KafkaLog, fetches: list[FetchRequest]
) -> None:
    """The broker remembers the others: news of one partition costs as much as one partition."""
    readers = await following(log)
    await named(fetches, PARTITIONS)
    fetches.clear()
    for value in ("one", "two"):
        await other.append(COMMANDS, 3, [record(value)])
        assert await read(readers[3]) == [value]
    await named(fetches, 1)
    assert {partitions_in(fetch) for fetch in fetches} == {1}


async def test_a_newcomer_does_not_wait_for_the_request_of_the_others(log: KafkaLog, other: KafkaLog) -> None:
    """It is asked for at once, although nothing arrives for those who were there before."""
    await following(log, count=6)
    newcomer = log.reader(COMMANDS, 7, from_offset=0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(read(newcomer))
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await other.append(COMMANDS, 7, [record("first")])
    assert waiting.result() == ["first"]
    assert time.monotonic() - begun < SOON_S


async def test_two_readers_of_one_partition_stand_each_on_its_own(log: KafkaLog, other: KafkaLog) -> None:
    """Both get everything, whoever of them is slow."""
    first, second = (await following(log, count=1))[0], (await following(log, count=1))[0]
    await other.append(COMMANDS, 0, [record("a")])
    assert await read(first) == ["a"]
    await other.append(COMMANDS, 0, [record("b")])
    assert await read(first) == ["b"]
    assert (await read(second))[0] == "a"


@pytest.mark.parametrize("topic", [COMMANDS, EVENTS])
async def test_own_and_foreign_appends_arrive_once_and_in_the_order_of_their_offsets(
    log: KafkaLog, other: KafkaLog, topic: str
) -> None:
    """Whether a record came from an acknowledgement or from the broker cannot be seen."""
    (reader,) = await following(log, topic, count=1)
    found: list[LogRecord] = []

    async def follow() -> None:
        while len(found) < 600:
            found.extend(await reader.read(records_max=1_000, wait_ms=LONG_MS))

    async def write(process: KafkaLog, name: str) -> None:
        for number in range(100):
            await process.append(topic, 0, [record(f"{name}{number}.{part}") for part in range(3)])

    async with asyncio.timeout(LONG_MS / 1_000), asyncio.TaskGroup() as group:
        group.create_task(follow())
        group.create_task(write(log, "own"))
        group.create_task(write(other, "foreign"))
    assert [one.offset for one in found] == list(range(600))
    again = log.reader(topic, 0, from_offset=0)
    kept: list[LogRecord] = []
    while len(kept) < 600:
        kept.extend(await again.read(records_max=1_000, wait_ms=1_000))
    assert [(one.offset, one.key, one.value) for one in kept] == [(one.offset, one.key, one.value) for one in found]


async def test_own_appends_come_without_a_request_for_each(log: KafkaLog, fetches: list[FetchRequest]) -> None:
    """The acknowledgement brings them; the broker is asked a few hundred times a second at most."""
    (reader,) = await following(log, count=1)
    fetches.clear()
    begun = time.monotonic()
    for number in range(500):
        await log.append(COMMANDS, 0, [record(str(number))])
        assert await read(reader) == [str(number)]
    assert len(fetches) <= 3 + (time.monotonic() - begun) / 0.004


async def test_what_nobody_reads_is_read_ahead_within_a_bound(log: KafkaLog, other: KafkaLog) -> None:
    """A slow reader holds up neither the others nor the memory, and goes on without a gap."""
    slow, quick = await following(log, count=2)
    payload = "x" * 200_000
    for number in range(40):
        await other.append(COMMANDS, 0, [record(f"{number}.{payload}")])
    await other.append(COMMANDS, 1, [record("quick")])
    assert await read(quick) == ["quick"]
    assert slow.position < 30
    found: list[str] = []
    async with asyncio.timeout(LONG_MS / 1_000):
        while len(found) < 40:
            found += values_of(await slow.read(records_max=3, wait_ms=1_000))
    assert [value.partition(".")[0] for value in found] == [str(number) for number in range(40)]


async def test_a_read_that_is_cancelled_loses_nothing(log: KafkaLog, other: KafkaLog) -> None:
    """The next one returns what arrived meanwhile."""
    (reader,) = await following(log, count=1)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(read(reader))
        await asyncio.sleep(0.05)
        await other.append(COMMANDS, 0, [record("a")])
        waiting.cancel()
    assert (await read(reader) if waiting.cancelled() else waiting.result()) == ["a"]


async def test_a_follower_whose_offset_is_no_longer_held_is_told(log: KafkaLog, other: KafkaLog) -> None:
    """What was let go while it did not look is an error of its own, not a silence."""
    (reader,) = await following(log, count=1)
    await reader.close()
    await other.append(COMMANDS, 0, [record(str(number)) for number in range(5)])
    await other.trim(COMMANDS, 0, before_offset=3)
    late = log.reader(COMMANDS, 0, from_offset=1)
    with pytest.raises(OffsetOutOfRange):
        await late.read(records_max=1, wait_ms=1_000)


async def test_who_has_left_is_asked_for_no_more(log: KafkaLog, other: KafkaLog, fetches: list[FetchRequest]) -> None:
    """News for those who were the last to leave does not bring one answer after the other to those who come later."""
    gone = await following(log, count=2)
    await named(fetches, 2)
    for reader in gone:
        await reader.close()
    await other.append(COMMANDS, 0, [record("for nobody")])
    await asyncio.sleep(0.1)
    late = log.reader(COMMANDS, 2, from_offset=0)
    async with asyncio.timeout(LONG_MS / 1_000):
        while not late.is_following:
            assert not await late.read(records_max=1, wait_ms=100)
    await named(fetches, 1)
    fetches.clear()
    await other.append(COMMANDS, 1, [record("for nobody")])
    await asyncio.sleep(0.3)
    assert len(fetches) <= 2
