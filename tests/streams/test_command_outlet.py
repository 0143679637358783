"""Claims about the way of commands into the log."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from engine.commands import PauseWorkflow, StartWorkflow
from engine.ids import WorkflowId
from streams import command_outlet
from streams.command_outlet import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, CommandOutlet
from streams.errors import LogUnavailable, RecordTooLarge, StoreFull
from streams.memory import MemoryTopics
from streams.ports import NewRecord
from streams.topics import COMMANDS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import records


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of two partitions."""
    async with HeldLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=2))
        yield log


@asynccontextmanager
async def running(log: HeldLog, *, partitions: int = 1) -> AsyncGenerator[CommandOutlet]:
    """Run an outlet while the block runs."""
    outlet = CommandOutlet(log, partitions=partitions)
    async with asyncio.TaskGroup() as group:
        life = group.create_task(outlet.run())
        try:
            yield outlet
        finally:
            life.cancel()


def start(name: str, **fields: object) -> StartWorkflow:
    """Return a start."""
    return StartWorkflow(name="flow", workflow_id=WorkflowId(name), **fields)  # type: ignore[arg-type]  # its fields


async def ids_in(log: HeldLog) -> list[str]:
    """Return the workflow ids of the commands in partition 0, in order."""
    return [msgspec.json.decode(record.value or b"")["workflowId"] for record in await records(log, COMMANDS)]


async def test_commands_of_a_caller_keep_their_order_and_go_in_batches(log: HeldLog) -> None:
    """What is enqueued while an append is under way goes together into the next, in order."""
    async with running(log) as outlet:
        log.hold(COMMANDS)
        first = outlet.enqueue(start("w0"))
        await log.wait_held(COMMANDS)
        stored = [outlet.enqueue(start(f"w{number}")) for number in range(1, 1_200)]
        log.let_go(COMMANDS, 1)
        sizes = []
        for _ in range(3):
            await log.wait_held(COMMANDS)
            sizes.append(len(log._held[COMMANDS][0][1]))  # noqa: SLF001 - the batch that waits
            log.let_go(COMMANDS, 1)
        await asyncio.gather(first, *stored)
        assert await ids_in(log) == [f"w{number}" for number in range(1_200)]
    assert sizes == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 199]


async def test_a_batch_stays_below_a_brokers_limit_and_a_large_command_goes_alone(log: HeldLog) -> None:
    """So one command that is refused for its size takes no other with it."""
    async with running(log) as outlet:
        log.hold(COMMANDS)
        outlet.enqueue(start("blocks"))
        await log.wait_held(COMMANDS)
        large = "x" * (BATCH_BYTES_MAX // 2)
        stored = [outlet.enqueue(start(f"half{number}", input={"text": large})) for number in range(3)]
        too_large = outlet.enqueue(start("huge", input={"text": "x" * 1_100_000}))
        small = outlet.enqueue(start("small"))
        log.release(COMMANDS)
        await asyncio.gather(*stored, small)
        with pytest.raises(RecordTooLarge):
            await too_large
        assert await ids_in(log) == ["blocks", "half0", "half1", "half2", "small"]


@pytest.mark.parametrize("error", [LogUnavailable("silent"), StoreFull("full")], ids=["unavailable", "full"])
async def test_a_failed_append_reaches_every_waiter_of_its_batch_and_no_other(
    log: HeldLog, error: LogUnavailable | StoreFull
) -> None:
    """All of them learn the reason; what comes later is tried again."""
    async with running(log) as outlet:
        log.hold(COMMANDS)
        first = outlet.enqueue(start("first"))
        await log.wait_held(COMMANDS)
        log.lose(COMMANDS, error)
        log.fail(COMMANDS, error)
        waiting = [outlet.enqueue(start(f"w{number}")) for number in range(20)]
        outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(error)] * 21
        log.heal(COMMANDS)
        await outlet.append(start("later"))
        assert await ids_in(log) == ["later"]


