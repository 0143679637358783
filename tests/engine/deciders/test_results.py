"""Claims about reports, claims and updates: the first word that ends an attempt counts, and only that."""

import pytest

from engine.commands import ClaimTask, ReportTaskResult, UpdateTaskByRef
from engine.events import LeaseExtended, ResultIgnored
from engine.ids import RefName, TaskId, WorkflowId
from engine.model import RunningTask
from engine.rejections import RejectionCode
from engine.status import TaskStatus
from engine.testing import Scenario, refusal
from tests.engine.building import accepted, attempts, fork, join, output_of, started, task, task_def


def _ignored(scenario: Scenario, ref: str, *, seq: int | None = None) -> str:
    before = scenario.state
    (event,) = accepted(scenario.report(ref, TaskStatus.COMPLETED, output={"late": 1}, seq=seq))
    assert isinstance(event, ResultIgnored)
    assert (event.at_ms, event.status) == (scenario.now_ms, TaskStatus.COMPLETED)
    assert scenario.state.tasks == before.tasks
    assert scenario.state.version == before.version + 1
    return event.reason


def test_report_that_comes_twice_is_recorded_as_ignored() -> None:
    """A repetition changes nothing, and the log says so."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a", {"n": 1})
    assert _ignored(scenario, "a") == f"the task is COMPLETED since {scenario.now_ms}"
    assert output_of(scenario, "a") == {"n": 1}


def test_report_for_an_attempt_that_was_replaced_is_ignored() -> None:
    """A worker that was given up cannot end the attempt that followed."""
    scenario = started(task("a"), others=[task_def("a", retry_delay_seconds=0, response_timeout_seconds=1)])
    scenario.claim("a")
    scenario.wait(1_000)
    assert attempts(scenario, "a") == [(0, "TIMED_OUT"), (1, "SCHEDULED")]
    assert _ignored(scenario, "a", seq=1) == f"the task is TIMED_OUT since {scenario.now_ms}"


def test_report_after_the_end_of_the_workflow_is_ignored() -> None:
    """A task that was cancelled with its workflow stays so."""
    scenario = started(task("a"))
    scenario.terminate()
    assert "the task is CANCELED" in _ignored(scenario, "a")


def test_report_of_an_earlier_run_is_ignored_with_the_reason() -> None:
    """After a restart the tasks of the run before are gone, and their numbers are not used again."""
    scenario = started(task("a"))
    scenario.terminate()
    scenario.restart()
    assert scenario.task("a").spec.seq == 2
    reason = "the task is gone: the workflow was restarted, or a loop has forgotten that pass"
    assert _ignored(scenario, "a", seq=1) == reason
    assert scenario.statuses() == {"a": "SCHEDULED"}


@pytest.mark.parametrize("task_id", ["wf~0", "wf~2", "other~1", "nonsense", "", "wf~-1", "wf~1x", "~1", "wf~"])
@pytest.mark.parametrize("extend_lease", [False, True])
def test_report_for_an_unknown_task_is_refused(task_id: str, extend_lease: bool) -> None:  # noqa: FBT001
    """An id that the workflow never gave names no task, whatever else the report says."""
    scenario = started(task("a"))
    report = ReportTaskResult(
        workflow_instance_id=WorkflowId("wf"),
        task_id=TaskId(task_id),
        status=TaskStatus.TIMED_OUT,
        extend_lease=extend_lease,
    )
    rejected = refusal(scenario.when(report))
    assert rejected.code is RejectionCode.TASK_NOT_FOUND
    assert task_id in rejected.reason


@pytest.mark.parametrize(
    "status", [None, *sorted(set(TaskStatus) - {"IN_PROGRESS", "COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR"})]
)
def test_report_with_a_status_that_no_worker_has_is_refused(status: TaskStatus | None) -> None:
    """The engine's own statuses, and none at all, are not for workers to say; also when the report is late."""
    scenario = started(task("a"), task("b"))
    assert refusal(scenario.report("a", status)).code is RejectionCode.ARGUMENT_INVALID
    scenario.complete("a")
    assert refusal(scenario.report("a", status)).code is RejectionCode.ARGUMENT_INVALID


