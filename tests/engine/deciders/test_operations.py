"""Claims about pause, resume, terminate and skip."""

import pytest

from engine.effects import AnnounceOutcome, DispatchTask
from engine.events import TaskEnded
from engine.ids import TaskSeq
from engine.rejections import RejectionCode
from engine.status import TaskStatus
from engine.testing import Scenario, refusal
from tests.engine.building import (
    accepted,
    attempts,
    event_names,
    fork,
    join,
    output_of,
    started,
    sub_workflow,
    task,
    task_def,
    workflow,
)

CHILD = workflow(task("x"), name="child")


def _paused(*tasks: object, **fields: object) -> Scenario:
    scenario = started(*tasks, **fields)  # type: ignore[arg-type]  # passed on
    scenario.pause()
    return scenario


def _is_held(scenario: Scenario) -> bool:
    last = scenario.events[-1]
    return isinstance(last, TaskEnded) and last.held


# ---- pause and resume


def test_pause_schedules_nothing_behind_a_success() -> None:
    """A task that is out may end; what follows it waits for the resume."""
    scenario = _paused(task("a"), task("b", input_parameters={"x": "${a.output.n}"}))
    scenario.complete("a", {"n": 1})
    assert (scenario.status, scenario.statuses(), _is_held(scenario)) == ("PAUSED", {"a": "COMPLETED"}, True)

    scenario.resume()
    assert (scenario.status, scenario.open_refs()) == ("RUNNING", ["b"])
    assert scenario.task("b").spec.input == {"x": 1}
    assert scenario.state.held == ()


def test_pause_keeps_tasks_that_are_out_workable() -> None:
    """A dispatched task can still be claimed, kept alive and handed back."""
    scenario = _paused(task("a"))
    scenario.claim("a")
    assert event_names(scenario.report("a", None, extend_lease=True)) == ["LeaseExtended"]
    scenario.report("a", TaskStatus.IN_PROGRESS)
    assert scenario.statuses() == {"a": "SCHEDULED"}
    assert DispatchTask(seq=TaskSeq(1)) in scenario.effects


def test_pause_then_failure_with_attempts_left_retries_after_the_resume() -> None:
    """The next attempt is scheduled when the workflow goes on, with its whole delay."""
    scenario = _paused(task("a"), others=[task_def("a", retry_count=1, retry_delay_seconds=10)])
    scenario.fail("a")
    assert (scenario.status, attempts(scenario, "a")) == ("PAUSED", [(0, "FAILED")])
    scenario.wait(60_000)
    scenario.resume()
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]
    assert scenario.dispatched == set()
    scenario.wait(10_000)
    assert scenario.dispatched == {2}


def test_pause_then_failure_whose_total_time_passes_gets_the_attempt_that_it_was_promised() -> None:
    """That an attempt follows was decided with the failure; its time being over ends it like any attempt."""
    definition = task_def("a", retry_count=3, total_timeout_seconds=100, retry_delay_seconds=1, timeout_policy="RETRY")
    scenario = _paused(task("a", optional=True), task("b"), others=[definition])
    scenario.fail("a")
    scenario.wait(200_000)
    scenario.resume()
    scenario.wait(0)
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "COMPLETED_WITH_ERRORS")]
    assert scenario.open_refs() == ["b"]


def test_pause_then_failure_for_good_ends_the_workflow_at_the_resume() -> None:
    """The workflow stays PAUSED until somebody resumes it."""
    scenario = _paused(fork("f", [task("a")], [task("b")]), join("j"), others=[task_def("a", retry_count=0)])
    scenario.fail("a", "broken")
    assert scenario.status == "PAUSED"
    scenario.resume()
    assert scenario.status == "FAILED"
    assert scenario.statuses()["b"] == "CANCELED"
    assert scenario.state.failed_refs == ("a",)


def test_pause_then_tolerated_failure_goes_on_at_the_resume() -> None:
    """An optional task that failed is passed when the workflow goes on."""
    scenario = _paused(task("a", optional=True), task("b"), others=[task_def("a", retry_count=0)])
    scenario.fail("a")
    assert scenario.statuses() == {"a": "COMPLETED_WITH_ERRORS"}
    scenario.resume()
    assert scenario.open_refs() == ["b"]


def test_pause_holds_a_join_whose_branches_end() -> None:
    """All branches end during the pause; the JOIN ends with the resume."""
    scenario = _paused(fork("f", [task("a")], [task("b")]), join("j", "a", "b"), task("after"))
    scenario.complete("a", {"n": 1})
    scenario.complete("b")
    assert scenario.open_refs() == ["j"]
    scenario.resume()
    assert (scenario.open_refs(), output_of(scenario, "j")) == (["after"], {"a": {"n": 1}})


