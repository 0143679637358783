"""Claims about retry and restart of an ended workflow."""

import pytest

from engine.commands import StartWorkflow
from engine.events import WorkflowReopened, WorkflowRestarted
from engine.ids import child_workflow_id
from engine.rejections import RejectionCode
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario, refusal
from tests.engine.building import (
    attempts,
    event_names,
    fork,
    join,
    output_of,
    sent,
    started,
    sub_workflow,
    switch,
    task,
    task_def,
    workflow,
)

ONCE = {"retry_count": 0}
CHILD = workflow(task("x"), name="child")


# ---- retry


def test_retry_gives_the_failed_task_a_further_attempt_at_once() -> None:
    """The attempt counts on, waits for no delay, and what comes behind it is as in the first run."""
    scenario = started(task("a"), task("b", start_delay=9), task("c"), others=[task_def("b", retry_delay_seconds=30)])
    scenario.complete("a", {"n": 1})
    scenario.wait(9_000)
    scenario.fail("b", "broken", terminal=True)
    assert event_names(scenario.retry()) == ["WorkflowReopened", "TaskScheduled"]

    assert (scenario.status, scenario.state.reason, scenario.state.failed_refs) == ("RUNNING", "", ())
    assert attempts(scenario, "b") == [(0, "FAILED_WITH_TERMINAL_ERROR"), (1, "SCHEDULED")]
    assert scenario.task("b").spec.retry_of == 2
    assert scenario.dispatched == {3}
    scenario.complete("b")
    assert scenario.open_refs() == ["c"]
    assert attempts(scenario, "a") == [(0, "COMPLETED")]


def test_retry_revives_the_cancelled_branches_and_the_join() -> None:
    """What was cancelled with the failed task runs again; a branch that was over does not."""
    scenario = started(
        fork("f", [task("a")], [task("b")], [task("c")]),
        join("j", "a", "b", "c"),
        task("after"),
        others=[task_def("a", **ONCE)],
    )
    scenario.complete("c", {"n": 3})
    scenario.fail("a")
    scenario.retry()

    assert scenario.open_refs() == ["a", "b", "j"]
    assert attempts(scenario, "j") == [(0, "CANCELED"), (1, "IN_PROGRESS")]
    scenario.complete("a")
    scenario.complete("b")
    assert scenario.open_refs() == ["after"]
    assert output_of(scenario, "j") == {"c": {"n": 3}}


def test_retry_revives_nested_forks() -> None:
    """Inner and outer JOINs wait again, each for its own branches."""
    scenario = started(
        fork("outer", [fork("inner", [task("x")], [task("y")]), join("j_inner"), task("z")], [task("b")]),
        join("j_outer"),
        task("after"),
    )
    scenario.fail("x", terminal=True)
    scenario.retry()
    assert scenario.open_refs() == ["b", "j_outer", "x", "y", "j_inner"]
    for ref in ("b", "x", "y", "z"):
        scenario.complete(ref)
    assert scenario.open_refs() == ["after"]


def test_retry_of_a_permissive_failure_tries_it_and_its_join_again() -> None:
    """After a success the workflow completes: the failure of the earlier attempt no longer counts."""
    scenario = started(
        fork("f", [task("a", permissive=True)], [task("b")]), join("j", "a", "b"), others=[task_def("a", **ONCE)]
    )
    scenario.fail("a", "broken")
    scenario.complete("b")
    assert scenario.status == "FAILED"
    scenario.retry()
    assert scenario.open_refs() == ["a", "j"]
    scenario.complete("a")
    assert scenario.status == "COMPLETED"


def test_retry_of_a_permissive_failure_does_not_repeat_what_followed_it() -> None:
    """Tasks behind a tolerated failure have run; a retried task leads to nothing that is there already."""
    scenario = started(task("a", permissive=True), task("b"), others=[task_def("a", **ONCE)])
    scenario.fail("a")
    scenario.complete("b")
    assert (scenario.status, scenario.state.failed_refs) == ("FAILED", ("a",))
    scenario.retry()
    scenario.complete("a")
    assert scenario.status == "COMPLETED"
    assert attempts(scenario, "b") == [(0, "COMPLETED")]