def test_report_on_a_task_that_ends_by_itself_is_refused() -> None:
    """Nobody completes a JOIN by hand."""
    scenario = started(fork("f", [task("a")]), join("j"))
    rejected = refusal(scenario.complete("j"))
    assert rejected.code is RejectionCode.ARGUMENT_INVALID
    assert "ends by itself" in rejected.reason


def test_extend_lease_restarts_the_response_timeout_and_nothing_else() -> None:
    """The output and the status of such a report are not looked at."""
    scenario = started(task("a"), others=[task_def("a", response_timeout_seconds=10)])
    scenario.claim("a")
    scenario.wait(9_000)
    scenario.report("a", TaskStatus.COMPLETED, output={"x": 1}, extend_lease=True)
    assert (scenario.statuses(), output_of(scenario, "a")) == ({"a": "IN_PROGRESS"}, {})
    scenario.wait(9_999)
    assert scenario.statuses() == {"a": "IN_PROGRESS"}
    scenario.wait(1)
    assert attempts(scenario, "a")[0] == (0, "TIMED_OUT")


def test_extend_lease_needs_no_status() -> None:
    """A lease extension says nothing but that the worker is alive."""
    scenario = started(task("a"))
    scenario.claim("a")
    (event,) = accepted(scenario.report("a", None, extend_lease=True))
    assert isinstance(event, LeaseExtended)


def test_extend_lease_of_a_task_that_nobody_claimed_changes_nothing() -> None:
    """No response timeout runs, so there is none to restart; the poll timeout is not put off."""
    scenario = started(task("a"), others=[task_def("a", poll_timeout_seconds=10, timeout_policy="TIME_OUT_WF")])
    scenario.wait(5_000)
    assert accepted(scenario.report("a", None, extend_lease=True)) == ()
    scenario.wait(5_000)
    assert scenario.status == "TIMED_OUT"


def test_extend_lease_of_an_ended_task_is_ignored() -> None:
    """The worker learns that its attempt is over."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    (event,) = accepted(scenario.report("a", None, extend_lease=True))
    assert isinstance(event, ResultIgnored)


def test_claim_begins_the_attempt() -> None:
    """The claim says who works, since when, and counts."""
    scenario = started(task("a"))
    scenario.wait(100)
    scenario.claim("a", "w7")
    running = scenario.task("a")
    assert isinstance(running, RunningTask)
    assert (running.progress.worker_id, running.progress.poll_count) == ("w7", 1)
    assert running.progress.started_at_ms == scenario.now_ms


def test_claim_counts_from_when_the_worker_took_the_task() -> None:
    """The response timeout runs from the claim's own instant, which may be a little before its decision."""
    scenario = started(task("a"), others=[task_def("a", response_timeout_seconds=10)])
    scenario.wait(1_000)
    scenario.claim("a", claimed_at_ms=scenario.now_ms - 400)
    assert scenario.task("a").progress.started_at_ms == scenario.now_ms - 400
    assert scenario.timers == {1: scenario.now_ms - 400 + 10_000}


@pytest.mark.parametrize("shift_ms", [-10_000, 10_000])
def test_claim_from_a_clock_that_is_wrong_is_bounded(shift_ms: int) -> None:
    """A worker's clock moves nothing before the attempt could be taken, nor into the future."""
    scenario = started(task("a"))
    scheduled_at_ms = scenario.now_ms
    scenario.wait(1_000)
    scenario.claim("a", claimed_at_ms=scenario.now_ms + shift_ms)
    begun_at_ms = scenario.task("a").progress.started_at_ms
    assert begun_at_ms == (scheduled_at_ms if shift_ms < 0 else scenario.now_ms)
    assert scenario.state.updated_at_ms <= scenario.now_ms


