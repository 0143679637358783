"""Slots of workflows that run again: what retries, reruns, revivals and resets ask for, and how they go on with it."""

import pytest

from engine.commands import ResetCallbacks, StartWorkflow
from engine.events import ChildResumeRequested, TaskRevived
from engine.limiter.commands import AcquireSlot, ReleaseSlot
from engine.rejections import RejectionCode
from engine.slots import waiting_for_slot
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario, refusal
from tests.engine.building import fork, join, loop, sub_workflow, task, task_def, workflow
from tests.engine.deciders.test_slots import KEYED, answer, sent

ONCE = tuple(task_def(ref, retry_count=0) for ref in ("a", "b", "c", "s"))


def keyed(*tasks: object, **fields: object) -> Scenario:
    """Return a limited workflow that has its slot and runs."""
    child = workflow(task("inside"), name="child")
    definition = workflow(*tasks, rate_limit_config=KEYED, **fields)  # type: ignore[arg-type]  # tasks
    scenario = Scenario(definition, child, *ONCE)
    scenario.start({"user": "ann"})
    grant(scenario)
    return scenario


def grant(scenario: Scenario) -> None:
    """Give the workflow the slot that it waits for."""
    slot = waiting_for_slot(scenario.state)
    assert slot is not None
    answer(scenario, slot.seq)


def with_child() -> Scenario:
    """Return a workflow of two branches that has failed by its sub-workflow."""
    scenario = keyed(fork("f", [sub_workflow("s", "child"), task("b")], [task("a")]), join("j"), task("c"))
    scenario.end_child("s", WorkflowStatus.FAILED)
    assert (scenario.status, scenario.statuses()["a"]) == ("FAILED", "CANCELED")
    return scenario


def test_rerun_that_waits_keeps_the_task_and_the_input_it_was_given() -> None:
    """They stand in the log with the wait, and nothing else is entered before."""
    scenario = keyed(task("a"), task("b"), task("c"))
    scenario.complete("a")
    scenario.complete("b")
    scenario.fail("c", terminal=True)
    scenario.rerun("b", given={"n": 7})
    assert scenario.state.is_queued
    assert scenario.dispatched == set()
    grant(scenario)
    assert scenario.open_refs() == ["b"]
    assert scenario.task("b").spec.input == {"n": 7}


def test_rerun_inside_a_loop_that_waits_goes_on_in_its_pass() -> None:
    """The pass stays the one it was in, and the loop ends as it would have."""
    scenario = keyed(loop("l", "$.l.iteration < 3", task("a"), task("b")))
    for ref in ("a__1", "b__1", "a__2"):
        scenario.complete(ref)
    scenario.fail("b__2", terminal=True)
    scenario.rerun("a__2")
    assert scenario.dispatched == set()
    grant(scenario)
    assert [ref for ref in scenario.open_refs() if ref != "l"] == ["a__2"]
    for ref in ("a__2", "b__2", "a__3", "b__3"):
        scenario.complete(ref)
    assert (scenario.status, sent(scenario, ReleaseSlot)[-1]) == ("COMPLETED", sent(scenario, AcquireSlot)[-1])


def test_children_are_asked_to_go_on_when_the_slot_is_there() -> None:
    """A parent that waits does not let its sub-workflows run ahead of it."""
    scenario = with_child()
    scenario.retry(resume=True)
    assert not [event for event in scenario.events if isinstance(event, ChildResumeRequested)]
    grant(scenario)
    assert len([event for event in scenario.events if isinstance(event, ChildResumeRequested)]) == 1
    assert sorted(scenario.open_refs()) == ["a", "j", "s"]