def test_retry_lists_only_what_failed_last() -> None:
    """A workflow that fails again names its newest failures, not those that a retry has mended."""
    scenario = started(task("a"), task("b"), others=[task_def("a", **ONCE), task_def("b", **ONCE)])
    scenario.fail("a")
    scenario.retry()
    scenario.complete("a")
    scenario.fail("b")
    assert scenario.state.failed_refs == ("b",)


def test_retry_starts_a_new_child() -> None:
    """A failed sub-workflow is not resumed: its task starts another."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.end_child("s", WorkflowStatus.FAILED)
    scenario.retry()
    assert [start.workflow_id for start in sent(scenario, StartWorkflow)] == [
        child_workflow_id(scenario.workflow_id, seq) for seq in scenario.state.tasks
    ]
    scenario.end_child("s")
    assert scenario.status == "COMPLETED"


def test_retry_evaluates_a_failed_switch_again() -> None:
    """A SWITCH that could not be evaluated gets a further attempt."""
    scenario = started(task("s", "SWITCH", evaluator_type="javascript", expression="$.a.b", decision_cases={"x": ()}))
    scenario.retry()
    assert attempts(scenario, "s") == [(0, "FAILED"), (1, "FAILED")]
    assert scenario.status == "FAILED"


def test_retry_keeps_the_case_that_a_switch_chose() -> None:
    """A cancelled or failed task inside a case runs again; the SWITCH does not choose anew."""
    scenario = started(switch("s", "x", {"x": [task("a"), task("b")]}), task("after"))
    scenario.fail("a", terminal=True)
    scenario.retry()
    scenario.complete("a")
    scenario.complete("b")
    assert scenario.open_refs() == ["after"]
    assert attempts(scenario, "s") == [(0, "COMPLETED")]


def test_retry_begins_what_the_end_of_the_workflow_kept_from_beginning() -> None:
    """A branch that was never entered, because another ended the workflow in the same decision, is entered now."""
    scenario = started(fork("f", [sub_workflow("s", "later")], [task("b")]), join("j"), task("after"))
    assert scenario.statuses() == {"f": "COMPLETED", "s": "FAILED_WITH_TERMINAL_ERROR"}
    scenario.shelf.add(workflow(task("x"), name="later"))
    scenario.retry()
    assert scenario.open_refs() == ["s", "b", "j"]
    scenario.end_child("s")
    scenario.complete("b")
    assert scenario.open_refs() == ["after"]


def test_retry_goes_on_behind_a_success_that_a_failure_overtook() -> None:
    """A task that ended during a pause leads on in the retry, though the resume ended the workflow."""
    scenario = started(
        fork("f", [task("a1"), task("a2")], [task("b")]), join("j"), task("after"), others=[task_def("b", **ONCE)]
    )
    scenario.pause()
    scenario.complete("a1")
    scenario.fail("b")
    scenario.resume()
    assert (scenario.status, "a2" in scenario.statuses()) == ("FAILED", False)

    scenario.retry()
    assert scenario.open_refs() == ["b", "j", "a2"]
    scenario.complete("b")
    scenario.complete("a2")
    assert scenario.open_refs() == ["after"]


@pytest.mark.parametrize("end", ["terminate", "time out"])
def test_retry_goes_on_behind_a_success_of_a_pause_that_ended_the_workflow(end: str) -> None:
    """Nothing failed and nothing was cancelled, and yet there is something to go on with."""
    scenario = Scenario(workflow(task("a"), task("b"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    scenario.pause()
    scenario.complete("a")
    if end == "terminate":
        scenario.terminate()
    else:
        scenario.wait(60_000)
    scenario.retry()
    assert (scenario.status, scenario.open_refs()) == ("RUNNING", ["b"])


def test_retry_does_not_enter_what_was_skipped_ahead() -> None:
    """A task that was skipped before the walk came to it leads on only when the walk comes there."""
    scenario = started(task("a"), task("b"), task("c"), task("d"))
    scenario.skip("c")
    scenario.complete("a")
    scenario.fail("b", terminal=True)
    scenario.retry()
    assert scenario.open_refs() == ["b"]
    scenario.complete("b")
    assert scenario.open_refs() == ["d"]


def test_retry_after_the_workflows_timeout_has_the_whole_time_again() -> None:
    """The cancelled tasks run again under a fresh clock."""
    scenario = Scenario(workflow(task("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    scenario.wait(60_000)
    assert scenario.status == "TIMED_OUT"
    scenario.retry()
    assert scenario.state.last_retried_at_ms == scenario.now_ms
    scenario.wait(59_999)
    assert (scenario.status, scenario.open_refs()) == ("RUNNING", ["a"])
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_retry_restarts_the_total_time_of_the_task() -> None:
    """All attempts of a retried task together have their time anew."""
    definition = task_def("a", total_timeout_seconds=100, retry_count=1, retry_delay_seconds=0)
    scenario = started(task("a"), others=[definition])
    scenario.wait(100_000)
    assert scenario.status == "TIMED_OUT"
    scenario.retry()
    scenario.wait(99_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_retry_uses_up_no_automatic_attempt_but_leaves_none_either() -> None:
    """The number of the attempt goes on, so after a manual retry the retries of the definition are over."""
    scenario = started(task("a"), others=[task_def("a", retry_count=1, retry_delay_seconds=0)])
    scenario.fail("a")
    scenario.fail("a")
    scenario.retry()
    scenario.fail("a")
    assert [number for number, _ in attempts(scenario, "a")] == [0, 1, 2]
    assert scenario.status == "FAILED"


def test_retry_of_a_terminated_workflow_runs_what_was_cancelled() -> None:
    """Somebody stopped it, somebody lets it go on."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    scenario.terminate()
    scenario.retry()
    assert scenario.open_refs() == ["b"]


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("run", RejectionCode.WORKFLOW_NOT_ENDED),
        ("pause", RejectionCode.WORKFLOW_NOT_ENDED),
        ("complete", RejectionCode.NOTHING_TO_RETRY),
    ],
)
def test_retry_that_is_not_possible_is_refused(prepare: str, code: RejectionCode) -> None:
    """Only an ended workflow with something to try again can be retried."""
    scenario = started(task("a"))
    if prepare == "pause":
        scenario.pause()
    elif prepare == "complete":
        scenario.complete("a")
    rejected = refusal(scenario.retry())
    assert rejected.code is code
    assert scenario.status in rejected.reason


