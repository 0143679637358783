"""What the machine of a partition decides, and what may leave it when."""

import json
from itertools import pairwise

import msgspec
import pytest

from engine.commands import (
    PauseWorkflow,
    ReportChildEnd,
    RestartWorkflow,
    ResumeWorkflow,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.definitions import SubWorkflowParams, TaskDef, WorkflowDef
from engine.errors import InvariantViolated
from engine.events import TaskEnded, WorkflowStarted
from engine.ids import TaskSeq, WorkflowId, child_workflow_id, task_id
from engine.model import RunningTask
from engine.rejections import RejectionCode
from engine.status import TaskStatus, WorkflowStatus
from streams import records
from streams.errors import Fenced
from streams.partition import machine as machine_module
from streams.partition.machine import PartitionMachine
from streams.partition.timers import WHOLE_WORKFLOW
from streams.partition.turn import Outbox
from streams.ports import NewRecord
from streams.records import DecisionPart, decode
from streams.topics import partition_of
from tests.engine.building import task
from tests.streams.partition.driving import NOW_MS, Ground, result, start

FLOW = WorkflowDef(name="flow", tasks=(task("one"), task("two")))
WF = WorkflowId("wf")


def dispatched(outbox: Outbox) -> list[str]:
    """Return the refs of the tasks that are handed out."""
    return [found.spec.ref for _, found in outbox.dispatches]


def elsewhere(partitions: int, home: int) -> str:
    """Return a workflow id that belongs into a partition."""
    return next(name for number in range(100) if partition_of((name := f"w{number}").encode(), partitions) == home)


# ---- the law of the log


def test_a_decision_carries_its_command_epoch_sequence_and_hash() -> None:
    """What a reader needs in order to believe a record is in it."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start(request_id="q1"))
    ground.settle(machine, result(1))
    first, second = ground.decisions()
    assert (first.command_offset, first.epoch, first.sequence, first.request_id) == (0, 0, 1, "q1")
    assert (second.command_offset, second.sequence) == (1, 2)
    assert second.previous == records.chain_hash(first.previous, records.encode(first))
    assert isinstance(first.events[0], WorkflowStarted)


def test_effects_and_answers_leave_with_the_acknowledgement() -> None:
    """Deciding gives records only; the task and the answer come when they are in the log."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    turn = ground.decide(machine, start(request_id="q1"))
    assert machine.timers.next_due_at_ms() is None
    outbox = machine.acknowledged(turn, ground.append(turn.records))
    assert dispatched(outbox) == ["one"]
    ((request_id, answer),) = outbox.replies
    assert (request_id, answer.workflow_id, answer.rejected) == ("q1", WF, None)
    assert answer.state == machine.table.get(WF)


def test_turns_in_flight_are_acknowledged_in_their_order() -> None:
    """Several may wait; each effect follows the effects of the turn before it."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    turns = [ground.decide(machine, command) for command in (start(), result(1), result(2))]
    assert machine.in_flight == 3
    offsets = [ground.append(turn.records) for turn in turns]
    with pytest.raises(InvariantViolated, match="in the order"):
        machine.acknowledged(turns[1], offsets[1])
    outboxes = [machine.acknowledged(turn, offset) for turn, offset in zip(turns, offsets, strict=True)]
    assert [dispatched(outbox) for outbox in outboxes] == [["one"], ["two"], []]
    assert [state.status for state in outboxes[2].outcomes] == [WorkflowStatus.COMPLETED]
    assert [outbox.sequence for outbox in outboxes] == [1, 2, 3]


def test_another_offset_than_the_next_one_fences_the_owner() -> None:
    """Somebody else appended: nothing of the turn leaves, and it is nowhere acknowledged."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    turn = ground.decide(machine, start())
    ground.claim("another node")
    with pytest.raises(Fenced, match="offset 1 was expected, the log says 2"):
        machine.acknowledged(turn, ground.append(turn.records))
    assert machine.acknowledged_position.sequence == 0


def test_what_a_fenced_owner_appended_is_decided_anew_by_its_successor() -> None:
    """A zombie's record behind the claim is void, so the command has still to be decided."""
    ground = Ground(FLOW)
    zombie, _ = ground.take_over()
    ground.settle(zombie, start())
    command = ground.command(result(1, output={"by": "worker"}))
    turn = ground.decide(zombie, command)
    claimed_at = ground.claim("another node")
    ground.append(turn.records)
    successor = ground.machine()
    for record in ground.events(until=claimed_at):
        successor.replay(record)
    successor.recovered()
    assert successor.chain.command_offset == 0
    with pytest.raises(Fenced):  # the zombie's record lies where the successor's first turn should
        ground.settle(successor, command)
    after = ground.take_over()[0]
    assert after.chain.command_offset == 1
    assert isinstance(ground.decisions()[-1].events[0], TaskEnded)


def test_commands_that_were_decided_are_passed_over() -> None:
    """A reader that starts too early does no harm: the offset is what counts."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    first = ground.command(start())
    ground.settle(machine, first)
    assert machine.decide([first], NOW_MS) is None
    second = ground.command(result(1))
    turn = ground.decide(machine, first, second, second)
    assert [item.record.command_offset for item in turn.decided] == [1]


def test_time_never_goes_back_from_one_decision_to_the_next() -> None:
    """A new owner whose clock is behind decides at the instant at which the log stands."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    ground.now_ms -= 60_000
    ground.settle(machine, result(1))
    after, _ = ground.take_over()
    ground.settle(after, result(2))
    assert [decision.at_ms for decision in ground.decisions()] == [NOW_MS] * 3


def test_time_does_not_go_back_behind_a_snapshot() -> None:
    """An owner that restores a snapshot with nothing after it still knows where the log stands in time."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    position, packed = machine.acknowledged_position, machine.table.packed(WF)
    assert packed is not None
    ground.now_ms -= 60_000
    claimed_at = ground.claim()
    after = ground.machine()
    after.restore(position)
    after.restore_workflow(WF, packed, sequence=1, due_at_ms=0)
    after.replay(ground.events()[claimed_at])
    after.recovered()
    ground.settle(after, result(1))
    assert [decision.at_ms for decision in ground.decisions()] == [NOW_MS, NOW_MS]


# ---- commands that are none, or not ours


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"command":"no_such"}',
        b'{"command":"pause_workflow"}',
        b'{"command":"pause_workflow","workflowId":"\\ud800"}',
        b'{"command":"start_workflow","name":"flow","input":{"n":1e999}}',
        b'{"command":"start_workflow","name":"flow","workflowId":5}',
    ],
)
def test_an_unreadable_command_is_parked_with_its_bytes(value: bytes) -> None:
    """It is decided once, as unreadable, and goes to the dead letters when that is in the log."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    source = ground.bytes(value)
    outbox = ground.settle(machine, source)
    ((parked, why),) = outbox.dead_letters
    assert parked == source
    assert why.startswith("not a command")
    assert [decision.command_offset for decision in ground.decisions()] == [0]


def test_a_start_whose_key_is_not_text_is_parked() -> None:
    """A start without an id takes the record's key, which must then be one."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    value = msgspec.json.encode(StartWorkflow(name="flow"))
    assert len(ground.settle(machine, ground.bytes(value, key=b"\xff")).dead_letters) == 1


@pytest.mark.parametrize("depth", [100, 300, 900, *range(930, 1_000, 3), 5_000])
def test_no_nesting_of_a_command_stops_the_partition(depth: int) -> None:
    """JSON is read and written again a few levels deeper, by this owner and the next: too deep is parked in time."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    source = ground.bytes(b'{"command":"start_workflow","name":"flow","input":' + nested + b"}")
    ground.settle(machine, source)
    after, _ = ground.take_over()
    ground.settle(after, result(1))
    assert after.table.packed(WF) is not None or ground.decisions()[0].parked


