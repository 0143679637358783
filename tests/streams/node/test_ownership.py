"""Claims about the supervisor of partitions: what begins anew, what halts, and who is told."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
import pytest

from engine.errors import InvariantViolated
from engine.ids import WorkflowId
from streams import ownership
from streams.errors import LogUnavailable, StoreFull
from streams.memory import MemoryTopics
from streams.ownership import OwnedPartitions
from streams.partition.processor import PartitionProcessor
from streams.ports import NewRecord
from streams.records import OwnerClaimed, encode
from streams.topics import COMMANDS, EVENTS, SNAPSHOTS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, records, start

ALL = frozenset({0})


class Owned:
    """A supervisor over one partition, whose lives a test can look at."""

    def __init__(self, log: HeldLog, announce: Callable[[int, int], Awaitable[None]]) -> None:
        """Own nothing yet."""
        self.log = log
        self.lives: list[Partition] = []
        self.changes: list[tuple[int, bool]] = []
        self.owned = OwnedPartitions(self._make, on_change=self._changed, announce=announce)

    def _make(self, partition: int) -> PartitionProcessor:
        assert partition == 0
        self.lives.append(Partition(self.log))
        return self.lives[-1].processor

    def _changed(self, partition: int, *, owned: bool) -> None:
        self.changes.append((partition, owned))

    async def wait_lives(self, count: int) -> PartitionProcessor:
        """Return the processor of the life with this number once it decides."""
        while len(self.lives) < count:
            await self.owned.wait_deciding(0, timeout_ms=5_000)
            await asyncio.sleep(0)
        found = await self.owned.wait_deciding(0, timeout_ms=5_000)
        assert found is not None
        return found


async def nobody(partition: int, epoch: int) -> None:
    """Announce to nobody."""


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


@pytest.fixture
async def owned(log: HeldLog) -> AsyncGenerator[Owned]:
    """A supervisor that runs and owns the partition."""
    found = Owned(log, nobody)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        await found.owned.on_assigned(ALL)
        yield found
        running.cancel()


async def append_start(log: HeldLog, name: str) -> None:
    """Append a start as a client of the topic does."""
    await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(start(name)))])


@pytest.mark.parametrize("error", [LogUnavailable("silent"), StoreFull("full")], ids=["unavailable", "full"])
async def test_a_partition_whose_log_is_away_begins_anew_until_it_is_back(
    log: HeldLog, owned: Owned, error: LogUnavailable | StoreFull
) -> None:
    """It claims again after each failure, and then decides what came meanwhile."""
    await owned.wait_lives(1)
    log.fail(EVENTS, error)
    await append_start(log, "a")
    while len(owned.lives) < 3:
        await asyncio.sleep(0.01)  # a pause between two attempts is what happens here
    assert owned.owned.processor(0) is None
    log.heal(EVENTS)
    processor = await owned.wait_lives(4)
    await processor.wait_decided(0)
    assert processor.machine.table.peek(WorkflowId("a")) is not None
    assert owned.owned.halted == {}


async def test_a_fenced_partition_is_claimed_again_while_it_is_assigned(log: HeldLog, owned: Owned) -> None:
    """The other owner is fenced in turn; the command is decided once."""
    await owned.wait_lives(1)
    claim = OwnerClaimed(owner="other", url="", at_ms=NOW_MS, partitions=1)
    await log.append(EVENTS, 0, [NewRecord(key=None, value=encode(claim))])
    await append_start(log, "a")
    processor = await owned.wait_lives(2)
    await processor.wait_decided(0)
    assert processor.machine.chain.sequence == 1


async def test_a_corrupt_log_halts_the_partition_with_its_offset(log: HeldLog) -> None:
    """It is not tried again, it is said why, and nobody waits for it in vain."""
    await log.append(EVENTS, 0, [NewRecord(key=None, value=b"{torn")])
    found = Owned(log, nobody)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        await found.owned.on_assigned(ALL)
        async with asyncio.timeout(5):
            assert await found.owned.wait_deciding(0, timeout_ms=60_000) is None
        assert "LogCorrupt: events partition 0, offset 0" in found.owned.halted[0]
        assert await found.owned.wait_deciding(0, timeout_ms=60_000) is None
        assert len(found.lives) == 1
        await found.owned.on_revoked(ALL)
        assert found.owned.halted == {}
        running.cancel()


async def test_a_broken_invariant_halts_the_partition(
    log: HeldLog, owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of the engine is not tried again and again."""
    processor = await owned.wait_lives(1)

    def broken(*_: object) -> None:
        message = "a count is wrong"
        raise InvariantViolated(message)

    monkeypatch.setattr(processor.machine, "decide", broken)
    await append_start(log, "a")
    while not owned.owned.halted:
        await asyncio.sleep(0)
    assert owned.owned.halted == {0: "InvariantViolated: a count is wrong"}
    assert owned.owned.processor(0) is None


