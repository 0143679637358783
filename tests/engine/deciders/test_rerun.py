"""Claims about rerun and jump, in every nesting: what is done anew, and what is not touched."""

import pytest

from engine.events import TasksDropped
from engine.rejections import RejectionCode
from engine.status import WorkflowStatus
from engine.testing import Scenario, refusal
from tests.engine.building import (
    attempts,
    event_names,
    fork,
    join,
    loop,
    output_of,
    started,
    sub_workflow,
    switch,
    task,
    task_def,
    workflow,
)

CHILD = workflow(task("x"), name="child")
DYNAMIC = task(
    "d",
    "FORK_JOIN_DYNAMIC",
    dynamic_fork_tasks_param="tasks",
    dynamic_fork_tasks_input_param_name="inputs",
    input_parameters={
        "tasks": [{"name": name, "taskReferenceName": name} for name in ("b1", "b2")],
        "inputs": {"b1": {"n": 1}},
    },
)


def run(scenario: Scenario, *refs: str) -> None:
    """Complete tasks in this order, each with its own name as output."""
    for ref in refs:
        scenario.complete(ref, {"from": ref})


# ---- rerun


def test_rerun_does_a_task_and_what_followed_it_anew() -> None:
    """What came before stays as it was; attempts are counted from the first again, numbers go on."""
    scenario = started(task("a"), task("b"), task("c"), others=[task_def("b", retry_count=1, retry_delay_seconds=0)])
    run(scenario, "a")
    scenario.fail("b")
    run(scenario, "b", "c")
    assert event_names(scenario.rerun("b")) == ["WorkflowReopened", "TasksDropped", "TaskScheduled"]
    assert scenario.statuses() == {"a": "COMPLETED", "b": "SCHEDULED"}
    assert attempts(scenario, "b") == [(0, "SCHEDULED")]
    assert scenario.task("b").spec.seq == 5
    run(scenario, "b", "c")
    assert scenario.status == "COMPLETED"


def test_rerun_takes_an_input_literally_and_keeps_it_through_retries() -> None:
    """It is not an expression, and a further attempt has it too."""
    scenario = started(task("a", input_parameters={"n": "${workflow.input.n}"}), n=1)
    run(scenario, "a")
    scenario.rerun("a", given={"n": "${workflow.input.n}"}, workflow_input={"n": 2}, correlation_id="c")
    assert scenario.task("a").spec.input == {"n": "${workflow.input.n}"}
    assert (scenario.state.started.input, scenario.state.started.correlation_id) == ({"n": 2}, "c")
    scenario.fail("a")
    scenario.wait(60_000)
    assert (scenario.task("a").spec.attempt, scenario.task("a").spec.input) == (1, {"n": "${workflow.input.n}"})
    run(scenario, "a")
    scenario.rerun("a")
    assert scenario.task("a").spec.input == {"n": 2}


@pytest.mark.parametrize("first", ["b", "c"])
def test_rerun_in_a_fork_keeps_the_siblings(first: str) -> None:
    """The branch that was over stays over, the one that was cancelled runs again, and the JOIN waits for both."""
    scenario = started(
        fork("f", [task("a"), task("b")], [task("c")], [task("e")]),
        join("j"),
        task("after"),
        others=[task_def("b", retry_count=0)],
    )
    run(scenario, "a", "e")
    if first == "c":
        run(scenario, "c")
    scenario.fail("b")
    scenario.rerun("a")
    still = {"c": "COMPLETED" if first == "c" else "SCHEDULED"}
    assert scenario.statuses() == {"f": "COMPLETED", "e": "COMPLETED", "a": "SCHEDULED", "j": "IN_PROGRESS", **still}
    run(scenario, "a", "b", *([] if first == "c" else ["c"]))
    assert scenario.open_refs() == ["after"]
    assert set(output_of(scenario, "j")) == {"b", "c", "e"}