def test_a_decision_that_would_be_nested_too_deep_is_parked() -> None:
    """The depth of what is written counts, not of what came in; nothing of the refused decision stays behind."""
    deeper = {"input": {"x": {"y": {"z": "${workflow.input}"}}}}
    ground = Ground(WorkflowDef(name="flow", tasks=(task("one", input_parameters=deeper),)))
    machine, _ = ground.take_over()
    depth = records.DEPTH_MAX - 5
    nested = json.loads("[" * depth + "]" * depth)
    outbox = ground.settle(machine, start(input={"x": nested}, request_id="q"))
    assert WF not in machine.table
    ((_, answer),) = outbox.replies
    assert answer.rejected is not None
    assert "deep" in answer.rejected.reason
    assert ground.take_over()[0].table.get(WF) is None


def test_a_command_of_another_partition_is_forwarded_there() -> None:
    """A producer with another partitioner is not refused; the bytes go on as they came."""
    away = elsewhere(2, 1)
    ground = Ground(FLOW, partitions=2)
    machine, _ = ground.take_over()
    source = ground.command(start(away))
    outbox = ground.settle(machine, source)
    assert outbox.forwards == [(1, source)]
    assert away not in machine.table
    assert ground.decisions()[0].forwarded == 1


def started_id(key: bytes | None) -> WorkflowId:
    """Return the id that a start without one is given in partition 1 of 2."""
    ground = Ground(FLOW, partition=1, partitions=2)
    machine, _ = ground.take_over()
    ground.settle(machine, ground.bytes(msgspec.json.encode(StartWorkflow(name="flow")), key=key))
    return ground.decisions()[0].workflow_id