def test_retry_of_a_workflow_that_a_terminate_task_failed_is_refused() -> None:
    """The definition itself ended it: no task failed, nothing was cut short."""
    scenario = started(
        task("t", "TERMINATE", input_parameters={"terminationStatus": "FAILED", "terminationReason": "no"})
    )
    assert refusal(scenario.retry()).code is RejectionCode.NOTHING_TO_RETRY


# ---- restart


def test_restart_begins_again_under_the_same_id() -> None:
    """Tasks are gone, input and variables are kept, the clock is new."""
    scenario = Scenario(
        workflow(task("v", "SET_VARIABLE", input_parameters={"n": 2}), task("a"), variables={"n": 1}), task_def("a")
    )
    scenario.start({"x": 1}, correlation_id="c")
    scenario.terminate("stop")
    scenario.wait(5_000)
    assert event_names(scenario.restart())[0] == "WorkflowRestarted"

    assert (scenario.status, scenario.state.reason) == ("RUNNING", "")
    assert scenario.state.created_at_ms == scenario.now_ms
    assert (scenario.state.started.input, scenario.state.variables) == ({"x": 1}, {"n": 2})
    assert scenario.state.started.correlation_id == "c"
    assert scenario.statuses() == {"v": "COMPLETED", "a": "SCHEDULED"}