def test_rerun_of_a_completed_workflow_from_inside_a_fork_keeps_the_siblings() -> None:
    """Conductor would have dropped them, for they came later."""
    scenario = started(fork("f", [task("a"), task("b")], [task("c")]), join("j"), task("after"))
    run(scenario, "a", "c", "b", "after")
    scenario.rerun("b")
    assert scenario.statuses() == {
        "f": "COMPLETED",
        "a": "COMPLETED",
        "c": "COMPLETED",
        "b": "SCHEDULED",
        "j": "IN_PROGRESS",
    }
    run(scenario, "b", "after")
    assert scenario.status == "COMPLETED"


def test_rerun_from_a_fork_does_all_its_branches_anew() -> None:
    """They are behind it."""
    scenario = started(task("z"), fork("f", [task("a")], [task("b")]), join("j"))
    run(scenario, "z", "a", "b")
    scenario.rerun("f")
    assert scenario.open_refs() == ["a", "b", "j"]


def test_rerun_from_a_join_waits_for_what_has_come_already() -> None:
    """Nothing is missing: it ends at once, and what follows it runs."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"), task("after"))
    run(scenario, "a", "b", "after")
    scenario.rerun("j")
    assert scenario.open_refs() == ["after"]


def test_rerun_in_a_dynamic_fork_keeps_the_other_branches() -> None:
    """A branch stands in no definition, and can be run again all the same."""
    scenario = started(DYNAMIC, join("j"), task("after"))
    run(scenario, "b1", "b2", "after")
    scenario.rerun("b1")
    assert scenario.open_refs() == ["b1", "j"]
    assert attempts(scenario, "b2") == [(0, "COMPLETED")]
    run(scenario, "b1", "after")
    assert scenario.status == "COMPLETED"


def test_rerun_from_a_dynamic_fork_makes_its_branches_anew() -> None:
    """Their names are free again."""
    scenario = started(DYNAMIC, join("j"))
    run(scenario, "b1", "b2")
    scenario.rerun("d", given={"tasks": [{"name": "b2", "taskReferenceName": "b2"}], "inputs": {}})
    assert scenario.open_refs() == ["b2", "j"]


def test_rerun_in_a_loop_goes_back_to_the_pass_of_the_task() -> None:
    """Later passes are gone, earlier ones stay; the loop is open again and goes on as its condition says."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a"), task("b")), task("after"))
    run(scenario, "a__1", "b__1", "a__2", "b__2", "a__3", "b__3", "after")
    scenario.rerun("b__2")
    assert scenario.open_refs() == ["l", "b__2"]
    assert set(scenario.statuses()) == {"l", "a__1", "b__1", "a__2", "b__2"}
    run(scenario, "b__2", "a__3", "b__3", "after")
    assert scenario.status == "COMPLETED"
    assert output_of(scenario, "l") == {
        "iteration": 3,
        **{str(n): {ref: {"from": f"{ref}__{n}"} for ref in ("a", "b")} for n in (1, 2, 3)},
    }


def test_rerun_in_nested_loops_and_forks_goes_back_in_each() -> None:
    """The outer loop in its first pass, the inner one in its second, the sibling branch where it was."""
    inner = loop("i", "$.i.iteration < 2", task("x"))
    scenario = started(loop("o", "$.o.iteration < 2", fork("f", [inner], [task("y")]), join("j")), task("after"))
    run(scenario, "x__1__1", "x__1__2", "y__1", "x__2__1", "x__2__2", "y__2", "after")
    scenario.rerun("x__1__2")
    assert scenario.open_refs() == ["o", "i__1", "x__1__2", "j__1"]
    assert attempts(scenario, "y__1") == [(0, "COMPLETED")]
    run(scenario, "x__1__2", "x__2__1", "x__2__2", "y__2", "after")
    assert scenario.status == "COMPLETED"


def test_rerun_of_a_loop_that_forgets_passes_goes_back_to_a_kept_one() -> None:
    """What the loop has forgotten cannot be named any more."""
    body = loop("l", "$.l.iteration < 4", task("a"), input_parameters={"keepLastN": 2})
    scenario = started(body, task("after"))
    run(scenario, "a__1", "a__2", "a__3", "a__4", "after")
    assert scenario.state.task("a__2") is None  # type: ignore[arg-type]  # a ref is a text
    scenario.rerun("a__3")
    run(scenario, "a__3", "a__4", "after")
    assert scenario.status == "COMPLETED"


