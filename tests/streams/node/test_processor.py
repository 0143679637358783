"""Claims about the loop of a partition: what leaves it, when, and what becomes of those who wait."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable

import msgspec
import pytest

from engine.ids import WorkflowId
from engine.status import WorkflowStatus
from streams.errors import Fenced, LogCorrupt, LogUnavailable, OwnershipLost, StoreFull
from streams.memory import MemoryTopics
from streams.partition.processor import TURNS_IN_FLIGHT_MAX, ProcessorPhase
from streams.ports import NewRecord
from streams.records import OwnerClaimed, encode
from streams.topics import COMMANDS, EVENTS, SNAPSHOTS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, completed, decisions, records, start


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


async def turns_of_the_loop(count: int = 50) -> None:
    """Let everything happen that can happen without waiting for anything outside."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_is_answered_offered_or_read_before_the_append_is_acknowledged(log: HeldLog) -> None:
    """While the log has not said that it has the decision, no caller, poller or reader knows of it."""
    async with Partition(log).running() as partition, asyncio.TaskGroup() as group:
        log.hold(EVENTS)
        answered = group.create_task(partition.ask(start("a")))
        polled = group.create_task(partition.poll("work", timeout_ms=5_000))
        await log.wait_held(EVENTS)
        read = group.create_task(partition.processor.state(WorkflowId("a")))
        await turns_of_the_loop()

        assert [answered.done(), polled.done(), read.done()] == [False, False, False]
        assert await decisions(log) == []

        log.release(EVENTS)
        assert (await answered).state is not None
        assert [task["workflowInstanceId"] for task in await polled] == ["a"]
        assert await read is not None


async def test_the_next_batch_is_decided_while_the_log_is_busy_with_the_one_before(log: HeldLog) -> None:
    """Turns follow each other into the log without waiting, up to the bound, and are answered in their order."""
    answers: list[str] = []

    async def ask(name: str) -> None:
        answers.append((await partition.ask(start(name))).workflow_id)

    names = [f"w{number}" for number in range(TURNS_IN_FLIGHT_MAX + 5)]
    async with Partition(log).running() as partition, asyncio.TaskGroup() as group:
        log.hold(EVENTS)
        for name in names:
            group.create_task(ask(name))
            await turns_of_the_loop()
        in_flight = log.held(EVENTS)
        assert TURNS_IN_FLIGHT_MAX <= in_flight <= TURNS_IN_FLIGHT_MAX + 2
        log.let_go(EVENTS, 1)
        await turns_of_the_loop()
        assert answers == ["w0"]
        log.release(EVENTS)
    assert answers == names


async def test_effects_in_the_log_are_sent_in_the_order_of_their_decisions(log: HeldLog) -> None:
    """Tasks are offered in the order in which their workflows were started, whatever the batches were."""
    async with Partition(log).running() as partition, asyncio.TaskGroup() as group:
        log.hold(EVENTS)
        for number in range(6):
            group.create_task(partition.ask(start(f"w{number}")))
            await turns_of_the_loop()
        log.release(EVENTS)
        await partition.settled()
        polled = await partition.poll("work", count=10)
    assert [task["workflowInstanceId"] for task in polled] == [f"w{number}" for number in range(6)]


async def test_a_lost_append_ends_the_processor_unanswered_and_the_next_life_answers(log: HeldLog) -> None:
    """Nobody is told anything of a decision that may not be in the log; it is made anew, or found there."""
    first = Partition(log)
    with pytest.raises(ExceptionGroup) as raised:
        async with first.running(), asyncio.TaskGroup() as group:
            log.hold(EVENTS)
            asked = group.create_task(first.ask(start("a")))
            waiting = group.create_task(first.processor.wait_decided(0))
            await log.wait_held(EVENTS)
            log.lose(EVENTS, LogUnavailable("the broker fell silent"))
            await asyncio.wait([waiting])
            assert isinstance(waiting.exception(), OwnershipLost)
            assert not asked.done()
    assert raised.group_contains(LogUnavailable, match="fell silent")
    assert first.processor.phase is ProcessorPhase.STOPPED

    async with Partition(log).running() as second:
        await second.processor.wait_decided(0)
        assert [task["workflowInstanceId"] for task in await second.poll("work")] == ["a"]


async def test_a_newer_claim_fences_the_owner_before_it_answers_or_offers(log: HeldLog) -> None:
    """The offset tells it: between its decision and the log stands somebody else's claim."""
    partition = Partition(log)
    with pytest.raises(ExceptionGroup) as raised:
        async with partition.running(), asyncio.TaskGroup() as group:
            claim = OwnerClaimed(owner="other", url="", at_ms=NOW_MS, partitions=1)
            await log.append(EVENTS, 0, [NewRecord(key=None, value=encode(claim))])
            asked = group.create_task(partition.ask(start("a")))
            polled = group.create_task(partition.poll("work", timeout_ms=5_000))
            await partition.processor.wait_decided(0)
    assert raised.group_contains(Fenced)
    assert asked.cancelled()
    assert polled.cancelled()
    assert partition.queues.sizes() == {"work": 0}