async def test_who_waits_for_a_partition_is_told_when_it_goes(log: HeldLog) -> None:
    """A revoked partition will not decide here: a caller who waits for it goes to its next owner at once."""
    found = Owned(log, nobody)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        log.hold(EVENTS)
        await found.owned.on_assigned(ALL)
        waiting = group.create_task(found.owned.wait_deciding(0, timeout_ms=60_000))
        await log.wait_held(EVENTS)
        revoking = group.create_task(found.owned.on_revoked(ALL))
        async with asyncio.timeout(5):
            assert await waiting is None
        log.release(EVENTS)
        await revoking
        running.cancel()
    assert found.changes == [(0, True), (0, False)]


async def test_a_revocation_that_meets_a_failing_processor_is_not_lost(log: HeldLog) -> None:
    """The processor is just ending by an error when the partition is revoked: it must not begin anew."""
    found = Owned(log, nobody)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        await found.owned.on_assigned(ALL)
        await found.wait_lives(1)
        log.may_close.clear()
        log.fail(EVENTS, LogUnavailable("silent"))
        await append_start(log, "a")
        await turns_of_the_loop()
        revoking = group.create_task(found.owned.on_revoked(ALL))
        await turns_of_the_loop()
        log.may_close.set()
        async with asyncio.timeout(5):
            await revoking
        await turns_of_the_loop()
        assert len(found.lives) == 1
        running.cancel()


async def test_a_shutdown_that_meets_a_failing_processor_is_not_lost(log: HeldLog) -> None:
    """So it is when the whole process stops."""
    found = Owned(log, nobody)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        await found.owned.on_assigned(ALL)
        await found.wait_lives(1)
        log.may_close.clear()
        log.fail(EVENTS, LogUnavailable("silent"))
        await append_start(log, "a")
        await turns_of_the_loop()
        running.cancel()
        await turns_of_the_loop()
        log.may_close.set()
        async with asyncio.timeout(5):
            await asyncio.wait([running])
        assert len(found.lives) == 1


async def turns_of_the_loop(count: int = 50) -> None:
    """Let everything happen that can happen without waiting for anything outside."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_owner_that_cannot_be_announced_decides_all_the_same(
    log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory only shortens the way of a call."""
    monkeypatch.setattr(ownership, "ANNOUNCE_AGAIN_AFTER_S", 0.0)
    attempts: list[int] = []
    told = asyncio.Event()

    async def announce(_: int, epoch: int) -> None:
        attempts.append(epoch)
        if len(attempts) < 3:
            message = "no broker leads the topic"
            raise LogUnavailable(message)
        told.set()

    found = Owned(log, announce)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(found.owned.run())
        await found.owned.on_assigned(ALL)
        processor = await found.wait_lives(1)
        await append_start(log, "a")
        await processor.wait_decided(0)
        await told.wait()
        assert len(found.lives) == 1
        assert attempts == [0, 0, 0]
        running.cancel()


async def test_a_snapshot_that_cannot_be_written_begins_the_partition_anew(log: HeldLog, owned: Owned) -> None:
    """The next life writes it; nothing was lost."""
    processor = await owned.wait_lives(1)
    await append_start(log, "a")
    await processor.wait_decided(0)
    log.fail(SNAPSHOTS, LogUnavailable("silent"))
    with pytest.raises(LogUnavailable):
        await processor._snapshots.write()  # noqa: SLF001 - now, not in half a minute
    log.heal(SNAPSHOTS)
    await processor._snapshots.write()  # noqa: SLF001
    assert {record.key for record in await records(log, SNAPSHOTS)} >= {b"a", b"~marker"}
