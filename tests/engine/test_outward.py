"""Claims about effects: what the shell is told to do, and that it is told nothing that is moot."""

import pytest

from engine.commands import Parent, ReportChildEnd, StartWorkflow
from engine.effects import (
    WORKFLOW_TIMER,
    AnnounceOutcome,
    ArmTimer,
    DisarmTimer,
    DispatchTask,
    RetractTask,
    SendCommand,
)
from engine.events import TaskScheduled, TaskStarted, WorkflowEnded
from engine.ids import TaskSeq, WorkflowId
from engine.outward import effects_of, standing_effects
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario
from tests.engine.building import fork, join, sent, started, sub_workflow, task, task_def, workflow

LIMITED = task_def("a", response_timeout_seconds=20, poll_timeout_seconds=10, retry_delay_seconds=5)


def _after(delay_s: int, scenario: Scenario, seq: int = 1) -> ArmTimer:
    return ArmTimer(seq=TaskSeq(seq), due_at_ms=scenario.now_ms + delay_s * 1000)


def test_scheduled_task_is_dispatched_and_its_timer_armed() -> None:
    """In this order of need: a worker may take it, and somebody looks if none does."""
    scenario = started(task("a"), others=[LIMITED])
    assert scenario.effects == [_after(10, scenario), DispatchTask(seq=TaskSeq(1))]


def test_claim_replaces_the_timer() -> None:
    """The response timeout takes the place of the poll timeout; nothing is dispatched."""
    scenario = started(task("a"), others=[LIMITED])
    scenario.wait(1_000)
    scenario.claim("a")
    assert scenario.effects == [_after(20, scenario)]


def test_lease_extension_replaces_the_timer() -> None:
    """The response timeout runs anew."""
    scenario = started(task("a"), others=[LIMITED])
    scenario.claim("a")
    scenario.wait(7_000)
    scenario.report("a", None, extend_lease=True)
    assert scenario.effects == [_after(20, scenario)]


def test_task_handed_back_is_dispatched_again() -> None:
    """At once, or when the time that the worker asked for is over."""
    scenario = started(task("a"), others=[LIMITED])
    scenario.claim("a")
    scenario.report("a", TaskStatus.IN_PROGRESS)
    assert scenario.effects == [_after(10, scenario), DispatchTask(seq=TaskSeq(1))]
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=7)
    assert scenario.effects == [_after(7, scenario)]
    scenario.wait(7_000)
    assert scenario.effects == [_after(10, scenario), DispatchTask(seq=TaskSeq(1))]


def test_task_without_any_further_deadline_has_its_timer_disarmed() -> None:
    """A timer that means nothing any more does not stay armed."""
    scenario = started(task("a"))
    scenario.claim("a")
    scenario.report("a", TaskStatus.IN_PROGRESS)
    assert scenario.effects == [DisarmTimer(seq=TaskSeq(1)), DispatchTask(seq=TaskSeq(1))]
    assert scenario.timers == {}