def test_a_start_without_id_takes_the_key_of_its_record() -> None:
    """And without a key one that is derived from the record's place: decided again, it is the same."""
    assert started_id(b"chosen") == "chosen"
    assert started_id(None) == started_id(None)
    assert partition_of(started_id(None).encode(), 2) == 1


@pytest.mark.parametrize("workflow_id", ["", "with space", "~marker", "ü", "x" * 201])
def test_what_is_no_workflow_id_is_refused(workflow_id: str) -> None:
    """Ids go into keys, file names and URLs."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    source = ground.bytes(msgspec.json.encode(start(workflow_id, request_id="q")))
    ((_, answer),) = ground.settle(machine, source).replies
    assert answer.rejected is not None
    assert answer.rejected.code is RejectionCode.ARGUMENT_INVALID


def test_a_defect_in_deciding_parks_that_command_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command must not stop the others; its caller is told."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()

    def broken(*_: object) -> None:
        raise KeyError("a defect")

    with monkeypatch.context() as broken_engine:
        broken_engine.setattr(machine_module, "decide", broken)
        outbox = ground.settle(machine, start(request_id="q1"))
    assert "a defect" in outbox.dead_letters[0][1]
    assert outbox.replies[0][1].rejected is not None
    assert dispatched(ground.settle(machine, start())) == ["one"]


# ---- large decisions


FOURFOLD = WorkflowDef(
    name="flow", tasks=(task("one", input_parameters=dict.fromkeys("abcd", "${workflow.input.text}")),)
)


@pytest.mark.parametrize("text", ["x" * 600_000, "🎬" * 200_000, '"' * 400_000, "é\\" * 200_000], ids="x🎬q\\")
def test_a_decision_above_the_record_limit_is_split_and_read_as_one(text: str) -> None:
    """Every part fits into a record, whatever the text; the reader joins them."""
    ground = Ground(FOURFOLD)
    machine, _ = ground.take_over()
    ground.settle(machine, start(input={"text": text}))
    parts = [decode(record.value or b"") for record in ground.events()[1:]]
    assert len(parts) > 2
    assert all(isinstance(part, DecisionPart) for part in parts)
    after, outbox = ground.take_over()
    assert after.table.get(WF) == machine.table.get(WF)
    assert dispatched(outbox) == ["one"]


def test_a_split_decision_without_its_last_part_is_void() -> None:
    """The command is still to be decided, and the next owner does."""
    ground = Ground(FOURFOLD)
    machine, _ = ground.take_over()
    command = ground.command(start(input={"text": "x" * 600_000}))
    turn = ground.decide(machine, command)
    ground.append(turn.records[:-1])
    after, outbox = ground.take_over()
    assert after.chain.command_offset == -1
    assert outbox == Outbox()
    assert dispatched(ground.settle(after, command)) == ["one"]


# ---- sub-workflows


def parent_of(child: str) -> WorkflowDef:
    """Return a workflow with one child."""
    return WorkflowDef(
        name="flow", tasks=(task("sub", "SUB_WORKFLOW", sub_workflow_param=SubWorkflowParams(name=child)),)
    )


CHILD = child_workflow_id(WF, TaskSeq(1))
LEAF = WorkflowDef(name="leaf", tasks=(task("leaf"),))


def test_a_child_that_is_refused_tells_its_parent() -> None:
    """The definition is gone when the child's start is decided: the parent must not wait for ever."""
    ground = Ground(parent_of("leaf"), LEAF)
    machine, _ = ground.take_over()
    (command,) = ground.settle(machine, start()).commands
    gone = Ground(parent_of("leaf"))
    child_owner, _ = gone.take_over()
    (notice,) = gone.settle(child_owner, command).commands
    assert isinstance(notice, ReportChildEnd)
    assert (notice.workflow_id, notice.task_seq, notice.child_id, notice.status) == (WF, 1, CHILD, "FAILED")
    (again,) = gone.take_over()[1].commands
    assert again == notice
    (outcome,) = ground.settle(machine, notice).outcomes
    assert outcome.status is WorkflowStatus.FAILED


