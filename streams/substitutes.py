"""What is sent instead of something that no record can carry.

Holds the replacements. Must not send them. Keeps the invariant that nobody waits for ever for an effect that is too
large to arrive: a parent learns that its child could not start or could not tell, a task that cannot be delivered ends,
and an announcement comes without its payload and says so.
"""

from typing import Final

import msgspec

from engine.commands import (
    Command,
    ReportChildEnd,
    ReportChildStart,
    ReportTaskResult,
    StartWorkflow,
    TerminateWorkflow,
    workflow_of,
)
from engine.ids import TaskId, WorkflowId
from engine.json_value import JsonObject
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus, WorkflowStatus
from streams.errors import RecordTooLarge
from streams.ports import NewRecord

REASON_CHARS_MAX: Final = 1_000
"""A reason may be what made the record too large."""
_PAYLOADS: Final[JsonObject] = {"output": {}, "value": None, "payload": {}}
"""The fields of a public record that can be large, and what stands there when they are left out."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[JsonObject]] = msgspec.json.Decoder(dict[str, object])


def instead_of(command: Command, error: RecordTooLarge) -> Command | None:
    """Return what tells the receiver of a command all the same, None where there is nothing to tell."""
    match command:
        case StartWorkflow(starter=starter) if starter is not None:
            return ReportChildStart(
                workflow_id=starter.workflow_id,
                task_seq=starter.task_seq,
                child_id=workflow_of(command) or WorkflowId(""),
                refusal=f"the workflow could not be started: {error}"[:REASON_CHARS_MAX],
            )
        case StartWorkflow(parent=parent) if parent is not None:
            return ReportChildEnd(
                workflow_id=parent.workflow_id,
                task_seq=parent.task_seq,
                child_id=workflow_of(command) or WorkflowId(""),
                status=WorkflowStatus.FAILED,
                reason=f"the sub-workflow could not be started: {error}"[:REASON_CHARS_MAX],
            )
        case ReportChildEnd():
            came_to = "" if command.status is WorkflowStatus.COMPLETED else f": {command.reason}"
            reason = f"the sub-workflow is {command.status}, but its output cannot be told: {error}{came_to}"
            status = WorkflowStatus.FAILED if command.status is WorkflowStatus.COMPLETED else command.status
            return msgspec.structs.replace(command, status=status, output={}, reason=reason[:REASON_CHARS_MAX])
        case TerminateWorkflow():
            return msgspec.structs.replace(command, reason=(command.reason or "")[:REASON_CHARS_MAX])
        case _:
            return None


def undeliverable(attempt: TaskId, error: RecordTooLarge) -> ReportTaskResult:
    """Return the result of a task that no worker can be given. Another attempt would be no smaller."""
    return ReportTaskResult(
        workflow_instance_id=WorkflowId(attempt.rpartition("~")[0]),
        task_id=attempt,
        status=TaskStatus.FAILED_WITH_TERMINAL_ERROR,
        reason_for_incompletion=f"the task cannot be given to a worker: {error}"[:REASON_CHARS_MAX],
        worker_id=ENGINE_WORKER,
    )


def without_payload(record: NewRecord, error: RecordTooLarge) -> NewRecord:
    """Return a public record without the fields that can be large; `omitted` says why."""
    content = _decoder.decode(record.value or b"{}")
    slim = {**content, **{field: empty for field, empty in _PAYLOADS.items() if field in content}}
    return NewRecord(key=record.key, value=_encoder.encode({**slim, "omitted": str(error)[:REASON_CHARS_MAX]}))
