"""What the machine of a partition does about limiters: through the log, over takeovers and snapshots."""

import pytest

from engine.commands import AnswerSlot, Command, RemoveWorkflow, TerminateWorkflow
from engine.definitions import TaskDef, WorkflowDef
from engine.ids import TaskId, WorkflowId
from engine.limiter.commands import AcquireSlot, ReleaseSlot
from engine.limiter.ids import limiter_id
from engine.limiter.limits import Limits, LimitSource
from engine.status import WorkflowStatus
from streams.memory import MemoryLog
from streams.partition.machine import PartitionMachine
from streams.partition.restoring import restore
from streams.partition.snapshots import SnapshotCycle
from streams.partition.turn import Outbox
from tests.engine.building import task
from tests.streams.partition.driving import Ground, result, start

SCARCE = TaskDef(name="scarce", concurrent_exec_limit=1)
FLOW = WorkflowDef(name="flow", tasks=(task("scarce"),))
KEY = limiter_id("task", "scarce")


class Queue:
    """What a machine has handed out; its commands come back to it, since there is one partition."""

    def __init__(self, ground: Ground, machine: PartitionMachine) -> None:
        """Begin with nothing handed out."""
        self.ground = ground
        self.machine = machine
        self.out: list[str] = []

    def settle(self, outbox: Outbox) -> None:
        """Do what an outbox says, and what that leads to."""
        while True:
            self.out += [f"{state.workflow_id}~{found.spec.seq}" for state, found in outbox.dispatches]
            self.out = [name for name in self.out if TaskId(name) not in outbox.retracts]
            if not outbox.commands:
                return
            outbox = self.ground.settle(self.machine, *outbox.commands)

    def when(self, *commands: object) -> None:
        """Decide about commands and settle."""
        self.settle(self.ground.settle(self.machine, *commands))  # type: ignore[arg-type]  # commands


def taken_over(ground: Ground) -> Queue:
    """Return what a new owner hands out."""
    machine, outbox = ground.take_over()
    queue = Queue(ground, machine)
    queue.settle(outbox)
    return queue


def test_slots_go_from_workflow_to_workflow_as_attempts_end() -> None:
    """One at a time, in order, each as soon as the one before has ended."""
    ground = Ground(FLOW, SCARCE)
    queue = taken_over(ground)
    for name in ("a", "b", "c"):
        queue.when(start(name))
    assert queue.out == ["a~1"]
    queue.when(result(1, workflow_id="a"))
    assert queue.out == ["b~1"]
    queue.when(TerminateWorkflow(workflow_id=WorkflowId("b")))
    assert queue.out == ["c~1"]


def test_grant_leaves_with_the_acknowledgement_of_the_limiters_decision() -> None:
    """A limiter's answer is an effect like any other: nothing outside ever sees one that is not in the log."""
    ground = Ground(FLOW, SCARCE)
    machine, _ = ground.take_over()
    (acquire,) = ground.settle(machine, start("a")).commands
    turn = ground.decide(machine, acquire)
    (record,) = [item.record for item in turn.decided]
    assert record.workflow_id == WorkflowId(KEY)
    assert not record.events
    assert len(record.limiter_events) == 2
    (answer,) = machine.acknowledged(turn, ground.append(turn.records)).commands
    assert isinstance(answer, AnswerSlot)


@pytest.mark.parametrize("step", range(6))
def test_owner_that_dies_between_any_two_steps_loses_no_slot_and_gives_none_twice(step: int) -> None:
    """Its successor derives what may not have arrived, and everybody is served in the end."""
    ground = Ground(FLOW, SCARCE)
    machine, outbox = ground.take_over()
    pending: list[Command] = [start("a"), start("b")]
    for _ in range(step):  # as far as the first owner gets; what it sent last never arrives
        outbox = ground.settle(machine, *pending)
        pending = list(outbox.commands) or [result(1, workflow_id="a")]
    queue = taken_over(ground)
    for name in ("a", "b"):
        queue.when(start(name))
    for name in ("a", "b"):
        queue.when(result(1, workflow_id=name))
    for name in ("a", "b"):
        state = queue.machine.table.get(WorkflowId(name))
        assert state is not None
        assert state.status is WorkflowStatus.COMPLETED
    limiter = queue.machine.limiters.get(KEY)
    assert limiter is not None
    assert not limiter.held
    assert not limiter.waiting


