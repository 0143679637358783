"""Claims about HTTP: a request that Podium makes, once per attempt that it decided."""

import pytest

from engine.effects import DispatchTask
from engine.ids import TaskSeq
from engine.outward import standing_effects
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import attempts, output_of, started, task, task_def

REQUEST = {"http_request": {"uri": "http://localhost/x", "method": "GET"}}


def _answer(scenario: Scenario, status: TaskStatus = TaskStatus.COMPLETED) -> None:
    output = {"response": {"statusCode": 200}}
    scenario.report("h", status, output=output, worker_id=ENGINE_WORKER, reason="it said so")


def test_http_is_dispatched_once_when_it_begins() -> None:
    """The attempt is in progress at once, and one request is made."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST))
    assert scenario.statuses() == {"h": "IN_PROGRESS"}
    assert scenario.effects == [DispatchTask(seq=TaskSeq(1))]


def test_http_answer_ends_the_task() -> None:
    """The built-in worker reports like any other."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST), task("after"))
    _answer(scenario)
    assert output_of(scenario, "h") == {"response": {"statusCode": 200}}
    assert scenario.open_refs() == ["after"]


def test_http_failure_is_not_retried_without_a_definition() -> None:
    """A built-in task that nobody defined has no retries."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST))
    _answer(scenario, TaskStatus.FAILED)
    assert scenario.status == "FAILED"


def test_http_retry_is_dispatched_once_when_its_delay_is_over() -> None:
    """A further attempt waits for its delay, then makes one request."""
    scenario = started(
        task("h", "HTTP", input_parameters=REQUEST), others=[task_def("h", retry_count=1, retry_delay_seconds=20)]
    )
    _answer(scenario, TaskStatus.FAILED)
    assert attempts(scenario, "h") == [(0, "FAILED"), (1, "SCHEDULED")]
    assert DispatchTask(seq=TaskSeq(2)) not in scenario.effects
    scenario.wait(20_000)
    assert scenario.statuses() == {"h": "IN_PROGRESS"}
    assert scenario.effects.count(DispatchTask(seq=TaskSeq(2))) == 1


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"async_complete": True}, REQUEST),
        ({}, {**REQUEST, "asyncComplete": True}),
        ({}, {"http_request": {**REQUEST["http_request"], "asyncComplete": True}}),
    ],
)
def test_http_async_complete_stays_open_after_the_answer(fields: dict[str, bool], given: dict[str, object]) -> None:
    """The answer is shown, the request is not made again, and somebody else ends the task."""
    scenario = started(task("h", "HTTP", input_parameters=given, **fields), task("after"))
    _answer(scenario)
    assert scenario.open_refs() == ["h"]
    assert output_of(scenario, "h") == {"response": {"statusCode": 200}}
    assert standing_effects(scenario.state) == ()

    scenario.update("h", TaskStatus.COMPLETED, {"done": True})
    assert output_of(scenario, "h") == {"response": {"statusCode": 200}, "done": True}
    assert scenario.open_refs() == ["after"]


def test_http_async_complete_that_failed_ends() -> None:
    """A request that could not be made is not waited for."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST, async_complete=True))
    _answer(scenario, TaskStatus.FAILED)
    assert scenario.status == "FAILED"


def test_http_request_without_answer_stands_after_a_crash() -> None:
    """A request whose answer is not in the log is made again by the next owner."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST))
    assert standing_effects(scenario.state) == (DispatchTask(seq=TaskSeq(1)),)


def test_http_update_by_hand_while_the_request_is_out_does_not_end_its_asking() -> None:
    """An output that somebody notes is not the answer."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST, async_complete=True))
    scenario.update("h", TaskStatus.IN_PROGRESS, {"note": 1})
    assert standing_effects(scenario.state) == (DispatchTask(seq=TaskSeq(1)),)


def test_http_timeout_of_its_definition_holds() -> None:
    """The run timeout of a definition bounds the request; there is no response timeout."""
    scenario = started(
        task("h", "HTTP", input_parameters=REQUEST),
        others=[task_def("h", timeout_seconds=10, response_timeout_seconds=1)],
    )
    scenario.wait(9_999)
    assert scenario.status == "RUNNING"
    scenario.wait(1)
    assert scenario.status == "TIMED_OUT"


def test_http_start_delay_keeps_the_request_back() -> None:
    """The request is made when the startDelay is over."""
    scenario = started(task("h", "HTTP", input_parameters=REQUEST, start_delay=2))
    assert scenario.dispatched == set()
    scenario.wait(2_000)
    assert scenario.dispatched == {1}
