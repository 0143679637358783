"""What a workflow does about slots: it asks, waits, begins, and gives back."""

import pytest

from engine.commands import AnswerSlot, StartWorkflow
from engine.definitions import SubWorkflowParams, TaskDef, WorkflowDef
from engine.ids import TaskId, TaskSeq
from engine.limiter.commands import AcquireSlot, NoteSlotStart, ReleaseSlot
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits
from engine.model import OWN_SLOT
from engine.rejections import Decision, RejectionCode
from engine.slots import waiting_for_slot
from engine.status import TaskStatus
from engine.testing import Scenario, refusal
from tests.engine.building import loop, task, task_def, workflow

SCARCE = task_def("scarce", concurrent_exec_limit=2, retry_count=1, retry_delay_seconds=5, poll_timeout_seconds=3)
KEYED = {"rateLimitKey": "${workflow.input.user}", "concurrentExecLimit": 3}


def answer(scenario: Scenario, seq: int, *, refused: str = "") -> Decision:
    """Be the limiter."""
    return scenario.when(
        AnswerSlot(
            workflow_id=scenario.workflow_id, seq=TaskSeq(seq), limiter_id=LimiterId("#task:any"), refused=refused
        )
    )


def sent(scenario: Scenario, kind: type) -> list[TaskId]:
    """Return for whom commands of a kind were sent to limiters."""
    found = [command for command in scenario.sent if isinstance(command, AcquireSlot | ReleaseSlot | NoteSlotStart)]
    return [command.holder for command in found if isinstance(command, kind)]


def limited() -> Scenario:
    """Return a workflow that has started with a task of a limited kind."""
    scenario = Scenario(workflow(task("scarce"), task("after")), SCARCE)
    scenario.start()
    return scenario


def test_limited_task_is_scheduled_and_waits_for_its_slot() -> None:
    """It is not handed out, its poll timeout does not run, and what it waits for can be seen."""
    scenario = limited()
    assert scenario.statuses() == {"scarce": "SCHEDULED"}
    assert scenario.dispatched == set()
    slot = waiting_for_slot(scenario.state, TaskSeq(1))
    assert slot is not None
    assert (slot.limiter_id, slot.limits) == ("#task:scarce", Limits(at_once=2))
    assert scenario.timers == {}
    assert sent(scenario, AcquireSlot) == ["wf~1"]


def test_granted_task_is_handed_out_and_its_end_gives_the_slot_back() -> None:
    """Whoever waits gets it from the limiter, not from here."""
    scenario = limited()
    answer(scenario, 1)
    assert scenario.dispatched == {1}
    assert waiting_for_slot(scenario.state, TaskSeq(1)) is None
    assert scenario.timers[TaskSeq(1)] == scenario.now_ms + 3_000
    scenario.complete("scarce")
    assert sent(scenario, ReleaseSlot) == ["wf~1"]


def test_claim_before_the_slot_is_worth_nothing() -> None:
    """A worker that has it from nowhere does not begin it."""
    scenario = limited()
    scenario.claim("scarce")
    assert scenario.statuses() == {"scarce": "SCHEDULED"}


def test_postponed_attempt_keeps_its_slot_and_a_waiting_one_its_place() -> None:
    """What has begun and not ended counts; what has not begun stays where it is, whatever is reported."""
    scenario = limited()
    scenario.report("scarce", TaskStatus.IN_PROGRESS, callback_after_seconds=1)
    scenario.wait(2_000)
    assert scenario.dispatched == set()
    answer(scenario, 1)
    assert scenario.dispatched == {1}
    scenario.report("scarce", TaskStatus.IN_PROGRESS, callback_after_seconds=1)
    scenario.wait(2_000)
    assert sent(scenario, AcquireSlot) == ["wf~1"]
    assert sent(scenario, ReleaseSlot) == []


def test_retried_attempt_asks_anew_when_its_delay_is_over() -> None:
    """Each attempt has a slot of its own; while it is delayed it holds none."""
    scenario = limited()
    answer(scenario, 1)
    scenario.fail("scarce")
    assert sent(scenario, ReleaseSlot) == ["wf~1"]
    assert sent(scenario, AcquireSlot) == ["wf~1"]
    scenario.wait(5_000)
    assert sent(scenario, AcquireSlot) == ["wf~1", "wf~2"]


@pytest.mark.parametrize("granted", [False, True])
@pytest.mark.parametrize("end", ["terminate", "response timeout", "skip by report"])
def test_every_end_of_an_attempt_gives_its_slot_back(end: str, *, granted: bool) -> None:
    """Also one that nobody waited for, and one that still waits."""
    scenario = limited()
    if granted:
        answer(scenario, 1)
        scenario.claim("scarce")
    match end:
        case "terminate":
            scenario.terminate()
        case "response timeout" if granted:
            scenario.wait(3_600_000)
        case _:
            scenario.complete("scarce")
    assert sent(scenario, ReleaseSlot) == ["wf~1"]
    assert TaskSeq(1) not in scenario.state.slots


def test_pass_that_is_forgotten_has_given_its_slots_back() -> None:
    """The loop keeps one pass; the attempt of the one before is gone from the state."""
    body = loop("loop", "$.loop['iteration'] < 3", task("scarce"), input_parameters={"keepLastN": 1})
    scenario = Scenario(workflow(body), SCARCE)
    scenario.start()
    for seq in (2, 3, 4):
        answer(scenario, seq)
        scenario.complete(f"scarce__{seq - 1}")
    assert scenario.status == "COMPLETED"
    assert sent(scenario, ReleaseSlot) == ["wf~2", "wf~3", "wf~4"]