@pytest.mark.parametrize("child_ends", ["before the slot", "after it", "in a pause before it", "in a pause after it"])
def test_revived_parent_waits_and_follows_what_its_child_did_meanwhile(child_ends: str) -> None:
    """Whenever the child ends: each branch runs once, and the workflow completes."""
    scenario = with_child()
    scenario.revive("s")
    assert scenario.state.is_queued
    assert scenario.open_refs() == ["s"]
    if "pause" in child_ends:
        scenario.pause()
    if "before" in child_ends:
        scenario.end_child("s")
        assert scenario.open_refs() == []
    grant(scenario)
    if "after" in child_ends:
        scenario.end_child("s")
    if "pause" in child_ends:
        scenario.resume()
    assert sorted(scenario.open_refs()) == ["a", "b", "j"]
    for ref in ("a", "b", "c"):
        scenario.complete(ref)
    assert scenario.status == "COMPLETED"
    assert len([event for event in scenario.events if isinstance(event, TaskRevived)]) == 1
    assert len([task for task in scenario.state.tasks.values() if task.spec.ref == "b"]) == 1


def test_revived_parent_with_nothing_left_to_do_completes_with_its_last_output() -> None:
    """The number of its slot is newer than that of any task."""
    scenario = keyed(sub_workflow("s", "child"))
    scenario.end_child("s", WorkflowStatus.FAILED)
    scenario.revive("s")
    scenario.end_child("s", output={"n": 1})
    assert scenario.status == "RUNNING"
    grant(scenario)
    assert (scenario.status, scenario.output["n"]) == ("COMPLETED", 1)


def test_workflow_that_waits_for_its_slot_cannot_jump() -> None:
    """It would begin to run."""
    scenario = keyed(task("a"), task("b"))
    scenario.fail("a", terminal=True)
    scenario.retry()
    assert refusal(scenario.jump("b")).code is RejectionCode.WORKFLOW_NOT_RUNNING
    grant(scenario)
    assert scenario.open_refs() == ["a"]


def test_rerun_and_jump_return_the_slots_of_what_they_forget() -> None:
    """What is dropped from the state has ended first."""
    scarce = task_def("scarce", concurrent_exec_limit=1)
    scenario = Scenario(workflow(task("a"), task("scarce"), task("c")), scarce)
    scenario.start()
    scenario.complete("a")
    scenario.jump("a")
    assert sent(scenario, ReleaseSlot) == sent(scenario, AcquireSlot) == ["wf~2"]
    assert not scenario.state.slots


def test_reset_of_callbacks_lets_a_limited_task_ask_and_no_more() -> None:
    """Without its delay it begins no sooner than its limiter lets it."""
    scarce = task_def("scarce", concurrent_exec_limit=1, retry_count=1, retry_delay_seconds=60)
    scenario = Scenario(workflow(task("scarce")), scarce)
    scenario.start()
    answer(scenario, 1)
    scenario.fail("scarce")
    scenario.when(ResetCallbacks(workflow_id=scenario.workflow_id))
    assert (scenario.dispatched, sent(scenario, AcquireSlot)) == (set(), ["wf~1", "wf~2"])
    answer(scenario, 2)
    assert scenario.dispatched == {2}


@pytest.mark.parametrize("task_type", ["EVENT", "KAFKA_PUBLISH"])
def test_what_podium_publishes_begins_with_its_slot(task_type: str) -> None:
    """Nothing is sent before."""
    given = {"kafka_request": {"topic": "t", "value": 1}}
    sink = "kafka:t" if task_type == "EVENT" else None
    scarce = task_def("scarce", concurrent_exec_limit=1)
    scenario = Scenario(workflow(task("scarce", task_type, input_parameters=given, sink=sink)), scarce)
    scenario.start()
    assert (scenario.statuses(), scenario.dispatched) == ({"scarce": "SCHEDULED"}, set())
    answer(scenario, 1)
    assert (scenario.statuses(), scenario.dispatched) == ({"scarce": "IN_PROGRESS"}, {1})
    scenario.report("scarce", TaskStatus.FAILED_WITH_TERMINAL_ERROR)
    assert sent(scenario, ReleaseSlot) == ["wf~1"]
    assert not [command for command in scenario.sent if isinstance(command, StartWorkflow)]
