"""Claims about claims."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from engine.ids import TaskId
from streams.command_outlet import CommandOutlet
from streams.dispatch import claims as claims_module
from streams.dispatch.claims import Claims
from streams.dispatch.queues import QueuedTask
from streams.errors import LogUnavailable, StoreFull
from streams.memory import MemoryTopics
from streams.topics import COMMANDS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import records


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


def queued(told: asyncio.Event) -> QueuedTask:
    """Return a task that tells when it is claimed."""
    return QueuedTask(task_id=TaskId("wf~3"), task_type="t", render=dict, on_claimed=told.set)


async def test_a_claim_is_durable_before_the_task_is_told(log: HeldLog) -> None:
    """So whoever gave the task out may forget it then, and not before."""
    outlet, told = CommandOutlet(log, partitions=1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outlet.run())
        log.hold(COMMANDS)
        Claims(outlet).claim(queued(told), "w", 77)
        await log.wait_held(COMMANDS)
        assert not told.is_set()
        log.release(COMMANDS)
        await told.wait()
        running.cancel()
    (record,) = await records(log, COMMANDS)
    assert msgspec.json.decode(record.value or b"") == {
        "command": "claim_task",
        "workflowInstanceId": "wf",
        "taskId": "wf~3",
        "workerId": "w",
        "claimedAtMs": 77,
    }


@pytest.mark.parametrize("error", [LogUnavailable("silent"), StoreFull("full")], ids=["unavailable", "full"])
async def test_a_claim_is_repeated_until_the_log_takes_it(
    log: HeldLog, error: LogUnavailable | StoreFull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nothing would ever miss a worker that died with the task."""
    monkeypatch.setattr(claims_module, "CLAIM_AGAIN_AFTER_S", 0.0)
    outlet, told = CommandOutlet(log, partitions=1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outlet.run())
        log.fail(COMMANDS, error)
        Claims(outlet).claim(queued(told), "w", 77)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not told.is_set()
        log.heal(COMMANDS)
        await told.wait()
        running.cancel()
    assert len(await records(log, COMMANDS)) == 1


async def test_a_claim_is_given_up_when_the_process_stops(log: HeldLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner offers the task again; nothing is left that tries."""
    monkeypatch.setattr(claims_module, "CLAIM_AGAIN_AFTER_S", 0.0)
    outlet, told = CommandOutlet(log, partitions=1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(outlet.run())
        log.fail(COMMANDS, LogUnavailable("silent"))
        Claims(outlet).claim(queued(told), "w", 77)
        await asyncio.sleep(0)
        running.cancel()
    log.heal(COMMANDS)
    for _ in range(50):
        await asyncio.sleep(0)
    assert await records(log, COMMANDS) == []
    assert not told.is_set()
