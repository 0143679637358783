"""The fields that a query may name, and what each is in the store.

Holds the allow-lists. Must not parse. Keeps the invariant that whatever stands in SQL because of a user's word stands
here first.

Source: conductor-common `WorkflowSummary` and `TaskSummary`, whose field names these are.
"""

from enum import StrEnum
from typing import Final

import msgspec

from streams.history.schema import EXECUTIONS, TASKS


class FieldKind(StrEnum):
    """How a field's values are written and compared."""

    TEXT = "text"
    NUMBER = "a number"
    TIME = "a time (epoch milliseconds or ISO 8601)"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """`sql` is its expression. `optional`: a time that may not have come yet, which the store writes as the epoch."""

    sql: str
    kind: FieldKind = FieldKind.TEXT
    optional: bool = False


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What can be searched: a table, its key, its fields, the columns that free text looks at, and the usual order."""

    table: str
    key: tuple[str, ...]
    fields: dict[str, Field]
    free_text: tuple[str, ...]
    default_sort: str


_NUMBER: Final = FieldKind.NUMBER
_TIME: Final = FieldKind.TIME

WORKFLOWS: Final = Searched(
    table=EXECUTIONS,
    key=("created_at", "workflow_id"),
    fields={
        "workflowId": Field(sql="workflow_id"),
        "workflowType": Field(sql="workflow_type"),
        "version": Field(sql="workflow_version", kind=_NUMBER),
        "correlationId": Field(sql="correlation_id"),
        "startTime": Field(sql="started_at", kind=_TIME),
        "updateTime": Field(sql="updated_at", kind=_TIME),
        "endTime": Field(sql="ended_at", kind=_TIME, optional=True),
        "status": Field(sql="status"),
        "input": Field(sql="input"),
        "output": Field(sql="output"),
        "inputSize": Field(sql="lengthUTF8(input)", kind=_NUMBER),
        "outputSize": Field(sql="lengthUTF8(output)", kind=_NUMBER),
        "reasonForIncompletion": Field(sql="reason"),
        "executionTime": Field(sql="duration_ms", kind=_NUMBER),
        "event": Field(sql="trigger"),
        "failedReferenceTaskNames": Field(sql="arrayStringConcat(failed_refs, ',')"),
        "failedTaskNames": Field(sql="arrayStringConcat(failed_names, ',')"),
        "priority": Field(sql="priority", kind=_NUMBER),
        "createdBy": Field(sql="created_by"),
        "taskToDomain": Field(sql="task_to_domain"),
        "idempotencyKey": Field(sql="idempotency_key"),
        "parentWorkflowId": Field(sql="parent_workflow_id"),
        # Conductor tells agents from workflows by it; here there are only workflows, and none is classified.
        "classifier": Field(sql="''"),
    },
    free_text=("workflow_id", "workflow_type", "correlation_id", "reason", "input", "output"),
    default_sort="startTime:DESC",
)

TASK_TYPE_SQL: Final = "multiIf(task_type = 'SIMPLE', task_name, startsWith(task_type, 'FORK_JOIN'), 'FORK', task_type)"
"""A task's type as Conductor shows it: that of a worker's task is its name."""

TASKS_SEARCHED: Final = Searched(
    table=TASKS,
    key=("created_at", "workflow_id", "seq"),
    fields={
        "workflowId": Field(sql="workflow_id"),
        "workflowType": Field(sql="workflow_type"),
        "correlationId": Field(sql="correlation_id"),
        "scheduledTime": Field(sql="scheduled_at", kind=_TIME),
        "startTime": Field(sql="started_at", kind=_TIME, optional=True),
        "updateTime": Field(sql="updated_at", kind=_TIME),
        "endTime": Field(sql="ended_at", kind=_TIME, optional=True),
        "status": Field(sql="status"),
        "reasonForIncompletion": Field(sql="reason"),
        "executionTime": Field(sql="duration_ms", kind=_NUMBER),
        "queueWaitTime": Field(sql="queue_ms", kind=_NUMBER),
        "taskDefName": Field(sql="task_name"),
        "taskType": Field(sql=TASK_TYPE_SQL),
        "taskId": Field(sql="task_id"),
        "referenceTaskName": Field(sql="ref"),
        "input": Field(sql="input"),
        "output": Field(sql="output"),
        "workflowPriority": Field(sql="priority", kind=_NUMBER),
        "domain": Field(sql="domain"),
        "workerId": Field(sql="worker_id"),
    },
    free_text=("task_id", "workflow_type", "correlation_id", "task_name", "ref", "reason", "input", "output"),
    default_sort="updateTime:DESC",
)
