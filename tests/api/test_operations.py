"""What `api.wire.operations` makes of requests to start a workflow and to skip a task."""

import pytest

from api.errors import RequestInvalid
from api.wire.operations import skip_from, start_from
from engine.ids import RefName, WorkflowId

WORKFLOW = WorkflowId("w")
REF = RefName("t")


def test_strategy_without_a_key_means_nothing() -> None:
    """Every start of the Python client carries `FAIL` and no key."""
    assert start_from({"name": "w", "idempotencyStrategy": "FAIL"}).idempotency_strategy is None
    command = start_from({"name": "w", "idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"})
    assert (command.idempotency_key, command.idempotency_strategy) == ("k", "RETURN_EXISTING")


def test_null_everywhere_is_a_start_of_the_newest_version() -> None:
    """Typed clients send every field."""
    fields = ("version", "correlationId", "input", "taskToDomain", "workflowDef", "priority", "createdBy")
    command = start_from({"name": "w", **dict.fromkeys(fields)})
    assert (command.version, command.input, command.task_to_domain, command.priority) == (None, None, None, None)


def test_domain_of_null_is_no_domain() -> None:
    """A map with nulls is read as if these entries were not there."""
    assert start_from({"name": "w", "taskToDomain": {"a": None, "b": "blue"}}).task_to_domain == {"b": "blue"}


def test_inline_definition_names_the_workflow_where_the_request_does_not() -> None:
    """One name is enough."""
    task = {"name": "a", "taskReferenceName": "a"}
    command = start_from({"workflowDef": {"name": "inline", "tasks": [task]}})
    assert command.name == "inline"
    assert command.workflow_def is not None
    assert command.workflow_def["tasks"][0]["taskReferenceName"] == "a"


@pytest.mark.parametrize(
    "query",
    [
        {"skipTaskRequest": '{"taskOutput": {"a": 1}}'},
        {"skipTaskRequest": "{'taskInput': None, 'taskOutput': {'a': 1}}"},
        {"skipTaskRequest": "{'task_input': None, 'task_output': {'a': 1}}"},
    ],
    ids=["json", "python", "python_names"],
)
def test_skip_request_in_the_query_is_read(query: dict[str, str]) -> None:
    """The Python client prints its object into the query."""
    assert skip_from(WORKFLOW, REF, {}, query).task_output == {"a": 1}


def test_body_wins_over_the_query() -> None:
    """Who sends both means the body."""
    query = {"skipTaskRequest": '{"taskOutput": {"a": 1}}'}
    assert skip_from(WORKFLOW, REF, {"taskOutput": {"a": 2}}, query).task_output == {"a": 2}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "[1]",
        "{1: 2}[1]",
        "{'taskOutput': {1, 2}}",
        "{'taskOutput': b'x'}",
        "open('x')",
        "(" * 5_000,
        "9" * 200_000,
    ],
    ids=["empty", "none", "list", "subscript", "set", "bytes", "call", "deep", "long"],
)
def test_nonsense_in_the_query_is_refused(text: str) -> None:
    """It is read as data, never run, and what is no JSON is no request."""
    with pytest.raises(RequestInvalid, match="skipTaskRequest"):
        skip_from(WORKFLOW, REF, {}, {"skipTaskRequest": text})