def test_pause_holds_a_join_whose_branches_go_on() -> None:
    """A branch whose next task is held back is not over for the JOIN."""
    scenario = _paused(fork("f", [task("a1"), task("a2")], [task("b")]), join("j"))
    scenario.complete("a1")
    scenario.complete("b")
    scenario.resume()
    assert scenario.open_refs() == ["j", "a2"]


def test_pause_holds_the_end_of_a_sub_workflow() -> None:
    """A child may end during the pause; the parent goes on with the resume."""
    scenario = _paused(sub_workflow("s", "child"), task("b"), others=[CHILD])
    scenario.end_child("s", output={"n": 1})
    assert (scenario.status, scenario.statuses()) == ("PAUSED", {"s": "COMPLETED"})
    scenario.resume()
    assert scenario.open_refs() == ["b"]


def test_pause_holds_timers_of_tasks() -> None:
    """A WAIT, a delay and a timeout that run out during the pause act at the resume, at once."""
    scenario = _paused(
        fork(
            "f",
            [task("w", "WAIT", input_parameters={"duration": "5 seconds"})],
            [task("d", start_delay=5)],
            [task("t")],
        ),
        join("j"),
        others=[task_def("t", response_timeout_seconds=5, retry_count=0)],
    )
    scenario.claim("t")
    scenario.wait(60_000)
    assert scenario.open_refs() == ["w", "d", "t", "j"]
    assert scenario.status == "PAUSED"
    scenario.resume()
    assert scenario.open_refs() == ["w", "d", "t", "j"]
    scenario.wait(0)
    assert scenario.statuses() == {
        "f": "COMPLETED",
        "w": "COMPLETED",
        "d": "CANCELED",
        "t": "TIMED_OUT",
        "j": "CANCELED",
    }