def test_a_child_that_ran_and_was_forgotten_does_not_run_again() -> None:
    """An owner that lost the partition may send a start late, long after the child has ended."""
    ground = Ground(parent_of("leaf"), LEAF)
    machine, _ = ground.take_over()
    (child_start,) = ground.settle(machine, start()).commands
    ground.settle(machine, child_start)
    (end,) = ground.settle(machine, result(1, workflow_id=CHILD)).commands
    ground.settle(machine, end)
    machine.evict(CHILD)
    late = ground.settle(machine, child_start)
    assert dispatched(late) == []
    assert CHILD not in machine.table


# ---- recovery


def test_recovery_sends_again_exactly_what_was_not_done() -> None:
    """Every record says up to where effects were done; what lies behind is sent again, nothing else."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    machine.effects_done(ground.settle(machine, start("a")).sequence)
    machine.effects_done(ground.settle(machine, start("b")).sequence)
    ground.settle(machine, start("c"))
    ground.settle(machine, start("d", request_id="q"))
    after, outbox = ground.take_over()
    assert [state.workflow_id for state, _ in outbox.dispatches] == ["c", "d"]
    assert [request_id for request_id, _ in outbox.replies] == ["q"]
    after.effects_done(outbox.sequence)
    ground.settle(after, start("e"))
    assert [state.workflow_id for state, _ in ground.take_over()[1].dispatches] == ["e"]


def test_recovery_knows_effects_as_they_stand_now() -> None:
    """A task that has ended since is not handed out again, but what came after it is."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    ground.settle(machine, result(1))
    assert dispatched(ground.take_over()[1]) == ["two"]


def test_recovery_names_the_forwarded_and_parked_commands_to_read_again() -> None:
    """Their bytes are in `commands`, not in the decision."""
    ground = Ground(FLOW, partitions=2)
    machine, _ = ground.take_over()
    ground.settle(machine, ground.command(start(elsewhere(2, 1))), ground.bytes(b"{"))
    rereads = ground.take_over()[1].rereads
    assert [(decision.command_offset, decision.forwarded) for decision in rereads] == [(0, 1), (1, None)]


def test_recovered_state_is_the_live_state() -> None:
    """Replaying the log leads to what the owner had, timers included."""
    ground = Ground(FLOW, TaskDef(name="one", response_timeout_seconds=7))
    machine, _ = ground.take_over()
    ground.settle(machine, start("a"), start("b"), result(1, workflow_id="b"))
    ground.settle(machine, result(1, TaskStatus.FAILED, workflow_id="a"), PauseWorkflow(workflow_id=WorkflowId("b")))
    after, _ = ground.take_over()
    assert list(after.table.states()) == list(machine.table.states())
    assert after.timers.next_due_at_ms() == machine.timers.next_due_at_ms()
    assert after.changed.keys() == {"a", "b"}


