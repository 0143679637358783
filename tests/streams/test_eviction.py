"""Claims about forgetting workflows that have ended."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from engine.commands import RestartWorkflow
from engine.ids import WorkflowId
from streams.eviction import GRACE_MS, Evictions
from streams.memory import MemoryTopics
from streams.ownership import OwnedPartitions
from streams.topics import EVENTS, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, completed, start

A = WorkflowId("a")


class Ground:
    """One partition, and a history that is as far as the test says."""

    def __init__(self, log: HeldLog) -> None:
        """Begin with a history that knows nothing."""
        self.partition = Partition(log)
        self.projected = 0
        self.owned = OwnedPartitions(lambda _: self.partition.processor, on_change=_ignore, announce=_nobody)
        self.evictions = Evictions(self.owned, projected=lambda _: self.projected, now_ms=lambda: self.partition.now_ms)

    def note(self) -> None:
        """Say that the workflow has ended."""
        state = self.partition.machine.table.peek(A)
        assert state is not None
        self.evictions.note(0, state)

    async def wait_sent(self) -> None:
        """Return when all effects have arrived."""
        machine = self.partition.machine
        while machine.effects_sent < machine.chain.sequence:
            await asyncio.sleep(0)

    def has_it(self) -> bool:
        """Tell whether the workflow is in memory."""
        return A in self.partition.machine.table


def _ignore(partition: int, *, owned: bool) -> None:
    del partition, owned


async def _nobody(partition: int, epoch: int) -> None:
    del partition, epoch


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


@pytest.fixture
async def ground(log: HeldLog) -> AsyncGenerator[Ground]:
    """An ended workflow in memory."""
    ground = Ground(log)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(ground.owned.run()), group.create_task(ground.partition.outlet.run())]
        await ground.owned.on_assigned(frozenset({0}))
        await ground.owned.wait_deciding(0, timeout_ms=5_000)
        await ground.partition.ask(start("a"))
        await ground.partition.ask(completed("a", 1))
        ground.note()
        await ground.wait_sent()
        yield ground
        for task in running:
            task.cancel()


def next_offset(ground: Ground) -> int:
    """Return the offset that the history must reach to have everything."""
    return ground.partition.machine.acknowledged_position.next_offset


async def test_an_ended_workflow_stays_for_its_grace_and_until_the_history_has_it(ground: Ground) -> None:
    """Both must be over: the time in which it is most likely asked for, and the way into the history."""
    ground.projected = next_offset(ground)
    assert ground.evictions.evict() == 0
    ground.partition.now_ms += GRACE_MS
    ground.projected -= 1
    assert ground.evictions.evict() == 0
    assert ground.has_it()
    ground.projected += 1
    assert ground.evictions.evict() == 1
    assert not ground.has_it()
    assert ground.evictions.evict() == 0


async def test_a_history_of_which_nothing_is_known_lets_nothing_go(ground: Ground) -> None:
    """Position 0 is that of a history that has nothing, or cannot answer."""
    ground.partition.now_ms += 100 * GRACE_MS
    assert ground.evictions.evict() == 0
    assert ground.has_it()


async def test_a_late_result_is_waited_for_by_the_history_too(ground: Ground) -> None:
    """What is let go of is in the history to its last event."""
    before = next_offset(ground)
    await ground.partition.ask(completed("a", 1))
    await ground.wait_sent()
    ground.partition.now_ms += GRACE_MS
    ground.projected = before
    assert ground.evictions.evict() == 0
    ground.projected = next_offset(ground)
    assert ground.evictions.evict() == 0
    ground.partition.now_ms += GRACE_MS
    ground.projected = before
    assert ground.evictions.evict() == 0
    assert ground.has_it()
    ground.projected = next_offset(ground)
    assert ground.evictions.evict() == 1


async def test_a_workflow_that_runs_again_stays(ground: Ground) -> None:
    """A restart within the grace takes it off the list."""
    await ground.partition.ask(RestartWorkflow(workflow_id=A))
    ground.partition.now_ms += GRACE_MS
    ground.projected = next_offset(ground)
    assert ground.evictions.evict() == 0
    assert ground.has_it()


async def test_a_decision_that_is_not_in_the_log_keeps_its_workflow(ground: Ground, log: HeldLog) -> None:
    """A late result has been decided and not written: the history cannot have it."""
    log.hold(EVENTS)
    ground.partition.outlet.enqueue(completed("a", 1))
    await log.wait_held(EVENTS)
    ground.projected = 1_000_000
    ground.partition.now_ms += GRACE_MS
    assert ground.evictions.evict() == 0
    assert ground.has_it()
    log.release(EVENTS)
    await ground.partition.settled()
    await ground.wait_sent()
    assert ground.evictions.evict() == 0
    ground.partition.now_ms += GRACE_MS
    assert ground.evictions.evict() == 1


async def test_what_left_with_its_partition_is_noted_by_whoever_recovers_it(ground: Ground) -> None:
    """Nothing of a partition that is not here is remembered."""
    await ground.owned.on_revoked(frozenset({0}))
    ground.partition.now_ms += GRACE_MS
    ground.projected = 1_000_000
    assert ground.evictions.evict() == 0
    assert cast("dict[int, object]", ground.evictions._waiting) == {}  # noqa: SLF001 - the memory is what this is about