async def test_who_waits_is_told_when_the_processor_stops(log: HeldLog) -> None:
    """A read and a wait for a decision end with OwnershipLost; so does one that begins later."""
    partition = Partition(log)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(partition.outlet.run()), group.create_task(partition.processor.run())]
        await partition.processor.wait_recovered()
        log.hold(EVENTS)
        partition.outlet.enqueue(start("a"))
        await log.wait_held(EVENTS)
        waits = [
            group.create_task(_is_lost(partition.processor.state(WorkflowId("a")))),
            group.create_task(_is_lost(partition.processor.wait_decided(0))),
            group.create_task(_is_lost(partition.processor.wait_decided(7))),
        ]
        await turns_of_the_loop()
        for task in running:
            task.cancel()
        assert [await one for one in waits] == [True, True, True]
        assert await _is_lost(partition.processor.wait_decided(99))
        assert await _is_lost(partition.processor.state(WorkflowId("a")))
        log.release(EVENTS)


async def _is_lost(waiting: Awaitable[object]) -> bool:
    try:
        await waiting
    except OwnershipLost:
        return True
    return False


async def test_a_processor_has_stopped_only_when_its_appends_have_landed(log: HeldLog) -> None:
    """Whoever is told that it has stopped will find nothing more of it in the log."""
    partition = Partition(log)
    async with asyncio.TaskGroup() as group:
        outlet = group.create_task(partition.outlet.run())
        running = group.create_task(partition.processor.run())
        await partition.processor.wait_recovered()
        log.hold(EVENTS)
        partition.outlet.enqueue(start("a"))
        await log.wait_held(EVENTS)
        running.cancel()
        await turns_of_the_loop()
        assert not running.done()

        log.release(EVENTS)
        await asyncio.wait([running])
        assert [decision.workflow_id for decision in await decisions(log)] == ["a"]
        outlet.cancel()


async def test_commands_that_retention_took_undecided_are_stepped_over(log: HeldLog) -> None:
    """What is gone cannot be decided; what comes after it is, and the partition does not begin anew for ever."""
    async with Partition(log).running() as partition:
        await partition.ask(start("a"))
    for name in ("lost", "found"):
        await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(start(name)))])
    await log.trim(COMMANDS, 0, before_offset=2)
    async with Partition(log).running() as partition:
        await partition.processor.wait_decided(2)
        assert partition.machine.table.peek(WorkflowId("found")) is not None
        assert partition.machine.table.peek(WorkflowId("lost")) is None


async def test_commands_that_end_before_what_was_decided_halt_the_partition(log: HeldLog) -> None:
    """A topic that was made anew would have its first commands taken for decided ones: nobody goes on like that."""
    async with Partition(log).running() as partition:
        for name in ("a", "b", "c"):
            await partition.ask(start(name))
    anew = MemoryTopics(now_ms=lambda: NOW_MS)
    async with HeldLog(anew) as other:
        await other.create_topics(engine_topics(partitions=1))
        for record in await _all(log, EVENTS):
            await other.append(EVENTS, 0, [record])
        with pytest.raises(ExceptionGroup) as raised:
            async with Partition(other).running():
                await asyncio.get_running_loop().create_future()
    assert raised.group_contains(LogCorrupt, match="ends at offset 0, but everything before 3")


async def test_events_that_retention_took_halt_the_partition(log: HeldLog) -> None:
    """The log is the truth: without its beginning nothing can be built, and trying again does not help."""
    async with Partition(log).running() as partition:
        await partition.ask(start("a"))
    await log.trim(EVENTS, 0, before_offset=1)
    with pytest.raises(ExceptionGroup) as raised:
        async with Partition(log).running():
            pass
    assert raised.group_contains(LogCorrupt, match="no retention")


async def test_a_log_shorter_than_its_snapshots_halts_the_partition(log: HeldLog) -> None:
    """A log restored from an older copy is not taken for the whole."""
    async with Partition(log).running() as partition:
        await partition.ask(start("a"))
        await partition.processor._snapshots.write()  # noqa: SLF001 - a snapshot now, not in half a minute
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as other:
        await other.create_topics(engine_topics(partitions=1))
        for record in await _all(log, SNAPSHOTS):
            await other.append(SNAPSHOTS, 0, [record])
        with pytest.raises(ExceptionGroup) as raised:
            async with Partition(other).running():
                pass
    assert raised.group_contains(LogCorrupt, match="records are missing at its end")


async def test_a_full_disk_acknowledges_nothing_and_the_next_life_goes_on(log: HeldLog) -> None:
    """The decision was not stored, so it was not told; with space again it is made anew."""
    first = Partition(log)
    with pytest.raises(ExceptionGroup) as raised:
        async with first.running(), asyncio.TaskGroup() as group:
            log.fail(EVENTS, StoreFull("the disk is full"))
            asked = group.create_task(first.ask(start("a")))
            await asyncio.get_running_loop().create_future()
    assert raised.group_contains(StoreFull)
    assert asked.cancelled()
    log.heal(EVENTS)
    async with Partition(log).running() as second:
        await second.processor.wait_decided(0)
        (task,) = await second.poll("work")
        await second.ask(completed("a", 1))
        state = await second.state("a")
    assert task["workflowInstanceId"] == "a"
    assert state is not None
    assert state.status is WorkflowStatus.COMPLETED


async def _all(log: HeldLog, topic: str) -> list[NewRecord]:
    return [NewRecord(key=record.key, value=record.value) for record in await records(log, topic)]