def test_pause_lets_the_workflows_own_time_run_out() -> None:
    """A pause does not stop the clock of the workflow."""
    scenario = Scenario(workflow(task("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    scenario.pause()
    scenario.wait(60_000)
    assert (scenario.status, scenario.statuses()) == ("TIMED_OUT", {"a": "CANCELED"})


def test_resume_restarts_the_workflows_clock() -> None:
    """After a pause the workflow has its whole time again."""
    scenario = Scenario(workflow(task("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    scenario.wait(50_000)
    scenario.pause()
    scenario.resume()
    assert scenario.state.last_retried_at_ms == scenario.now_ms
    scenario.wait(59_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_resume_completes_a_workflow_whose_last_task_ended_during_the_pause() -> None:
    """Nothing is left to do, so the workflow ends with the resume."""
    scenario = _paused(task("a"))
    scenario.complete("a", {"n": 1})
    scenario.resume()
    assert (scenario.status, scenario.output) == ("COMPLETED", {"n": 1})


def test_pause_of_a_paused_workflow_changes_nothing() -> None:
    """A repetition is no error."""
    assert accepted(_paused(task("a")).pause()) == ()


def test_pause_of_an_ended_workflow_is_refused() -> None:
    """There is nothing to pause; the refusal says what was found."""
    scenario = started(task("n", "NOOP"))
    rejected = refusal(scenario.pause())
    assert rejected.code is RejectionCode.WORKFLOW_ENDED
    assert rejected.reason == "cannot pause workflow wf: it should be RUNNING and is COMPLETED"


@pytest.mark.parametrize("ended", [False, True])
def test_resume_of_what_is_not_paused_is_refused(ended: bool) -> None:  # noqa: FBT001
    """Neither a running nor an ended workflow can be resumed."""
    scenario = started(task("a"))
    if ended:
        scenario.terminate()
    assert refusal(scenario.resume()).code is RejectionCode.WORKFLOW_NOT_PAUSED


# ---- terminate


def test_terminate_cancels_what_is_open_and_announces() -> None:
    """The workflow ends with the reason, nothing stays open, no timer stays armed."""
    scenario = started(fork("f", [task("a")], [task("w", "WAIT", input_parameters={"duration": "1 hour"})]), join("j"))
    scenario.claim("a")
    scenario.report("a", TaskStatus.IN_PROGRESS, output={"half": 1})
    scenario.terminate("not needed")

    assert (scenario.status, scenario.state.reason) == ("TERMINATED", "not needed")
    assert (scenario.open_refs(), scenario.timers, scenario.dispatched) == ([], {}, set())
    assert scenario.task("a").progress.reason == "not needed"
    assert output_of(scenario, "a") == {"half": 1}
    assert AnnounceOutcome() in scenario.effects
    assert scenario.state.failed_refs == ()


def test_terminate_without_reason_still_says_why_tasks_were_cancelled() -> None:
    """The tasks tell that their workflow has ended."""
    scenario = started(task("a"))
    scenario.terminate()
    assert scenario.state.reason == ""
    assert scenario.task("a").progress.reason == "The workflow has ended: TERMINATED."


def test_terminate_computes_the_output() -> None:
    """The declared output is resolved over what there is."""
    scenario = Scenario(workflow(task("a"), task("b"), output_parameters={"n": "${a.output.n}", "m": "${b.output.m}"}))
    scenario.start()
    scenario.complete("a", {"n": 1})
    scenario.terminate()
    assert scenario.output == {"n": 1, "m": None}


def test_terminate_of_a_paused_workflow_ends_it() -> None:
    """A pause protects from nothing."""
    scenario = _paused(task("a"), task("b"))
    scenario.complete("a")
    scenario.terminate()
    assert (scenario.status, scenario.state.held) == ("TERMINATED", ())


@pytest.mark.parametrize("policy", ["FAILED", "TIMED_OUT"])
def test_terminate_of_a_workflow_that_failed_rewrites_it(policy: str) -> None:
    """FAILED and TIMED_OUT become TERMINATED, with the new reason."""
    scenario = started(task("a"), others=[task_def("a", timeout_seconds=1, retry_count=0)])
    scenario.claim("a")
    if policy == "FAILED":
        scenario.fail("a")
    else:
        scenario.wait(1_000)
    assert scenario.status == policy
    scenario.terminate("cleaned up")
    assert (scenario.status, scenario.state.reason) == ("TERMINATED", "cleaned up")
    assert scenario.state.failed_refs == ("a",)


def test_terminate_of_a_terminated_workflow_changes_nothing() -> None:
    """A repetition is no error, and keeps the first reason."""
    scenario = started(task("a"))
    scenario.terminate("first")
    assert accepted(scenario.terminate("second")) == ()
    assert scenario.state.reason == "first"


def test_terminate_of_a_completed_workflow_is_refused() -> None:
    """A success is not taken back."""
    scenario = started(task("n", "NOOP"))
    assert refusal(scenario.terminate()).code is RejectionCode.WORKFLOW_ENDED


# ---- skip


def test_skip_is_stepped_over_when_the_walk_comes_to_it() -> None:
    """The task is there as SKIPPED at once, with the given input and output, and never begins."""
    scenario = started(task("a"), task("b", name="encode"), task("c", input_parameters={"x": "${b.output.n}"}))
    scenario.skip("b", given={"i": 1}, output={"n": 2})
    skipped = scenario.task("b")
    assert scenario.statuses() == {"a": "SCHEDULED", "b": "SKIPPED"}
    assert (skipped.spec.type, skipped.spec.input) == ("encode", {"i": 1})
    scenario.complete("a")
    assert scenario.open_refs() == ["c"]
    assert scenario.task("c").spec.input == {"x": 2}


def test_skip_of_the_last_task_completes_the_workflow_behind_the_one_before() -> None:
    """A skipped end is an end."""
    scenario = started(task("a"), task("b"))
    scenario.skip("b")
    scenario.complete("a")
    assert scenario.status == "COMPLETED"


def test_skip_of_consecutive_tasks_steps_over_all_of_them() -> None:
    """One step leads behind them."""
    scenario = started(task("a"), task("b"), task("c"), task("d"))
    scenario.skip("c")
    scenario.skip("b")
    scenario.complete("a")
    assert scenario.open_refs() == ["d"]


def test_skip_of_a_branch_head_is_stepped_over_in_the_fork() -> None:
    """A FORK enters a branch behind a skipped head."""
    scenario = started(task("a"), fork("f", [task("x"), task("y")], [task("z")]), join("j"))
    scenario.skip("x")
    scenario.complete("a")
    assert scenario.open_refs() == ["z", "j", "y"]


def test_skip_of_a_join_goes_on_without_waiting() -> None:
    """Without its JOIN a FORK is followed at once; the workflow ends when the branches have."""
    scenario = started(task("a"), fork("f", [task("x")]), join("j"), task("after"))
    scenario.skip("j")
    scenario.complete("a")
    assert scenario.open_refs() == ["x", "after"]
    scenario.complete("after")
    scenario.complete("x")
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    ("ref", "pause", "code"),
    [
        # In this order: a paused workflow is refused before the ref is looked at.
        ("missing", True, RejectionCode.WORKFLOW_NOT_RUNNING),
        ("missing", False, RejectionCode.TASK_NOT_FOUND),
        ("a", False, RejectionCode.TASK_ALREADY_SCHEDULED),
    ],
)
def test_skip_that_is_not_possible_is_refused(ref: str, pause: bool, code: RejectionCode) -> None:  # noqa: FBT001
    """Only a task of a running workflow that has not ended can be skipped."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    if pause:
        scenario.pause()
    assert refusal(scenario.skip(ref)).code is code


def test_skip_of_a_skipped_task_is_refused() -> None:
    """It has been recorded already."""
    scenario = started(task("a"), task("b"))
    scenario.skip("b")
    assert refusal(scenario.skip("b")).code is RejectionCode.TASK_ALREADY_SCHEDULED