def test_without_durable_queues_recovery_hands_out_all_that_waits() -> None:
    """What lived in the memory of the dead process waits again, whether or not its effects were done."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over(durable_queues=False)
    machine.effects_done(ground.settle(machine, start()).sequence)
    machine.effects_done(ground.settle(machine, start("other")).sequence)
    ground.settle(machine, PauseWorkflow(workflow_id=WorkflowId("unknown")))  # a record that says how far effects are
    assert dispatched(ground.take_over(durable_queues=True)[1]) == []
    assert dispatched(ground.take_over(durable_queues=False)[1]) == ["one", "one"]


def test_a_snapshot_and_the_tail_lead_to_the_live_state() -> None:
    """A snapshot may be ahead of the position: decisions that it reflects are not applied twice."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    position = machine.acknowledged_position
    ground.settle(machine, result(1))
    packed = machine.table.packed(WF)
    assert packed is not None
    ground.settle(machine, result(2, TaskStatus.FAILED))
    after = ground.machine()
    after.restore(position)
    after.restore_workflow(WF, packed, sequence=2, due_at_ms=0)
    for record in ground.events()[position.next_offset :]:
        after.replay(record)
    assert after.table.get(WF) == machine.table.get(WF)


# ---- timers


def test_a_timer_fires_at_its_instant_as_a_decision_of_its_own() -> None:
    """Not a millisecond before; and it stands in the log with no command."""
    ground = Ground(FLOW, TaskDef(name="one", retry_count=1, retry_delay_seconds=5))
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    ground.settle(machine, result(1, TaskStatus.FAILED))
    due_at_ms = machine.timers.next_due_at_ms()
    assert due_at_ms == NOW_MS + 5_000
    assert machine.decide([], due_at_ms - 1) is None
    turn = machine.decide([], due_at_ms)
    assert turn is not None
    assert dispatched(machine.acknowledged(turn, ground.append(turn.records))) == ["one"]
    assert [(found.cause, found.command_offset) for found in ground.decisions()[-1:]] == [("fire_timer", -1)]


def test_a_timer_that_became_moot_in_flight_leaves_no_record() -> None:
    """The result was decided, its acknowledgement is under way, and the old timer fires: nothing to say."""
    ground = Ground(FLOW, TaskDef(name="one", poll_timeout_seconds=5))
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    turn = ground.decide(machine, result(1))
    assert machine.decide([], NOW_MS + 5_000) is None
    machine.acknowledged(turn, ground.append(turn.records))
    assert machine.timers.next_due_at_ms() is None


def restored_waiting(count: int) -> tuple[Ground, PartitionMachine]:
    """Return a machine that has so many workflows from a snapshot, each with a timer that is due."""
    ground = Ground(FLOW, TaskDef(name="one", poll_timeout_seconds=5))
    machine, _ = ground.take_over()
    ground.settle(machine, *(start(f"w{number}") for number in range(count)))
    after = ground.machine()
    after.restore(machine.acknowledged_position)
    for workflow_id in machine.table.ids():
        packed = machine.table.packed(workflow_id)
        assert packed is not None
        after.restore_workflow(workflow_id, packed, sequence=1, due_at_ms=NOW_MS + 5_000)
    claimed_at = ground.claim()
    after.replay(ground.events()[claimed_at])
    after.recovered()
    return ground, after


def test_the_one_timer_of_a_restored_workflow_stands_for_all_of_its_timers() -> None:
    """It unpacks the workflow when it is due, and what is due of it happens."""
    _, machine = restored_waiting(1)
    assert machine.timers.next_due_at_ms() == NOW_MS + 5_000
    assert machine.decide([], NOW_MS + 4_999) is None
    turn = machine.decide([], NOW_MS + 5_000)
    assert turn is not None
    assert [item.record.cause for item in turn.decided] == ["fire_timer"]


def test_a_turn_fires_a_bounded_number_of_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long outage everything is due at once: each turn takes some, in order, and all come to their turn."""
    monkeypatch.setattr(machine_module, "TIMERS_PER_TURN_MAX", 4)
    ground, machine = restored_waiting(10)
    sizes = []
    for _ in range(20):
        turn = machine.decide([], NOW_MS + 60_000)
        if turn is None and machine.timers.next_due_at_ms() is None:
            break
        if turn is not None:
            sizes.append(len(turn.decided))
            machine.acknowledged(turn, ground.append(turn.records))
    assert sum(sizes) == 10
    assert max(sizes) <= 4


def test_a_thousand_workflows_that_are_due_after_an_outage_do_not_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many timers stand for whole workflows, the call stack stays flat."""
    monkeypatch.setattr(machine_module, "TIMERS_PER_TURN_MAX", 1)
    _, machine = restored_waiting(1_200)
    assert machine.decide([], NOW_MS + 60_000) is None or machine.in_flight == 1
    assert sum(key[1] == WHOLE_WORKFLOW for key in machine.timers._due) >= 1_198  # noqa: SLF001 - what is left


