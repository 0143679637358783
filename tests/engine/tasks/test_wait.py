"""Claims about WAIT: it ends at its instant, or by somebody's word."""

import pytest

from engine.json_value import JsonObject
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import attempts, output_of, started, task, task_def, workflow

NOON_MS = 1_767_268_800_000
"""2026-01-01 12:00 UTC."""


def _at_noon(given: JsonObject, **fields: object) -> Scenario:
    scenario = Scenario(workflow(task("w", "WAIT", input_parameters=given, **fields), task("after")), now_ms=NOON_MS)
    scenario.start()
    return scenario


@pytest.mark.parametrize(
    ("given", "wait_ms"),
    [
        ({"duration": "5 seconds"}, 5_000),
        ({"duration": "1 day 2h 30 sec"}, 93_630_000),
        ({"until": "2026-01-01 12:01"}, 60_000),
        ({"until": "2026-01-02"}, 43_200_000),
        ({"until": "2026-01-01 14:00 GMT+1"}, 3_600_000),
    ],
)
def test_wait_ends_at_its_instant_and_not_before(given: JsonObject, wait_ms: int) -> None:
    """A duration counts from the moment at which the task begins, an instant is what it says."""
    scenario = _at_noon(given)
    assert scenario.statuses() == {"w": "IN_PROGRESS"}
    scenario.wait(wait_ms - 1)
    assert scenario.open_refs() == ["w"]
    scenario.wait(1)
    assert scenario.open_refs() == ["after"]


def test_wait_until_an_instant_that_has_passed_does_not_wait() -> None:
    """The flow goes on in the same decision."""
    assert _at_noon({"until": "2025-12-31 23:59"}).open_refs() == ["after"]


def test_wait_for_no_time_at_all_does_not_wait() -> None:
    """A duration of zero is over when it begins."""
    assert _at_noon({"duration": "0 seconds"}).open_refs() == ["after"]


def test_wait_duration_may_be_an_expression() -> None:
    """The duration is resolved when the task is scheduled."""
    scenario = Scenario(workflow(task("w", "WAIT", input_parameters={"duration": "${workflow.input.d}"})))
    scenario.start({"d": "2 seconds"})
    scenario.wait(2_000)
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    "given",
    [
        {"duration": "5 seconds", "until": "2026-01-02"},
        {"duration": "soon"},
        {"duration": 5},
        {"until": "tomorrow"},
    ],
)
def test_wait_that_cannot_be_read_fails_for_good(given: JsonObject) -> None:
    """Both at once, and text that is no time, end the task with a terminal error."""
    scenario = _at_noon(given)
    assert scenario.statuses() == {"w": "FAILED_WITH_TERMINAL_ERROR"}
    assert scenario.status == "FAILED"


def test_wait_without_time_waits_until_somebody_completes_it() -> None:
    """Neither duration nor instant: no timer."""
    scenario = _at_noon({})
    assert scenario.timers == {}
    scenario.update("w", TaskStatus.COMPLETED, {"ok": True})
    assert output_of(scenario, "w") == {"ok": True}
    assert scenario.open_refs() == ["after"]


def test_wait_with_a_timer_may_be_completed_early() -> None:
    """Somebody's word ends it before its time, and its timer is gone."""
    scenario = _at_noon({"duration": "1 hour"})
    scenario.complete("w", {"early": 1})
    assert scenario.timers == {}
    assert scenario.open_refs() == ["after"]


def test_wait_in_progress_report_only_shows_an_output() -> None:
    """An output that was noted stays when the time is over."""
    scenario = _at_noon({"duration": "10 seconds"})
    scenario.report("w", TaskStatus.IN_PROGRESS, output={"seen": 1})
    assert scenario.statuses() == {"w": "IN_PROGRESS"}
    scenario.wait(10_000)
    assert output_of(scenario, "w") == {"seen": 1}
    assert scenario.open_refs() == ["after"]


def test_wait_that_somebody_fails_is_not_retried_without_a_definition() -> None:
    """A built-in task that nobody defined has no retries."""
    scenario = _at_noon({})
    scenario.fail("w", "no")
    assert scenario.status == "FAILED"


def test_wait_start_delay_comes_before_the_duration() -> None:
    """A delayed WAIT begins when its delay is over, and waits from then on."""
    scenario = _at_noon({"duration": "10 seconds"}, start_delay=5)
    assert scenario.statuses() == {"w": "SCHEDULED"}
    scenario.wait(5_000)
    assert scenario.statuses() == {"w": "IN_PROGRESS"}
    scenario.wait(9_999)
    assert scenario.open_refs() == ["w"]
    scenario.wait(1)
    assert scenario.open_refs() == ["after"]


def test_wait_until_an_instant_within_its_start_delay_ends_with_the_delay() -> None:
    """An instant that passes before the task begins is no further wait."""
    scenario = _at_noon({"until": "2026-01-01 12:01"}, start_delay=120)
    scenario.wait(119_999)
    assert scenario.statuses() == {"w": "SCHEDULED"}
    scenario.wait(1)
    assert scenario.open_refs() == ["after"]


def test_wait_retry_waits_for_its_delay_and_then_anew() -> None:
    """A further attempt begins after the retry delay with its whole duration."""
    scenario = started(
        task("w", "WAIT", input_parameters={"duration": "10 seconds"}),
        others=[task_def("w", retry_count=1, retry_delay_seconds=5)],
    )
    scenario.wait(3_000)
    scenario.fail("w")
    scenario.wait(14_999)
    assert attempts(scenario, "w") == [(0, "FAILED"), (1, "IN_PROGRESS")]
    scenario.wait(1)
    assert scenario.status == "COMPLETED"


def test_wait_that_was_due_first_beats_a_timeout_that_was_due_later() -> None:
    """However late the look, what ran out first is what happened."""
    scenario = started(
        task("w", "WAIT", input_parameters={"duration": "10 seconds"}), others=[task_def("w", timeout_seconds=20)]
    )
    scenario.now_ms += 60_000
    scenario.evaluate()
    assert scenario.status == "COMPLETED"
