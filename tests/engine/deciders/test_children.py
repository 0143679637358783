"""Claims about the word of a sub-workflow: who may end which task. What follows is in `tasks/test_sub_workflow.py`."""

import pytest

from engine.commands import ReportChildEnd
from engine.events import ResultIgnored
from engine.ids import TaskSeq, WorkflowId
from engine.rejections import RejectionCode
from engine.status import WorkflowStatus
from engine.testing import Scenario, refusal
from tests.engine.building import accepted, started, sub_workflow, task, task_def, workflow

CHILD = workflow(task("x"), name="child")


def _end(
    scenario: Scenario, seq: int, child_id: str, status: WorkflowStatus = WorkflowStatus.COMPLETED
) -> ReportChildEnd:
    return ReportChildEnd(
        workflow_id=scenario.workflow_id, task_seq=TaskSeq(seq), child_id=WorkflowId(child_id), status=status
    )


def _assert_ignored(scenario: Scenario, command: ReportChildEnd) -> None:
    before = scenario.state
    (event,) = accepted(scenario.when(command))
    assert isinstance(event, ResultIgnored)
    assert f"task {command.task_seq} does not wait for it" in event.reason
    assert scenario.state.tasks == before.tasks


def test_child_end_of_another_workflow_is_ignored() -> None:
    """Only the child that the attempt started can end it."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    _assert_ignored(scenario, _end(scenario, 1, "somebody-else"))
    assert scenario.statuses() == {"s": "IN_PROGRESS"}


def test_child_end_for_a_task_without_child_is_ignored() -> None:
    """A worker's task is no parent."""
    scenario = started(task("a"))
    _assert_ignored(scenario, _end(scenario, 1, "somebody"))


def test_child_end_that_comes_twice_is_ignored() -> None:
    """A repeated word of the same child finds its task ended."""
    scenario = started(sub_workflow("s", "child"), task("after"), others=[CHILD])
    child_id = scenario.task("s").progress.child_id or ""
    scenario.end_child("s")
    _assert_ignored(scenario, _end(scenario, 1, child_id))


def test_child_end_for_an_attempt_that_waits_for_its_retry_is_ignored() -> None:
    """The child of the attempt before has no say in the next one."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD, task_def("s", retry_count=1)])
    first = scenario.task("s").progress.child_id or ""
    scenario.end_child("s", WorkflowStatus.FAILED)
    _assert_ignored(scenario, _end(scenario, 2, first))


def test_child_end_of_an_earlier_run_is_ignored() -> None:
    """After a restart the old child has no parent task."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    child_id = scenario.task("s").progress.child_id or ""
    scenario.terminate()
    scenario.restart()
    _assert_ignored(scenario, _end(scenario, 1, child_id))


@pytest.mark.parametrize(
    ("seq", "status", "code"),
    [
        # In this order: a status that is no end is told first.
        (99, WorkflowStatus.RUNNING, RejectionCode.ARGUMENT_INVALID),
        (1, WorkflowStatus.PAUSED, RejectionCode.ARGUMENT_INVALID),
        (99, WorkflowStatus.COMPLETED, RejectionCode.TASK_NOT_FOUND),
        (0, WorkflowStatus.COMPLETED, RejectionCode.TASK_NOT_FOUND),
    ],
)
def test_child_end_that_means_nothing_is_refused(seq: int, status: WorkflowStatus, code: RejectionCode) -> None:
    """A child that runs has not ended, and a number that was never given names no task."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    child_id = scenario.task("s").progress.child_id or ""
    assert refusal(scenario.when(_end(scenario, seq, child_id, status))).code is code