def test_beginning_is_told_to_the_limiter_of_a_rate_only() -> None:
    """The window runs from there; for what is limited at once nobody needs to know."""
    for definition, told in ((SCARCE, []), (task_def("scarce", rate_limit_per_frequency=1), ["wf~1"])):
        scenario = Scenario(workflow(task("scarce")), definition)
        scenario.start()
        answer(scenario, 1)
        scenario.claim("scarce")
        assert sent(scenario, NoteSlotStart) == told


@pytest.mark.parametrize("task_type", ["HTTP", "SUB_WORKFLOW"])
def test_what_podium_does_itself_begins_with_its_slot(task_type: str) -> None:
    """A request is not made, a child not started, before."""
    limited_task = task(
        "scarce",
        task_type,
        input_parameters={"uri": "http://localhost/", "method": "GET"},
        sub_workflow_param=SubWorkflowParams(name="child"),
    )
    scenario = Scenario(workflow(limited_task), SCARCE, workflow(task("inside"), name="child"))
    scenario.start()
    assert scenario.statuses() == {"scarce": "SCHEDULED"}
    answer(scenario, 1)
    assert scenario.statuses() == {"scarce": "IN_PROGRESS"}
    started = [command for command in scenario.sent if isinstance(command, StartWorkflow)]
    assert bool(started) is (task_type == "SUB_WORKFLOW")


def test_embedded_definition_has_a_limiter_of_its_own() -> None:
    """The registered one of that name speaks of something else."""
    embedded = TaskDef(name="scarce", concurrent_exec_limit=1)
    scenario = Scenario(workflow(task("scarce", task_definition=embedded)), SCARCE)
    scenario.start()
    slot = waiting_for_slot(scenario.state, TaskSeq(1))
    assert slot is not None
    assert slot.limiter_id == "#embedded:scarce"


@pytest.mark.parametrize("seq", [1, 2, 99])
def test_answer_that_nobody_waits_for_is_refused(seq: int) -> None:
    """So the slot goes back, whoever asked for it."""
    scenario = limited()
    scenario.terminate()
    assert refusal(answer(scenario, seq)).code is RejectionCode.SLOT_NOT_AWAITED


def test_answer_that_comes_twice_changes_nothing() -> None:
    """A new owner of the limiter says it again."""
    scenario = limited()
    answer(scenario, 1)
    before = list(scenario.events)
    answer(scenario, 1)
    assert scenario.events == before


# ---- whole workflows


def keyed(**config: object) -> Scenario:
    """Return a workflow that has started and whose definition limits its executions."""
    definition: WorkflowDef = workflow(task("a"), task("b"), rate_limit_config={**KEYED, **config})
    scenario = Scenario(definition)
    scenario.start({"user": "ann"})
    return scenario


def test_limited_workflow_is_accepted_and_waits_with_nothing_begun() -> None:
    """RUNNING, for its callers; its key is what the expression comes to."""
    scenario = keyed()
    assert (scenario.status, scenario.statuses()) == ("RUNNING", {})
    assert scenario.state.is_queued
    slot = waiting_for_slot(scenario.state, OWN_SLOT)
    assert slot is not None
    assert (slot.key, slot.limits.at_once, slot.limiter_id) == ("ann", 3, "#workflow:flow@ann")
    scenario.evaluate()
    assert scenario.status == "RUNNING"


def test_workflow_begins_with_its_slot_and_gives_it_back_at_its_end() -> None:
    """Its number is none that an attempt has."""
    scenario = keyed()
    answer(scenario, 1)
    assert scenario.statuses() == {"a": "SCHEDULED"}
    scenario.complete("a")
    scenario.complete("b")
    assert (scenario.status, sent(scenario, ReleaseSlot)) == ("COMPLETED", ["wf~1"])


def test_refused_workflow_is_terminated_with_the_reason() -> None:
    """Policy REJECT: it has its slot now or it does not run."""
    scenario = keyed(policy="REJECT")
    (acquire,) = scenario.sent
    assert isinstance(acquire, AcquireSlot)
    assert acquire.or_refuse
    answer(scenario, 1, refused="3 of 3 slots of #workflow:flow@ann are taken")
    assert scenario.status == "TERMINATED"
    assert "3 of 3 slots" in scenario.state.reason


def test_workflow_that_ends_while_it_waits_leaves_the_line() -> None:
    """It is given nothing afterwards."""
    scenario = keyed()
    scenario.terminate()
    assert sent(scenario, ReleaseSlot) == ["wf~1"]
    assert refusal(answer(scenario, 1)).code is RejectionCode.SLOT_NOT_AWAITED


def test_slot_that_comes_during_a_pause_is_used_at_the_resume() -> None:
    """Nothing begins in a paused workflow."""
    scenario = keyed()
    scenario.pause()
    answer(scenario, 1)
    assert (scenario.status, scenario.statuses()) == ("PAUSED", {})
    scenario.resume()
    assert scenario.statuses() == {"a": "SCHEDULED"}


@pytest.mark.parametrize("operation", ["retry", "restart"])
def test_workflow_that_runs_again_asks_again(operation: str) -> None:
    """It waits in line like any other, and goes on where it should when its turn comes."""
    scenario = keyed()
    answer(scenario, 1)
    scenario.complete("a")
    scenario.fail("b", terminal=True)
    assert scenario.status == "FAILED"
    getattr(scenario, operation)()
    assert scenario.state.is_queued
    assert scenario.dispatched == set()
    slot = waiting_for_slot(scenario.state)
    assert slot is not None
    answer(scenario, slot.seq)
    assert scenario.open_refs() == ["b" if operation == "retry" else "a"]