# ---- ended workflows


def test_an_ended_workflow_that_was_forgotten_is_met_by_its_second_start() -> None:
    """An id that a client chose names one workflow for ever."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start(), TerminateWorkflow(workflow_id=WF))
    machine.evict(WF)
    ((_, answer),) = ground.settle(machine, start(request_id="q")).replies
    assert answer.rejected is not None
    assert answer.rejected.code is RejectionCode.WORKFLOW_EXISTS


def test_an_open_workflow_is_not_forgotten() -> None:
    """Only what has ended can be let go of."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    machine.evict(WF)
    machine.evict(WorkflowId("unknown"))
    assert WF in machine.table


def test_an_adopted_workflow_runs_again() -> None:
    """What the history kept can be restarted; an open one is not replaced by it."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    ground.settle(machine, start(), TerminateWorkflow(workflow_id=WF))
    ended = machine.table.get(WF)
    assert ended is not None
    machine.evict(WF)
    machine.adopt(ended)
    outbox = ground.settle(machine, RestartWorkflow(workflow_id=WF))
    assert dispatched(outbox) == ["one"]
    machine.adopt(ended)
    running = machine.table.get(WF)
    assert running is not None
    assert not running.is_terminal


def test_a_workflow_that_was_paused_keeps_its_timers_for_its_resume() -> None:
    """A deadline that passes during a pause is looked at when the workflow goes on."""
    ground = Ground(FLOW, TaskDef(name="one", poll_timeout_seconds=5, retry_count=0))
    machine, _ = ground.take_over()
    ground.settle(machine, start(), PauseWorkflow(workflow_id=WF))
    assert machine.decide([], NOW_MS + 6_000) is None
    ground.now_ms += 7_000
    ground.settle(machine, ResumeWorkflow(workflow_id=WF))
    turn = machine.decide([], ground.now_ms)
    assert turn is not None
    assert turn.decided[0].record.cause == "fire_timer"


def test_a_claimed_task_runs_out_of_time_from_its_claim() -> None:
    """The response timeout is counted from the worker's start and decided at its end."""
    ground = Ground(FLOW, TaskDef(name="one", response_timeout_seconds=7, retry_count=0))
    machine, _ = ground.take_over()
    ground.settle(machine, start())
    claim = {
        "command": "claim_task",
        "workflowInstanceId": "wf",
        "taskId": task_id(WF, TaskSeq(1)),
        "claimedAtMs": NOW_MS - 10,
        "workerId": "w",
    }
    ground.settle(machine, ground.bytes(json.dumps(claim).encode()))
    state = machine.table.get(WF)
    assert state is not None
    assert isinstance(state.tasks[TaskSeq(1)], RunningTask)
    assert machine.timers.next_due_at_ms() == NOW_MS + 7_000


def test_sequence_numbers_and_hashes_form_one_chain_over_many_owners() -> None:
    """Ten owners, one after the other, each with a few decisions: one unbroken chain."""
    ground = Ground(FLOW)
    for number in range(10):
        machine, outbox = ground.take_over()
        machine.effects_done(outbox.sequence)
        ground.settle(machine, start(f"w{number}"), result(1, workflow_id=f"w{number}"))
    numbers = [decision.sequence for decision in ground.decisions()]
    assert numbers == list(range(1, 21))
    assert all(later.epoch >= earlier.epoch for earlier, later in pairwise(ground.decisions()))


def test_records_are_keyed_by_their_workflow() -> None:
    """Whoever consumes the topic as change data capture finds a workflow's decisions by key; claims have none."""
    ground = Ground(FLOW)
    machine, _ = ground.take_over()
    turn = ground.decide(machine, ground.command(start("a")), ground.bytes(b"{"))
    assert [record.key for record in turn.records] == [b"a", None]
    assert all(isinstance(record, NewRecord) for record in turn.records)