def test_restart_never_uses_a_number_again() -> None:
    """Attempts are numbered on, and so are children: a late word can never be taken for a present one."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.terminate()
    scenario.restart()
    assert list(scenario.state.tasks) == [2]
    assert scenario.task("s").progress.child_id == child_workflow_id(scenario.workflow_id, scenario.task("s").spec.seq)


def test_restart_keeps_the_definition_that_it_was_started_with() -> None:
    """What was registered since is for others, unless the newest is asked for."""
    scenario = Scenario(workflow(task("a")), task_def("a", **ONCE))
    scenario.start()
    scenario.fail("a")
    scenario.shelf.add(workflow(task("b"), version=2), task_def("a", retry_count=5))
    scenario.restart()
    assert scenario.open_refs() == ["a"]
    scenario.fail("a")
    assert scenario.status == "FAILED"

    scenario.restart(use_latest_definitions=True)
    assert (scenario.open_refs(), scenario.state.started.version) == (["b"], 2)


def test_restart_with_the_newest_definitions_takes_their_timeout() -> None:
    """The new definition holds in everything."""
    scenario = Scenario(workflow(task("a")))
    scenario.start()
    scenario.terminate()
    scenario.shelf.add(workflow(task("a"), version=2, timeout_seconds=9, timeout_policy="TIME_OUT_WF"))
    scenario.restart(use_latest_definitions=True)
    scenario.wait(9_000)
    assert scenario.status == "TIMED_OUT"


def test_restart_of_an_inline_definition_runs_by_it_again() -> None:
    """A definition that was never registered is still in the log."""
    scenario = Scenario(workflow(task("a")))
    scenario.start(workflow_def={"name": "inline", "tasks": [{"name": "b", "taskReferenceName": "b"}]})
    scenario.terminate()
    rejected = refusal(scenario.restart(use_latest_definitions=True))
    assert rejected.code is RejectionCode.DEFINITION_NOT_FOUND
    scenario.restart()
    assert scenario.open_refs() == ["b"]


def test_restart_of_a_completed_workflow_begins_again() -> None:
    """A success can be repeated, unless its definition says no."""
    scenario = started(task("n", "NOOP"))
    scenario.restart()
    assert scenario.status == "COMPLETED"
    assert sum(isinstance(event, WorkflowRestarted) for event in scenario.events) == 1


@pytest.mark.parametrize(
    ("fields", "end", "code"),
    [
        # In this order: that it has not ended is told before anything about its definition.
        ({"restartable": False}, None, RejectionCode.WORKFLOW_NOT_ENDED),
        ({"restartable": False}, TaskStatus.COMPLETED, RejectionCode.WORKFLOW_NOT_RESTARTABLE),
    ],
)
def test_restart_that_is_not_possible_is_refused(
    fields: dict[str, bool], end: TaskStatus | None, code: RejectionCode
) -> None:
    """A running workflow, and a completed one whose definition forbids it, are not restarted."""
    scenario = Scenario(workflow(task("a"), **fields))
    scenario.start()
    if end is not None:
        scenario.report("a", end)
    assert refusal(scenario.restart()).code is code


def test_restart_of_a_failed_workflow_ignores_restartable() -> None:
    """Only a success is protected."""
    scenario = Scenario(workflow(task("a"), restartable=False), task_def("a", **ONCE))
    scenario.start()
    scenario.fail("a")
    scenario.restart()
    assert scenario.open_refs() == ["a"]


def test_reopened_and_restarted_differ_in_what_they_keep() -> None:
    """A retry keeps the tasks that are over, a restart keeps none."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    scenario.terminate()
    scenario.retry()
    assert isinstance(scenario.events[-2], WorkflowReopened)
    assert len(scenario.state.tasks) == 3
    scenario.terminate()
    scenario.restart()
    assert len(scenario.state.tasks) == 1