def test_answer_for_a_workflow_that_is_gone_gives_the_slot_back() -> None:
    """A former owner may ask for somebody long after its end: what it gets comes back."""
    ground = Ground(FLOW, SCARCE)
    queue = taken_over(ground)
    source = LimitSource(kind="task", name="scarce")
    for holder in ("gone~1", "gone~2"):
        acquire = AcquireSlot(limiter_id=KEY, holder=TaskId(holder), limits=Limits(at_once=1), source=source)
        queue.when(acquire)
    limiter = queue.machine.limiters.get(KEY)
    assert limiter is not None
    assert not limiter.held
    assert not limiter.waiting


def test_answer_for_an_attempt_that_has_ended_gives_the_slot_back() -> None:
    """The slot was on its way when its attempt was cancelled."""
    ground = Ground(FLOW, SCARCE)
    machine, _ = ground.take_over()
    (acquire,) = ground.settle(machine, start("a")).commands
    (answer,) = ground.settle(machine, acquire).commands
    ended = ground.settle(machine, TerminateWorkflow(workflow_id=WorkflowId("a")))
    late = ground.settle(machine, answer)
    assert [type(command) for command in (*ended.commands, *late.commands)] == [ReleaseSlot, ReleaseSlot]
    ground.settle(machine, *ended.commands, *late.commands)
    limiter = machine.limiters.get(KEY)
    assert limiter is not None
    assert not limiter.held


def test_slot_of_a_workflow_that_is_removed_comes_back_over_a_takeover() -> None:
    """Its release was on its way when its owner died, and nobody holds the workflow any more."""
    ground = Ground(FLOW, SCARCE)
    machine, _ = ground.take_over()
    (acquire,) = ground.settle(machine, start("a")).commands
    (answer,) = ground.settle(machine, acquire).commands
    ground.settle(machine, answer)
    ground.settle(machine, TerminateWorkflow(workflow_id=WorkflowId("a")), RemoveWorkflow(workflow_id=WorkflowId("a")))
    queue = taken_over(ground)
    assert WorkflowId("a") not in queue.machine.table
    limiter = queue.machine.limiters.get(KEY)
    assert limiter is not None
    assert not limiter.held


def test_raised_limit_is_found_out_of_date_and_serves_those_who_wait() -> None:
    """Nobody need ask: whoever follows the definitions tells the limiter to look."""
    ground = Ground(FLOW, SCARCE)
    queue = taken_over(ground)
    for name in ("a", "b", "c"):
        queue.when(start(name))
    assert queue.machine.outdated_limits() == []
    ground.shelf.add(TaskDef(name="scarce", concurrent_exec_limit=2))
    queue.when(*queue.machine.outdated_limits())
    assert queue.out == ["a~1", "b~1"]


def test_rate_is_kept_by_a_timer_that_a_new_owner_takes_up() -> None:
    """Who waits for the window is served when it has moved on, whoever owns the limiter then."""
    ground = Ground(FLOW, TaskDef(name="scarce", rate_limit_per_frequency=1, rate_limit_frequency_in_seconds=5))
    queue = taken_over(ground)
    queue.when(start("a"), start("b"))
    queue.when(result(1, workflow_id="a"))
    assert queue.out == []
    queue = taken_over(ground)
    due_at_ms = queue.machine.timers.next_due_at_ms()
    assert due_at_ms == ground.now_ms + 5_000
    ground.now_ms = due_at_ms
    queue.when()
    assert queue.out == ["b~1"]


POISON = (
    b'{"command":"release_slot","limiterId":"wf","holder":"a~1"}',
    b'{"command":"acquire_slot","limiterId":"#task:x","holder":"nobody","limits":{},"source":{"kind":"task","name":"x"}}',
    b'{"command":"fire_timer","workflowId":"#task:x","taskSeq":0}',
)


@pytest.mark.parametrize("named", POISON)
def test_whatever_is_written_to_the_topic_stops_nothing(named: bytes) -> None:
    """Anybody may write there."""
    ground = Ground(FLOW, SCARCE)
    queue = taken_over(ground)
    queue.when(ground.bytes(named))
    queue.when(start("a"))
    assert queue.out == ["a~1"]


async def test_limiter_comes_back_from_a_snapshot() -> None:
    """With its holders and its line."""
    ground = Ground(FLOW, SCARCE)
    queue = taken_over(ground)
    queue.when(start("a"), start("b"))
    queue.machine.effects_done(queue.machine.chain.sequence)
    restored = ground.machine()
    async with MemoryLog(ground.topics) as log:
        await SnapshotCycle(log, 0, queue.machine, trim_commands=False).write()
        await restore(log, 0, restored)
    assert list(restored.limiters) == list(queue.machine.limiters)
    assert restored.limiters.get(KEY) is not None
