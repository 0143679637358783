"""Task results as workers report them, read into the engine's command.

Holds the edge model and the reader. Must not send the command. Keeps the invariant that a report which is
taken names a task that this server may have given, and says either how it went or that the worker is still at
it.

This is the hot path of every worker. A pydantic model is read in 2 µs here (measured), of about 60 that a
report may cost beyond aiohttp: not worth a second, faster reader beside it.

Source: conductor-common `TaskResult`; its status has four of the task statuses.
"""

from enum import StrEnum
from typing import Final

from api.errors import NotFound, RequestInvalid
from api.wire.violations import Wire, validated
from engine.commands import ReportTaskResult
from engine.ids import TaskId, parse_task_id
from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus
from engine.validation import Violation


class ResultStatus(StrEnum):
    """The statuses that a worker may report."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    FAILED_WITH_TERMINAL_ERROR = "FAILED_WITH_TERMINAL_ERROR"


_TASK_STATUS: Final[dict[str, TaskStatus]] = {status.value: TaskStatus(status.value) for status in ResultStatus}


class TaskResult(Wire):
    """Conductor's TaskResult, as far as it is used."""

    workflow_instance_id: str = ""
    task_id: str = ""
    status: ResultStatus | None = None
    output_data: JsonObject | None = None
    reason_for_incompletion: str | None = None
    callback_after_seconds: int | None = None
    worker_id: str | None = None
    extend_lease: bool | None = None
    sub_workflow_id: str | None = None
    external_output_payload_storage_path: str | None = None


def task_result_from(value: JsonValue) -> ReportTaskResult:
    """Return the command that a worker's report stands for.

    The task id names its workflow, whatever `workflowInstanceId` says.

    Raises:
        RequestInvalid: with every broken rule.
        NotFound: the task id is none that this server has ever given.
    """
    result = validated(TaskResult, value)
    if not result.task_id or not result.workflow_instance_id or not (result.status or result.extend_lease):
        raise RequestInvalid(violations=_missing(result))
    found = parse_task_id(result.task_id)
    if found is None:
        message = f"task {result.task_id} does not exist: task ids of this server look like <workflowId>~<number>"
        raise NotFound(message)
    return ReportTaskResult(
        workflow_instance_id=found[0],
        task_id=TaskId(result.task_id),
        status=None if result.status is None else _TASK_STATUS[result.status],
        output_data=result.output_data,
        reason_for_incompletion=result.reason_for_incompletion,
        callback_after_seconds=result.callback_after_seconds,
        worker_id=result.worker_id,
        extend_lease=result.extend_lease,
        sub_workflow_id=result.sub_workflow_id,
        external_output_payload_storage_path=result.external_output_payload_storage_path,
    )


def result_status_from(text: str) -> TaskStatus:
    """Return the status that a path names.

    Raises:
        RequestInvalid: it is none that may be reported.
    """
    status = _TASK_STATUS.get(text)
    if status is None:
        message = f"the status in the path must be one of {', '.join(ResultStatus)}, but is {text[:40]!r}"
        raise RequestInvalid(message)
    return status


def _missing(result: TaskResult) -> list[Violation]:
    violations = [
        Violation(path=path, message="must not be empty", invalid_value=value)
        for path, value in (("taskId", result.task_id), ("workflowInstanceId", result.workflow_instance_id))
        if not value
    ]
    if not (result.status or result.extend_lease):
        message = f"must be one of {', '.join(ResultStatus)}, but is absent"
        violations.append(Violation(path="status", message=message))
    return violations
