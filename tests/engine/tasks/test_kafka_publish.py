"""Claims about KAFKA_PUBLISH: a record that Podium publishes, once per attempt that it decided."""

import pytest

from engine.effects import DispatchTask
from engine.ids import TaskSeq
from engine.outward import standing_effects
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import attempts, fork, join, loop, started, switch, task, task_def

REQUEST = {"kafka_request": {"topic": "t", "value": {"n": 1}}}


def _acknowledged(scenario: Scenario, ref: str = "k", status: TaskStatus = TaskStatus.COMPLETED) -> None:
    scenario.report(ref, status, output={}, worker_id=ENGINE_WORKER, reason="it said so")


def test_kafka_publish_is_dispatched_once_and_ends_with_its_acknowledgement() -> None:
    """Until then what follows it has to wait, and a crash publishes it again."""
    scenario = started(task("k", "KAFKA_PUBLISH", input_parameters=REQUEST), task("after"))
    assert scenario.statuses() == {"k": "IN_PROGRESS"}
    assert scenario.effects == [DispatchTask(seq=TaskSeq(1))]
    assert standing_effects(scenario.state) == (DispatchTask(seq=TaskSeq(1)),)
    _acknowledged(scenario)
    assert scenario.open_refs() == ["after"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (None, "kafka_request should be an object"),
        ("t", "kafka_request should be an object"),
        ({"value": 1}, "topic of kafka_request"),
        ({"topic": "", "value": 1}, "topic of kafka_request"),
        ({"topic": "t"}, "should have a value"),
        ({"topic": "t", "value": None}, "should have a value"),
    ],
)
def test_kafka_publish_of_no_record_fails_for_good(request_: object, reason: str) -> None:
    """Another attempt would come to the same."""
    scenario = started(
        task("k", "KAFKA_PUBLISH", input_parameters={"kafka_request": "${workflow.input.request}"}),
        others=[task_def("k", retry_count=3)],
        request=request_,
    )
    assert scenario.statuses() == {"k": "FAILED_WITH_TERMINAL_ERROR"}
    found = scenario.task("k").progress.reason
    assert found.startswith("Failed to invoke kafka task due to: ")
    assert reason in found


@pytest.mark.parametrize("value", [0, False, "", [], {}])
def test_kafka_publish_takes_any_value_but_null(value: object) -> None:
    """What is falsy is a value all the same."""
    given = {"kafka_request": {"topic": "t", "value": "${workflow.input.value}"}}
    scenario = started(task("k", "KAFKA_PUBLISH", input_parameters=given), value=value)
    assert scenario.statuses() == {"k": "IN_PROGRESS"}


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"async_complete": True}, REQUEST),
        ({}, {**REQUEST, "asyncComplete": True}),
        ({}, {"kafka_request": {**REQUEST["kafka_request"], "asyncComplete": True}}),
    ],
)
def test_kafka_publish_async_complete_stays_open(fields: dict[str, bool], given: dict[str, object]) -> None:
    """It is not published again, and somebody else ends the task."""
    scenario = started(task("k", "KAFKA_PUBLISH", input_parameters=given, **fields))
    _acknowledged(scenario)
    assert scenario.open_refs() == ["k"]
    assert standing_effects(scenario.state) == ()
    scenario.update("k")
    assert scenario.status == "COMPLETED"


def test_kafka_publish_that_failed_is_retried_as_its_definition_says() -> None:
    """Without a definition it is not."""
    definition = task_def("k", retry_count=1, retry_delay_seconds=0)
    scenario = started(task("k", "KAFKA_PUBLISH", input_parameters=REQUEST), others=[definition])
    _acknowledged(scenario, status=TaskStatus.FAILED)
    assert attempts(scenario, "k") == [(0, "FAILED"), (1, "IN_PROGRESS")]
    alone = started(task("k", "KAFKA_PUBLISH", input_parameters=REQUEST))
    _acknowledged(alone, status=TaskStatus.FAILED)
    assert alone.status == "FAILED"


def test_kafka_publish_in_a_fork_a_switch_and_a_loop() -> None:
    """Each pass is an attempt of its own."""
    published = {"input_parameters": REQUEST}
    scenario = started(
        fork(
            "f",
            [task("a", "KAFKA_PUBLISH", **published)],
            [switch("s", "x", {"x": [task("b", "KAFKA_PUBLISH", **published)]})],
        ),
        join("j"),
        loop("l", "$.l.iteration < 2", task("c", "KAFKA_PUBLISH", **published)),
    )
    for ref in ("a", "b", "c__1", "c__2"):
        _acknowledged(scenario, ref)
    assert scenario.status == "COMPLETED"