def test_rerun_from_a_switch_chooses_again() -> None:
    """With another input, another case."""
    scenario = started(switch("s", "x", {"x": [task("a")], "y": [task("b")]}), task("after"))
    run(scenario, "a", "after")
    scenario.rerun("s", given={"value": "y"})
    assert scenario.open_refs() == ["b"]
    assert "a" not in scenario.statuses()


def test_rerun_in_a_case_stays_in_it() -> None:
    """The SWITCH is before the task: it does not choose anew."""
    scenario = started(switch("s", "x", {"x": [task("a"), task("b")]}), task("after"))
    run(scenario, "a", "b", "after")
    scenario.rerun("b")
    assert scenario.open_refs() == ["b"]
    run(scenario, "b", "after")
    assert attempts(scenario, "s") == [(0, "COMPLETED")]


def test_rerun_of_a_sub_workflow_task_starts_another_child() -> None:
    """The attempt is a new one, and so is its child."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.end_child("s", WorkflowStatus.FAILED)
    before = scenario.task("s").progress.child_id
    scenario.rerun("s")
    assert scenario.task("s").progress.child_id not in {before, None}


def test_late_result_of_a_dropped_attempt_is_ignored() -> None:
    """It is no longer in the state; its number is never used again."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"))
    seq = scenario.task("b").spec.seq
    scenario.terminate()
    scenario.rerun("f")
    assert event_names(scenario.report("b", None, seq=seq, extend_lease=True)) == ["ResultIgnored"]
    assert scenario.open_refs() == ["a", "b", "j"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("running", RejectionCode.WORKFLOW_NOT_ENDED), ("paused", RejectionCode.WORKFLOW_NOT_ENDED)],
)
def test_rerun_of_a_workflow_that_goes_on_is_refused(state: str, code: RejectionCode) -> None:
    """The refusal names the status that was found."""
    scenario = started(task("a"))
    if state == "paused":
        scenario.pause()
    rejected = refusal(scenario.rerun("a"))
    assert rejected.code is code
    assert scenario.status in rejected.reason