async def test_flushed_waits_for_what_was_enqueued_before_and_for_nothing_later(log: HeldLog) -> None:
    """A read that follows sees all of it."""
    async with running(log) as outlet, asyncio.TaskGroup() as group:
        assert await outlet.flushed(0) is None
        log.hold(COMMANDS)
        outlet.enqueue(start("a"))
        await log.wait_held(COMMANDS)
        flushing = group.create_task(outlet.flushed(0))
        await asyncio.sleep(0)
        outlet.enqueue(start("b"))
        assert not flushing.done()
        log.let_go(COMMANDS, 1)
        assert await flushing == 0
        await log.wait_held(COMMANDS)
        log.release(COMMANDS)
        assert await outlet.flushed(0) == 1


async def test_flushed_ends_when_what_it_waits_for_is_refused(log: HeldLog) -> None:
    """What is not stored is not waited for; the newest stored one is named."""
    async with running(log) as outlet, asyncio.TaskGroup() as group:
        await outlet.append(start("a"))
        log.hold(COMMANDS)
        outlet.enqueue(start("b"))
        await log.wait_held(COMMANDS)
        flushing = group.create_task(outlet.flushed(0))
        await asyncio.sleep(0)
        log.lose(COMMANDS, StoreFull("full"))
        assert await flushing == 0


async def test_a_caller_that_has_gone_does_not_shorten_the_wait_of_others(log: HeldLog) -> None:
    """Its command is on its way all the same, and so are those before it."""
    async with running(log) as outlet, asyncio.TaskGroup() as group:
        log.hold(COMMANDS)
        outlet.enqueue(start("claim"))
        await log.wait_held(COMMANDS)
        gone = group.create_task(outlet.append(start("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        flushing = group.create_task(outlet.flushed(0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not flushing.done()
        log.release(COMMANDS)
        assert await flushing == 1
        assert await ids_in(log) == ["claim", "gone"]


async def test_partitions_do_not_wait_for_each_other(log: HeldLog) -> None:
    """Each has a lane of its own, and a workflow always the same one."""
    async with running(log, partitions=2) as outlet:
        names = {outlet.partition_of(WorkflowId(name)): name for name in ("a", "b", "c", "d")}
        assert set(names) == {0, 1}
        await asyncio.gather(*(outlet.append(start(name)) for name in names.values()))
        for partition, name in names.items():
            held = await log.offsets(COMMANDS, partition)
            assert held.next == 1, name
        await outlet.append(PauseWorkflow(workflow_id=WorkflowId(names[1])))
        assert (await log.offsets(COMMANDS, 1)).next == 2


async def test_nobody_waits_for_an_outlet_that_has_closed(log: HeldLog) -> None:
    """What was not appended fails, what comes later fails at once, and a flush ends."""
    async with asyncio.TaskGroup() as group:
        async with running(log) as outlet:
            log.hold(COMMANDS)
            waiting = [outlet.enqueue(start("a"))]
            await log.wait_held(COMMANDS)
            waiting.append(outlet.enqueue(start("b")))
            flushing = group.create_task(outlet.flushed(0))
            await asyncio.sleep(0)
        for stored in [
            *waiting,
            outlet.enqueue(start("c")),
            outlet.enqueue_record(1, NewRecord(key=None, value=b"{}")),
        ]:
            with pytest.raises(LogUnavailable, match="stopping"):
                await stored
        await flushing
        assert outlet.is_closed


async def test_callers_are_turned_away_when_too_many_wait(log: HeldLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the patience of clients; effects of decisions are never turned away."""
    monkeypatch.setattr(command_outlet, "WAITING_MAX", 10)
    async with running(log) as outlet:
        log.hold(COMMANDS)
        stored = [outlet.enqueue(start("first"))]
        await log.wait_held(COMMANDS)
        stored += [outlet.enqueue(start(f"w{number}")) for number in range(10)]
        with pytest.raises(LogUnavailable, match="10 commands wait for partition 0"):
            await outlet.append(start("refused"))
        stored.append(outlet.enqueue(start("effect")))
        log.release(COMMANDS)
        await asyncio.gather(*stored)
        await outlet.append(start("welcome"))
