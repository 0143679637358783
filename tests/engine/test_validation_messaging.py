"""Claims about what registration says of messages out of and into workflows."""

import msgspec
import pytest

from engine.definitions import WorkflowDef
from engine.json_value import JsonObject
from engine.validation import validate_workflow


def paths(task: JsonObject, **fields: object) -> list[str]:
    """Return where a workflow of one task breaks a rule."""
    whole = {"name": "a", "taskReferenceName": "a", **task}
    definition = msgspec.convert({"name": "w", "tasks": [whole], **fields}, WorkflowDef)
    return [violation.path for violation in validate_workflow(definition)]


@pytest.mark.parametrize(
    "sink", ["kafka:t", "conductor", "conductor:q", "${workflow.input.sink}", "kafka:${workflow.input.topic}"]
)
def test_event_with_a_sink_is_accepted(sink: str) -> None:
    """What holds an expression is looked at when it has its value."""
    assert paths({"type": "EVENT", "sink": sink}) == []


@pytest.mark.parametrize(
    "sink", [None, "", "t", "sqs:q", "nats:s", "amqp_queue:q", "kafka:", "conductor:a b", "http://h/", "${ghost.x}"]
)
def test_event_without_a_sink_is_refused(sink: str | None) -> None:
    """Also where Conductor would have found out at run time."""
    assert paths({"type": "EVENT", "sink": sink}) == ["tasks[0].sink"]


@pytest.mark.parametrize(
    ("request_", "broken"),
    [
        ({"topic": "t", "value": 0}, []),
        ("${workflow.input.request}", []),
        (None, [""]),
        ("t", [""]),
        ({"value": 1}, [".topic"]),
        ({"topic": "t"}, [".value"]),
        ({}, [".topic", ".value"]),
    ],
)
def test_kafka_publish_needs_a_request_with_topic_and_value(request_: object, broken: list[str]) -> None:
    """It names what is missing."""
    found = paths({"type": "KAFKA_PUBLISH", "inputParameters": {"kafka_request": request_}})
    assert found == [f"tasks[0].inputParameters.kafka_request{end}" for end in broken]


@pytest.mark.parametrize("size", [0, -1, "many", 1.5, True])
def test_batch_size_that_is_no_count_is_refused(size: object) -> None:
    """An expression is taken leniently when it has its value."""
    task: JsonObject = {"type": "PULL_WORKFLOW_MESSAGES", "inputParameters": {"batchSize": size}}
    assert paths(task) == ["tasks[0].inputParameters.batchSize"]
    assert paths({**task, "inputParameters": {"batchSize": "${workflow.input.size}"}}) == []


@pytest.mark.parametrize("sink", ["kafka:t", "conductor:q", "https://example.org/hook", "", None])
def test_listener_of_a_workflow_may_be_a_topic_a_queue_or_a_url(sink: str | None) -> None:
    """Or nothing: then the server's own holds."""
    assert paths({}, workflowStatusListenerSink=sink) == []
    assert paths({}, workflowStatusListenerSink="somewhere") == ["workflowStatusListenerSink"]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"onStart,onSuccess": [{"type": "x", "payload": {"a": "${workflow.input.a}"}}]}, []),
        ({"onSuccess": [{"type": "kafka:t"}, {"type": "https://h/x", "payload": None}]}, []),
        ({"onEnd": [{"type": "x"}]}, [".onEnd"]),
        ({"onStart": {"type": "x"}}, [".onStart"]),
        ({"onStart": ["x"]}, [".onStart[0]"]),
        ({"onStart": [{"payload": {}}]}, [".onStart[0]"]),
        ({"onStart": [{"type": "x", "payload": 1}]}, [".onStart[0].payload"]),
        ({"onStart": [{"type": "sqs:q"}]}, [".onStart[0].type"]),
        ({"onStart": [{"type": "x", "payload": {"a": "${ghost.b}"}}]}, [".onStart[0].payload.a"]),
    ],
)
def test_state_changes_are_checked(changes: JsonObject, broken: list[str]) -> None:
    """Names, form, sinks and expressions."""
    assert paths({"onStateChange": changes}) == [f"tasks[0].onStateChange{end}" for end in broken]


@pytest.mark.parametrize(
    "name", ["JDBC", "GET_SIGNED_JWT", "LLM_CHAT_COMPLETE", "HTTP_POLL", "WAIT_FOR_WEBHOOK", "GRPC"]
)
def test_types_of_other_editions_are_refused_by_name(name: str) -> None:
    """Taken for the name of a worker's queue, they would wait for ever."""
    assert paths({"type": name}) == ["tasks[0].type"]
