"""What `api.wire.task_results` makes of workers' reports."""

import pytest

from api.errors import NotFound, RequestInvalid
from api.wire.task_results import result_status_from, task_result_from
from engine.commands import ReportTaskResult
from engine.status import TaskStatus

PYTHON_SDK = {
    "workflowInstanceId": "0199-aa",
    "taskId": "0199-aa~3",
    "workerId": "vm",
    "status": "COMPLETED",
    "outputData": {"result": "Hello A"},
    "extendLease": False,
    "logs": [{"log": "a line", "taskId": "0199-aa~3", "createdTime": 1_700_000_000}],
}
JAVA_SDK = {
    **PYTHON_SDK,
    "reasonForIncompletion": None,
    "callbackAfterSeconds": 0,
    "outputMessage": None,
    "executionMetadata": {"serverSendTime": 1},
    "externalOutputPayloadStoragePath": None,
    "subWorkflowId": None,
}


@pytest.mark.parametrize("report", [PYTHON_SDK, JAVA_SDK], ids=["python", "java"])
def test_report_of_an_sdk_is_the_engines_command(report: dict[str, object]) -> None:
    """What clients send beyond the command is ignored, and null means absent."""
    command = task_result_from(report)
    assert command.workflow_instance_id == "0199-aa"
    assert command.task_id == "0199-aa~3"
    assert command.status is TaskStatus.COMPLETED
    assert command.output_data == {"result": "Hello A"}
    assert command.worker_id == "vm"
    assert not command.extend_lease


def test_report_with_numbers_as_texts_is_taken() -> None:
    """What Jackson would convert is converted."""
    command = task_result_from({**PYTHON_SDK, "callbackAfterSeconds": "5", "workerId": 7, "extendLease": "true"})
    assert (command.callback_after_seconds, command.worker_id, command.extend_lease) == (5, "7", True)


def test_heartbeat_needs_no_status() -> None:
    """A worker that only asks for more time says nothing about how it goes."""
    command = task_result_from({"workflowInstanceId": "w", "taskId": "w~1", "extendLease": True})
    assert command == ReportTaskResult(workflow_instance_id="w", task_id="w~1", extend_lease=True)  # type: ignore[arg-type]


def test_task_id_names_the_workflow() -> None:
    """A wrong `workflowInstanceId` does not send a result astray."""
    command = task_result_from({**PYTHON_SDK, "workflowInstanceId": "another"})
    assert command.workflow_instance_id == "0199-aa"


def test_every_broken_rule_is_listed() -> None:
    """One answer tells all that is wrong."""
    with pytest.raises(RequestInvalid) as refused:
        task_result_from({"taskId": ["x"], "status": "DONE", "outputData": 3, "callbackAfterSeconds": "soon"})
    paths = [violation.path for violation in refused.value.violations]
    assert paths == ["taskId", "status", "outputData", "callbackAfterSeconds"]


def test_empty_report_names_the_missing_fields() -> None:
    """`{}` is answered with what a report must have."""
    with pytest.raises(RequestInvalid) as refused:
        task_result_from({})
    paths = [violation.path for violation in refused.value.violations]
    assert paths == ["taskId", "workflowInstanceId", "status"]


@pytest.mark.parametrize("body", [None, [], "text", 5], ids=["absent", "list", "text", "number"])
def test_report_that_is_no_object_is_refused(body: object) -> None:
    """Only an object is a report."""
    with pytest.raises(RequestInvalid):
        task_result_from(body)


@pytest.mark.parametrize("task_id", ["5b8b5f2e-0000-4000-8000-000000000000", "w~", "w~x", "~1"])
def test_foreign_task_id_is_unknown(task_id: str) -> None:
    """An id that this server never gave names no task; the message repeats it."""
    with pytest.raises(NotFound, match=task_id):
        task_result_from({**PYTHON_SDK, "taskId": task_id})


def test_status_in_a_path_that_cannot_be_reported_is_refused_with_those_that_can() -> None:
    """SCHEDULED is a status, but none that a worker reports."""
    assert result_status_from("FAILED") is TaskStatus.FAILED
    with pytest.raises(RequestInvalid, match="IN_PROGRESS, COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR"):
        result_status_from("SCHEDULED")
