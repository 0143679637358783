"""Claims about time that has passed: four timeouts of a task, three policies, and the workflow's own."""

import pytest

from engine.commands import FireTimer
from engine.definitions import TaskDef
from engine.effects import WORKFLOW_TIMER
from engine.ids import TaskSeq
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import (
    accepted,
    attempts,
    event_names,
    fork,
    join,
    output_of,
    started,
    task,
    task_def,
    workflow,
)

POLICIES = ["RETRY", "TIME_OUT_WF", "ALERT_ONLY"]
LIMITS = {
    "total": {"total_timeout_seconds": 10},
    "run": {"timeout_seconds": 10},
    "poll": {"poll_timeout_seconds": 10},
    "response": {"response_timeout_seconds": 10},
}


def _definition(limit: str, policy: str) -> TaskDef:
    return task_def("a", timeout_policy=policy, retry_count=1, retry_delay_seconds=0, **LIMITS[limit])


def _limited(limit: str, policy: str) -> Scenario:
    """Return a task whose clock of this kind runs: begun for the run and response timeouts, waiting for the others."""
    scenario = started(task("a"), others=[_definition(limit, policy)])
    if limit in {"run", "response"}:
        scenario.claim("a")
    return scenario


EXPECTED = {
    # limit, policy: the attempts after ten seconds, and the workflow
    ("total", "RETRY"): ([(0, "TIMED_OUT")], "TIMED_OUT"),  # no time is left for another attempt
    ("run", "RETRY"): ([(0, "TIMED_OUT"), (1, "SCHEDULED")], "RUNNING"),
    ("poll", "RETRY"): ([(0, "TIMED_OUT"), (1, "SCHEDULED")], "RUNNING"),
    ("response", "RETRY"): ([(0, "TIMED_OUT"), (1, "SCHEDULED")], "RUNNING"),
    ("total", "TIME_OUT_WF"): ([(0, "TIMED_OUT")], "TIMED_OUT"),
    ("run", "TIME_OUT_WF"): ([(0, "TIMED_OUT")], "TIMED_OUT"),
    ("poll", "TIME_OUT_WF"): ([(0, "TIMED_OUT")], "TIMED_OUT"),
    ("response", "TIME_OUT_WF"): ([(0, "TIMED_OUT"), (1, "SCHEDULED")], "RUNNING"),  # whatever the policy
    ("total", "ALERT_ONLY"): ([(0, "SCHEDULED")], "RUNNING"),
    ("run", "ALERT_ONLY"): ([(0, "IN_PROGRESS")], "RUNNING"),
    ("poll", "ALERT_ONLY"): ([(0, "SCHEDULED")], "RUNNING"),
    ("response", "ALERT_ONLY"): ([(0, "TIMED_OUT"), (1, "SCHEDULED")], "RUNNING"),  # whatever the policy
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("limit", LIMITS)
def test_timeout_acts_at_its_instant_as_its_policy_says(limit: str, policy: str) -> None:
    """Not a millisecond before; a response timeout is followed by a retry under every policy."""
    scenario = _limited(limit, policy)
    before = attempts(scenario, "a")
    scenario.wait(9_999)
    assert attempts(scenario, "a") == before
    scenario.wait(1)
    assert (attempts(scenario, "a"), scenario.status) == EXPECTED[limit, policy]


@pytest.mark.parametrize("limit", LIMITS)
def test_timeout_reason_says_what_ran_out(limit: str) -> None:
    """The reason names the kind of time and the task."""
    scenario = _limited(limit, "RETRY")
    scenario.wait(10_000)
    reason = scenario.state.tasks[TaskSeq(1)].progress.reason
    words = {"total": "total timeout", "run": "timeout", "poll": "poll timeout", "response": "responseTimeout"}
    assert words[limit] in reason
    assert "a (wf~1)" in reason


@pytest.mark.parametrize("limit", ["total", "run", "poll"])
def test_alert_only_timeout_is_looked_at_once(limit: str) -> None:
    """A deadline that ends nothing stays in the past and is not fired again and again."""
    scenario = _limited(limit, "ALERT_ONLY")
    scenario.wait(10_000)
    events, timers = len(scenario.events), dict(scenario.timers)
    assert all(due_at_ms > scenario.now_ms for due_at_ms in timers.values())
    scenario.wait(1_000)
    assert (len(scenario.events), scenario.timers) == (events, timers)


def test_alert_only_timeout_does_not_hide_the_response_timeout() -> None:
    """After a deadline that only alerts, the next one acts in its time."""
    definition = task_def("a", timeout_policy="ALERT_ONLY", timeout_seconds=5, response_timeout_seconds=8)
    scenario = started(task("a"), others=[definition])
    scenario.claim("a")
    scenario.wait(7_999)
    assert scenario.statuses() == {"a": "IN_PROGRESS"}
    scenario.wait(1)
    assert attempts(scenario, "a")[0] == (0, "TIMED_OUT")


def test_timeout_keeps_what_the_task_had_put_out() -> None:
    """The output that a worker reported on the way is not lost with its attempt."""
    scenario = started(task("a"), others=[task_def("a", timeout_seconds=10, timeout_policy="TIME_OUT_WF")])
    scenario.claim("a")
    scenario.update("a", TaskStatus.IN_PROGRESS, {"half": 1})
    scenario.wait(10_000)
    assert output_of(scenario, "a") == {"half": 1}


def test_time_out_wf_ends_the_workflow_even_if_the_task_is_optional() -> None:
    """The policy speaks for the workflow, not for the task."""
    scenario = started(
        task("a", optional=True), others=[task_def("a", poll_timeout_seconds=1, timeout_policy="TIME_OUT_WF")]
    )
    scenario.wait(1_000)
    assert (scenario.status, scenario.state.failed_refs) == ("TIMED_OUT", ("a",))


def test_run_timeout_counts_from_the_start_of_the_attempt() -> None:
    """Neither the time in the queue nor a delay uses it up."""
    scenario = started(task("a", start_delay=20), others=[_definition("run", "TIME_OUT_WF")])
    scenario.wait(50_000)
    assert scenario.status == "RUNNING"
    scenario.claim("a")
    scenario.wait(9_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_poll_timeout_counts_from_when_the_task_could_be_taken() -> None:
    """A startDelay does not use it up."""
    scenario = started(task("a", start_delay=20), others=[_definition("poll", "TIME_OUT_WF")])
    scenario.wait(29_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_poll_timeout_counts_anew_when_the_task_was_handed_back() -> None:
    """Nor does the time that a worker asked for."""
    scenario = started(task("a"), others=[_definition("poll", "TIME_OUT_WF")])
    scenario.claim("a")
    scenario.wait(60_000)
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=30)
    scenario.wait(39_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_response_timeout_does_not_run_while_nobody_works() -> None:
    """A task in its queue, or handed back for later, owes no answer."""
    scenario = started(task("a"), others=[_definition("response", "RETRY")])
    scenario.wait(60_000)
    scenario.claim("a")
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=60)
    scenario.wait(120_000)
    assert attempts(scenario, "a") == [(0, "SCHEDULED")]


def test_total_timeout_counts_over_all_attempts_and_their_delays() -> None:
    """An attempt that would begin when the time is over is not made."""
    definition = task_def("a", retry_count=9, retry_delay_seconds=40, total_timeout_seconds=100, timeout_policy="RETRY")
    scenario = started(task("a"), others=[definition])
    scenario.fail("a")
    scenario.wait(40_000)
    scenario.fail("a")
    scenario.wait(40_000)
    scenario.fail("a", "third")
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "FAILED"), (2, "FAILED")]
    assert scenario.status == "FAILED"