def test_ended_task_is_forgotten_everywhere() -> None:
    """Its timer is disarmed, and wherever it was offered it is offered no longer."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    assert scenario.effects[:2] == [DisarmTimer(seq=TaskSeq(1)), RetractTask(seq=TaskSeq(1))]


def test_retry_is_dispatched_when_its_delay_is_over() -> None:
    """Until then there is a timer and nothing else."""
    scenario = started(task("a"), others=[LIMITED])
    scenario.fail("a")
    assert scenario.effects[2:] == [_after(5, scenario, 2)]
    scenario.wait(5_000)
    assert scenario.effects == [_after(10, scenario, 2), DispatchTask(seq=TaskSeq(2))]


def test_task_that_is_scheduled_and_cancelled_in_one_decision_is_never_dispatched() -> None:
    """What the same decision made moot has no effect but that its timer is gone."""
    scenario = started(
        task("first"),
        fork("f", [task("a")], [task("w", "WAIT", input_parameters={"until": "?"})]),
        join("j"),
        others=[LIMITED],
    )
    scenario.complete("first")
    assert scenario.status == "FAILED"
    assert not [effect for effect in scenario.effects if isinstance(effect, DispatchTask | ArmTimer)]
    assert scenario.dispatched == set()


def test_tasks_that_are_over_at_once_have_no_effects() -> None:
    """What the engine does itself concerns nobody outside."""
    scenario = started(task("n", "NOOP"), task("s", "SET_VARIABLE", input_parameters={"x": 1}), task("w", "WAIT"))
    assert scenario.effects == []


def test_workflow_timer_is_armed_replaced_and_disarmed() -> None:
    """With the start, anew with a resume and a retry, and not at all when the workflow ends."""
    scenario = Scenario(workflow(task("w", "HUMAN"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    assert scenario.effects == [_after(60, scenario, WORKFLOW_TIMER)]
    scenario.wait(10_000)
    scenario.pause()
    assert scenario.effects == []
    scenario.resume()
    assert scenario.effects == [_after(60, scenario, WORKFLOW_TIMER)]
    scenario.terminate()
    assert scenario.effects == [AnnounceOutcome(), DisarmTimer(seq=WORKFLOW_TIMER)]
    scenario.retry()
    assert scenario.effects == [_after(60, scenario, WORKFLOW_TIMER)]


def test_workflow_that_ends_in_its_start_arms_nothing() -> None:
    """Its outcome is announced, and that is all."""
    scenario = Scenario(workflow(task("n", "NOOP"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    assert scenario.effects == [AnnounceOutcome(), DisarmTimer(seq=WORKFLOW_TIMER)]


def test_resume_arms_the_timers_of_all_open_tasks() -> None:
    """Whatever fired in vain during the pause is armed again."""
    scenario = started(fork("f", [task("a")], [task("d", start_delay=5)]), join("j"), others=[LIMITED])
    before = dict(scenario.timers)
    scenario.pause()
    scenario.wait(60_000)
    assert scenario.timers == {}
    scenario.resume()
    assert scenario.timers == before


def test_end_of_a_child_is_told_to_its_parent() -> None:
    """With status, output and reason, and with the task that waits."""
    scenario = Scenario(workflow(task("a"), output_parameters={"n": 1}), workflow_id="child-1")
    scenario.start(parent=Parent(workflow_id=WorkflowId("p"), task_seq=TaskSeq(4)))
    scenario.terminate("why")
    assert scenario.sent == [
        ReportChildEnd(
            workflow_id=WorkflowId("p"),
            task_seq=TaskSeq(4),
            child_id=WorkflowId("child-1"),
            status=WorkflowStatus.TERMINATED,
            output={"n": 1},
            reason="why",
        )
    ]


def test_child_of_a_child_knows_its_depth() -> None:
    """Each generation counts one more."""
    scenario = Scenario(workflow(sub_workflow("s", "flow")))
    scenario.start(parent=Parent(workflow_id=WorkflowId("p"), task_seq=TaskSeq(4), depth=7))
    (start,) = sent(scenario, StartWorkflow)
    assert start.parent is not None
    assert start.parent.depth == 8


def test_effects_derived_later_leave_out_what_has_become_moot() -> None:
    """A new owner derives the effects of old events over the newest state: nothing that is over is done again."""
    scenario = started(task("a"), task("b"))
    early = scenario.events[1]
    assert isinstance(early, TaskScheduled)
    assert DispatchTask(seq=TaskSeq(1)) in effects_of(early, scenario.state)
    scenario.claim("a")
    assert effects_of(early, scenario.state) == ()
    claimed = scenario.events[2]
    assert isinstance(claimed, TaskStarted)
    assert effects_of(claimed, scenario.state) != ()
    scenario.complete("a")
    assert effects_of(claimed, scenario.state) == ()


def test_effects_of_events_from_before_a_restart_are_moot() -> None:
    """Tasks of an earlier run are not armed nor offered, and an end that was taken back is not announced."""
    scenario = started(task("a"), sub_workflow("s", "child"), others=[workflow(name="child")])
    scenario.complete("a")
    scenario.terminate()
    old = list(scenario.events)
    scenario.restart()
    for event in old:
        effects = effects_of(event, scenario.state)
        forgetting = (SendCommand, DisarmTimer, RetractTask)
        assert not [effect for effect in effects if not isinstance(effect, forgetting)], event
    assert [effects_of(event, scenario.state) for event in old if isinstance(event, WorkflowEnded)] == [()]


@pytest.mark.parametrize("ended", [False, True])
def test_standing_effects_are_what_must_be_in_force(ended: bool) -> None:  # noqa: FBT001
    """Timers and tasks that are out; nothing of a workflow that has ended."""
    scenario = Scenario(
        workflow(
            fork("f", [task("a")], [task("b")], [task("d", start_delay=5)], [task("w", "WAIT")]),
            join("j"),
            timeout_seconds=60,
            timeout_policy="TIME_OUT_WF",
        ),
        LIMITED,
    )
    scenario.start()
    scenario.claim("b")
    if ended:
        scenario.terminate()
    standing = standing_effects(scenario.state)
    dispatched = {effect.seq for effect in standing if isinstance(effect, DispatchTask)}
    timers = {effect.seq: effect.due_at_ms for effect in standing if isinstance(effect, ArmTimer)}
    assert timers == scenario.timers
    assert dispatched == (set() if ended else {scenario.task("a").spec.seq})
