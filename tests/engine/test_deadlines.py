"""Claims about deadlines as a function of a task. What they lead to is in `deciders/test_timers.py`."""

from engine.deadlines import DeadlineKind, deadlines, due, engine_timeouts, next_deadline_ms, worker_timeouts
from engine.events import TaskTimeouts
from engine.model import EndedTask, OpenTask
from tests.engine.building import started, task, task_def

FULL = task_def(
    "a", timeout_seconds=40, response_timeout_seconds=20, poll_timeout_seconds=10, total_timeout_seconds=100
)


def _task(*, claim: bool) -> tuple[OpenTask, int]:
    scenario = started(task("a"), others=[FULL])
    if claim:
        scenario.claim("a")
    found = scenario.task("a")
    assert not isinstance(found, EndedTask)
    return found, scenario.now_ms


def test_deadlines_of_a_waiting_task_are_those_of_the_queue_and_of_all_attempts() -> None:
    """Nobody works, so neither the run nor the response timeout runs."""
    found, at_ms = _task(claim=False)
    assert deadlines(found) == [
        (DeadlineKind.TOTAL_TIMEOUT, at_ms + 100_000),
        (DeadlineKind.POLL_TIMEOUT, at_ms + 10_000),
    ]
    assert next_deadline_ms(found) == at_ms + 10_000


def test_deadlines_of_a_running_task_are_those_of_its_worker() -> None:
    """The poll timeout is over with the claim."""
    found, at_ms = _task(claim=True)
    assert dict(deadlines(found)) == {
        DeadlineKind.TOTAL_TIMEOUT: at_ms + 100_000,
        DeadlineKind.RUN_TIMEOUT: at_ms + 40_000,
        DeadlineKind.RESPONSE_TIMEOUT: at_ms + 20_000,
    }


def test_next_deadline_after_an_instant_leaves_out_what_has_passed() -> None:
    """Whoever has looked at a deadline that ends nothing asks for the next one."""
    found, at_ms = _task(claim=True)
    assert next_deadline_ms(found, after_ms=at_ms + 20_000) == at_ms + 40_000
    assert next_deadline_ms(found, after_ms=at_ms + 100_000) is None


def test_due_lists_what_has_passed_in_the_order_in_which_it_did() -> None:
    """The order of the kinds decides only between equal instants."""
    found, at_ms = _task(claim=True)
    assert due(found, at_ms + 19_999) == []
    assert due(found, at_ms + 100_000) == [
        DeadlineKind.RESPONSE_TIMEOUT,
        DeadlineKind.RUN_TIMEOUT,
        DeadlineKind.TOTAL_TIMEOUT,
    ]


def test_timeouts_of_a_task_that_the_engine_keeps_open_are_two() -> None:
    """Nobody polls it and nobody responds; without a definition it may take for ever."""
    assert engine_timeouts(FULL) == TaskTimeouts(run_ms=40_000, total_ms=100_000)
    assert engine_timeouts(None) == TaskTimeouts()


def test_timeouts_of_an_undefined_worker_task_are_the_defaults() -> None:
    """An hour without a word, and nothing else."""
    assert worker_timeouts(None) == TaskTimeouts(response_ms=3_600_000)
