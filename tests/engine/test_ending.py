"""Claims about the end of tasks and workflows: what is tolerated, what is not, and what a workflow leaves."""

import pytest

from engine.context import EngineLimits
from engine.events import TaskEnded, WorkflowEnded
from engine.testing import Scenario
from tests.engine.building import attempts, fork, join, started, task, task_def, workflow

ONCE = {"retry_count": 0}


@pytest.mark.parametrize("terminal", [False, True])
def test_optional_failure_completes_with_errors_after_its_retries(terminal: bool) -> None:  # noqa: FBT001
    """An optional task that failed for good lets the flow go on; a terminal error is for good at once."""
    scenario = started(
        task("a", optional=True), task("b"), others=[task_def("a", retry_count=1, retry_delay_seconds=0)]
    )
    if not terminal:
        scenario.fail("a", "once")
    scenario.fail("a", "oh", terminal=terminal)
    assert scenario.statuses() == {"a": "COMPLETED_WITH_ERRORS", "b": "SCHEDULED"}
    assert scenario.task("a").progress.reason == "oh"
    scenario.complete("b")
    assert (scenario.status, scenario.state.failed_refs) == ("COMPLETED", ())


def test_permissive_failure_fails_the_workflow_when_everything_else_is_done() -> None:
    """The flow goes on behind the failed tasks; in the end the workflow fails with all their reasons."""
    scenario = started(
        task("a", permissive=True),
        task("b", permissive=True),
        task("c"),
        others=[task_def("a", **ONCE), task_def("b", **ONCE)],
    )
    scenario.fail("a", "first")
    scenario.fail("b")
    assert scenario.statuses() == {"a": "FAILED", "b": "FAILED", "c": "SCHEDULED"}
    scenario.complete("c")
    assert (scenario.status, scenario.state.reason) == ("FAILED", "a: first; b: FAILED")
    assert (scenario.state.failed_refs, scenario.state.failed_seq) == (("a", "b"), 2)


def test_permissive_success_completes_the_workflow() -> None:
    """Being permissive is nothing to those who succeed."""
    scenario = started(task("a", permissive=True))
    scenario.complete("a")
    assert scenario.status == "COMPLETED"


def test_optional_wins_over_permissive() -> None:
    """A task that is both is no failure of the workflow."""
    scenario = started(task("a", permissive=True, optional=True), others=[task_def("a", **ONCE)])
    scenario.fail("a")
    assert scenario.status == "COMPLETED"


def test_permissive_timeout_fails_the_workflow_in_the_end() -> None:
    """However it ended unsuccessfully, a permissive task makes the workflow FAILED."""
    definition = task_def("a", poll_timeout_seconds=1, timeout_policy="RETRY", **ONCE)
    scenario = started(task("a", permissive=True), others=[definition])
    scenario.wait(1_000)
    assert (scenario.statuses(), scenario.status) == ({"a": "TIMED_OUT"}, "FAILED")


def test_failure_cancels_open_tasks_before_the_workflow_ends() -> None:
    """No task ends after its workflow: each cancellation stands before the end in the log."""
    scenario = started(fork("f", [task("a")], [task("b")], [task("c")]), join("j"))
    scenario.fail("a", terminal=True)
    tail = scenario.events[-5:]
    assert [type(event) for event in tail] == [TaskEnded] * 4 + [WorkflowEnded]
    assert [event.seq for event in tail if isinstance(event, TaskEnded)] == [2, 3, 4, 5]
    assert scenario.state.open_count == 0


def test_output_parameters_are_resolved_at_the_end() -> None:
    """The declared output wins over that of the last task."""
    scenario = Scenario(
        workflow(
            task("a"),
            output_parameters={"n": "${a.output.n}", "id": "${workflow.workflowId}", "text": "n=${a.output.n}"},
        )
    )
    scenario.start()
    scenario.complete("a", {"n": 3})
    assert scenario.output == {"n": 3, "id": "wf", "text": "n=3"}


def test_output_without_parameters_is_that_of_the_task_scheduled_last() -> None:
    """Behind a FORK that is the JOIN, if its branches have one task each."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j", "a", "b"))
    scenario.complete("b", {"n": 2})
    scenario.complete("a", {"n": 1})
    assert scenario.output == {"a": {"n": 1}, "b": {"n": 2}}


def test_tasks_beyond_the_limit_fail_the_workflow() -> None:
    """One workflow cannot grow without bound; the reason names the task that had no room."""
    scenario = Scenario(workflow(task("a"), task("b"), task("c")), limits=EngineLimits(tasks_max=2))
    scenario.start()
    scenario.complete("a")
    scenario.complete("b")
    assert scenario.status == "FAILED"
    assert "task c cannot be scheduled" in scenario.state.reason
    assert attempts(scenario, "c") == []