def test_rerun_of_what_was_skipped_ahead_in_a_pass_that_never_came_is_refused() -> None:
    """What is around it has not run."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a"), task("b")))
    scenario.skip("b__3")
    scenario.terminate()
    assert refusal(scenario.rerun("b__3")).code is RejectionCode.ARGUMENT_INVALID


def test_rerun_with_an_input_for_no_task_is_refused() -> None:
    """Which task would it be for?"""
    scenario = started(task("a"))
    run(scenario, "a")
    assert refusal(scenario.rerun(given={})).code is RejectionCode.ARGUMENT_INVALID


# ---- jump


def test_jump_ahead_skips_what_stands_between() -> None:
    """The open task and those that have not come are skipped; a retry later does not bring them back."""
    scenario = started(task("a"), task("b"), task("c"), task("d"))
    scenario.jump("c", {"n": 1})
    assert scenario.statuses() == {"a": "SKIPPED", "b": "SKIPPED", "c": "SCHEDULED"}
    assert scenario.task("c").spec.input == {"n": 1}
    scenario.fail("c", terminal=True)
    scenario.retry()
    assert scenario.open_refs() == ["c"]
    run(scenario, "c", "d")
    assert scenario.status == "COMPLETED"


def test_jump_back_does_anew_what_followed() -> None:
    """As a rerun would, in a workflow that runs."""
    scenario = started(task("a"), task("b"), task("c"))
    run(scenario, "a", "b")
    scenario.jump("a")
    assert scenario.statuses() == {"a": "SCHEDULED"}
    assert any(isinstance(event, TasksDropped) for event in scenario.events)
    run(scenario, "a", "b", "c")
    assert scenario.status == "COMPLETED"


def test_jump_inside_a_branch_leaves_the_others_alone() -> None:
    """Siblings and the JOIN do not notice."""
    scenario = started(fork("f", [task("a"), task("b"), task("c")], [task("x")]), join("j"))
    before = scenario.task("x"), scenario.task("j")
    scenario.jump("c")
    assert scenario.statuses()["a"] == scenario.statuses()["b"] == "SKIPPED"
    assert (scenario.task("x"), scenario.task("j")) == before
    run(scenario, "x", "c")
    assert scenario.status == "COMPLETED"


def test_jump_over_a_fork_cancels_its_branches_and_its_join() -> None:
    """FORK and JOIN are skipped as a whole, with everything inside."""
    scenario = started(fork("f", [task("a"), task("b")], [task("x")]), join("j"), task("after"))
    run(scenario, "a")
    scenario.jump("after")
    assert scenario.statuses() == {"f": "SKIPPED", "j": "SKIPPED", "after": "SCHEDULED"}
    run(scenario, "after")
    assert scenario.status == "COMPLETED"


def test_jump_over_a_sub_workflow_ends_its_child() -> None:
    """Nobody waits for it any more."""
    scenario = started(sub_workflow("s", "child"), task("after"), others=[CHILD])
    decision = scenario.jump("after")
    assert event_names(decision)[0] == "ChildTerminationRequested"
    assert scenario.open_refs() == ["after"]


def test_jump_in_a_loop_stays_in_the_present_pass() -> None:
    """The name in the definition means the pass that runs; an earlier pass can be named."""
    scenario = started(loop("l", "$.l.iteration < 3", task("a"), task("b")), task("after"))
    run(scenario, "a__1", "b__1")
    scenario.jump("b")
    assert scenario.statuses() == {
        "l": "IN_PROGRESS",
        "a__1": "COMPLETED",
        "b__1": "COMPLETED",
        "a__2": "SKIPPED",
        "b__2": "SCHEDULED",
    }
    scenario.jump("a__1")
    assert scenario.open_refs() == ["l", "a__1"]
    scenario.jump("after")
    assert scenario.statuses() == {"l": "SKIPPED", "after": "SCHEDULED"}


def test_jump_into_another_case_leaves_the_one_that_was_chosen() -> None:
    """The SWITCH has chosen that case now."""
    scenario = started(switch("s", "x", {"x": [task("a")], "y": [task("b"), task("c")]}), task("after"))
    scenario.jump("c")
    assert scenario.statuses() == {"s": "COMPLETED", "b": "SKIPPED", "c": "SCHEDULED"}
    run(scenario, "c")
    assert scenario.open_refs() == ["after"]
    scenario.fail("after", terminal=True)
    scenario.retry()
    assert scenario.open_refs() == ["after"]


def test_jump_to_a_branch_of_a_dynamic_fork_does_it_anew() -> None:
    """The other branches go on."""
    scenario = started(DYNAMIC, join("j"))
    run(scenario, "b1")
    scenario.jump("b1", {"n": 9})
    assert scenario.open_refs() == ["j", "b2", "b1"] or set(scenario.open_refs()) == {"j", "b1", "b2"}
    run(scenario, "b1", "b2")
    assert scenario.status == "COMPLETED"


def test_jump_that_is_not_possible_is_refused() -> None:
    """In this order: the status, the name, then what is around the task."""
    scenario = started(task("a"), fork("f", [task("x")], [task("y")]), join("j"), loop("l", None, task("z"), items=[1]))
    assert refusal(scenario.jump("nowhere")).code is RejectionCode.TASK_NOT_FOUND
    assert refusal(scenario.jump("x")).code is RejectionCode.ARGUMENT_INVALID
    assert refusal(scenario.jump("z")).code is RejectionCode.ARGUMENT_INVALID
    scenario.pause()
    assert refusal(scenario.jump("nowhere")).code is RejectionCode.WORKFLOW_NOT_RUNNING
    scenario.terminate()
    assert "TERMINATED" in refusal(scenario.jump("a")).reason