def test_claim_does_not_turn_the_workflows_clock_back() -> None:
    """The instant of the last change never decreases."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"))
    scenario.wait(1_000)
    scenario.complete("b")
    changed_at_ms = scenario.state.updated_at_ms
    scenario.claim("a", claimed_at_ms=changed_at_ms - 500)
    assert scenario.state.updated_at_ms == changed_at_ms


def test_claim_that_comes_twice_or_late_is_not_worth_an_event() -> None:
    """The first claim stands; one for an ended attempt changes nothing."""
    scenario = started(task("a"), task("b"))
    scenario.claim("a", "w1")
    assert accepted(scenario.claim("a", "w2")) == ()
    assert scenario.task("a").progress.worker_id == "w1"
    scenario.complete("a")
    assert accepted(scenario.claim("a", "w3")) == ()


def test_claim_of_a_task_that_is_not_due_is_not_taken() -> None:
    """Nobody begins a task before its delay is over."""
    scenario = started(task("a", start_delay=10))
    assert accepted(scenario.claim("a")) == ()


def test_claim_of_an_unknown_task_is_refused() -> None:
    """As for a report, an id that was never given names no task."""
    scenario = started(task("a"))
    claim = ClaimTask(workflow_instance_id=WorkflowId("wf"), task_id=TaskId("wf~9"))
    assert refusal(scenario.when(claim)).code is RejectionCode.TASK_NOT_FOUND


def test_claim_without_worker_id_still_begins() -> None:
    """A worker that says no name is called unknown."""
    scenario = started(task("a"))
    scenario.claim("a", "")
    assert scenario.task("a").progress.worker_id == "unknown"


def test_update_by_ref_merges_the_output() -> None:
    """Unlike a worker's report, an update adds to what is there."""
    scenario = started(task("a"), task("b"))
    scenario.report("a", TaskStatus.IN_PROGRESS, output={"kept": 1, "changed": 1})
    scenario.update("a", TaskStatus.COMPLETED, {"changed": 2, "new": 3})
    assert output_of(scenario, "a") == {"kept": 1, "changed": 2, "new": 3}
    assert scenario.open_refs() == ["b"]


def test_update_by_ref_follows_the_retries_of_the_task() -> None:
    """A failure by hand is a failure like a worker's."""
    scenario = started(task("a"), others=[task_def("a", retry_count=1, retry_delay_seconds=0)])
    scenario.update("a", TaskStatus.FAILED)
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]


@pytest.mark.parametrize("ref", ["a", "never", "missing"])
def test_update_by_ref_with_nothing_open_is_refused(ref: str) -> None:
    """An ended task, one that was not scheduled yet and an unknown name are all nothing to update."""
    scenario = started(task("a"), task("b"), task("never"))
    scenario.complete("a")
    assert refusal(scenario.update(ref)).code is RejectionCode.TASK_NOT_FOUND


def test_update_by_ref_of_an_ended_workflow_is_refused() -> None:
    """Nothing is open in a workflow that has ended."""
    scenario = started(task("a"))
    scenario.terminate()
    assert refusal(scenario.update("a")).code is RejectionCode.TASK_NOT_FOUND
    assert refusal(scenario.update(None)).code is RejectionCode.TASK_NOT_FOUND


def test_update_by_ref_with_a_status_that_nobody_may_say_is_refused() -> None:
    """The status is looked at first."""
    scenario = started(task("a"))
    update = UpdateTaskByRef(workflow_id=WorkflowId("wf"), ref_name=RefName("missing"), status=TaskStatus.SKIPPED)
    assert refusal(scenario.when(update)).code is RejectionCode.ARGUMENT_INVALID


def test_signal_ends_the_first_waiting_task() -> None:
    """Without a ref, the oldest open WAIT or HUMAN is meant, and no other type."""
    scenario = started(fork("f", [task("a")], [task("w", "WAIT")], [task("h", "HUMAN")]), join("j"))
    scenario.update(None, output={"n": 1})
    assert output_of(scenario, "w") == {"n": 1}
    scenario.update(None)
    assert scenario.open_refs() == ["a", "j"]
    rejected = refusal(scenario.update(None))
    assert rejected.code is RejectionCode.TASK_NOT_FOUND
    assert "no open WAIT or HUMAN task" in rejected.reason


def test_any_command_for_a_workflow_that_does_not_exist_is_refused() -> None:
    """Nothing but a start makes a workflow."""
    scenario = Scenario(started(task("a")).definition)
    assert refusal(scenario.pause()).code is RejectionCode.WORKFLOW_NOT_FOUND
    assert "wf" in refusal(scenario.evaluate()).reason