def test_total_timeout_leaves_time_for_an_attempt_that_still_fits() -> None:
    """Also the first attempt is followed by another when there is time."""
    definition = task_def("a", retry_count=1, retry_delay_seconds=99, total_timeout_seconds=100)
    scenario = started(task("a"), others=[definition])
    scenario.fail("a")
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]


def test_total_timeout_ends_an_attempt_that_waits_for_its_delay() -> None:
    """The clock of all attempts does not stop between two of them."""
    definition = task_def("a", retry_count=1, retry_delay_seconds=50, total_timeout_seconds=100)
    scenario = started(task("a"), others=[definition])
    scenario.wait(40_000)
    scenario.fail("a")
    scenario.wait(59_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert (scenario.status, attempts(scenario, "a")[1]) == ("TIMED_OUT", (1, "TIMED_OUT"))


def test_of_two_timeouts_the_one_that_ran_out_first_counts() -> None:
    """However late the look: the response timeout of 5 s retries, though the run timeout of 8 s has passed as well."""
    definition = task_def(
        "a", response_timeout_seconds=5, timeout_seconds=8, timeout_policy="TIME_OUT_WF", retry_delay_seconds=0
    )
    scenario = started(task("a"), others=[definition])
    scenario.claim("a")
    scenario.now_ms += 60_000
    scenario.evaluate()
    assert (scenario.status, attempts(scenario, "a")) == ("RUNNING", [(0, "TIMED_OUT"), (1, "SCHEDULED")])


# ---- the workflow's own time


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("TIME_OUT_WF", ("TIMED_OUT", "CANCELED", "Workflow timed out after 30 seconds.")),
        ("ALERT_ONLY", ("RUNNING", "SCHEDULED", "")),
    ],
)
def test_workflow_timeout_acts_at_its_instant_as_its_policy_says(policy: str, expected: tuple[str, str, str]) -> None:
    """TIME_OUT_WF ends the workflow and cancels what is open; ALERT_ONLY ends nothing."""
    scenario = Scenario(workflow(task("a"), timeout_seconds=30, timeout_policy=policy))
    scenario.start()
    scenario.wait(29_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert (scenario.status, scenario.statuses()["a"], scenario.state.reason) == expected


# ---- timers and looks that find nothing


@pytest.mark.parametrize("seq", [WORKFLOW_TIMER, 1, 2, 99])
def test_timer_that_fires_too_early_does_nothing(seq: int) -> None:
    """What is due is read from the state: a stale, repeated or invented timer finds nothing."""
    scenario = Scenario(
        workflow(task("n", "NOOP"), task("a", start_delay=5), timeout_seconds=9, timeout_policy="TIME_OUT_WF")
    )
    scenario.start()
    assert accepted(scenario.when(FireTimer(workflow_id=scenario.workflow_id, task_seq=TaskSeq(seq)))) == ()


def test_timer_of_an_ended_workflow_does_nothing() -> None:
    """A timer that was already under way when the workflow ended finds nothing."""
    scenario = started(task("a", start_delay=5))
    scenario.terminate()
    scenario.now_ms += 10_000
    assert accepted(scenario.when(FireTimer(workflow_id=scenario.workflow_id, task_seq=TaskSeq(1)))) == ()
    assert accepted(scenario.evaluate()) == ()


def test_evaluate_does_whatever_is_due() -> None:
    """One look releases, wakes and times out; where nothing is due it does nothing."""
    scenario = started(
        fork(
            "f",
            [task("d", start_delay=5)],
            [task("w", "WAIT", input_parameters={"duration": "5 seconds"})],
            [task("p", permissive=True)],
            [task("later", start_delay=50)],
        ),
        join("j"),
        others=[task_def("p", poll_timeout_seconds=5, timeout_policy="RETRY", retry_count=0)],
    )
    assert event_names(scenario.evaluate()) == []
    scenario.now_ms += 5_000
    assert event_names(scenario.evaluate()) == ["TaskReleased", "TaskEnded", "TaskEnded"]
    assert scenario.statuses()["p"] == "TIMED_OUT"
    assert event_names(scenario.evaluate()) == []


def test_evaluate_ends_a_workflow_whose_time_is_over() -> None:
    """The workflow's own time is looked at first; then there is nothing else to do."""
    scenario = Scenario(workflow(task("a", start_delay=5), timeout_seconds=5, timeout_policy="TIME_OUT_WF"))
    scenario.start()
    scenario.now_ms += 60_000
    assert event_names(scenario.evaluate()) == ["TaskEnded", "WorkflowEnded"]
    assert scenario.status == "TIMED_OUT"
