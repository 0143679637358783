"""What a search found, as Conductor's summaries.

Holds the rendering of rows. Must not query. Keeps the fields that have no value out, as Conductor does, and its times
as ISO 8601 in UTC with milliseconds. Input and output are JSON text (Conductor prints Java maps unless told
otherwise; nobody can read those back).

Source: conductor-common `WorkflowSummary` and `TaskSummary`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.json_value import JsonObject
from streams.history.search.fields import TASK_TYPE_SQL


def _ms(column: str) -> str:
    return f"toUnixTimestamp64Milli({column})"


WORKFLOW_SELECT: Final = (
    "workflow_id",
    "workflow_type",
    "workflow_version",
    "correlation_id",
    _ms("started_at"),
    _ms("updated_at"),
    _ms("ended_at"),
    "status",
    "input",
    "output",
    "reason",
    "duration_ms",
    "trigger",
    "failed_refs",
    "failed_names",
    "priority",
    "created_by",
    "task_to_domain",
    "idempotency_key",
    "parent_workflow_id",
)

TASK_SELECT: Final = (
    "workflow_id",
    "workflow_type",
    "correlation_id",
    _ms("scheduled_at"),
    _ms("started_at"),
    _ms("updated_at"),
    _ms("ended_at"),
    "status",
    "reason",
    "duration_ms",
    "queue_ms",
    "task_name",
    TASK_TYPE_SQL,
    "input",
    "output",
    "task_id",
    "priority",
    "domain",
    "ref",
)


def workflow_summary(row: Sequence[Any]) -> JsonObject:
    """Return a row of `WORKFLOW_SELECT` as a WorkflowSummary."""
    failed_names: Sequence[str] = row[14]
    summary: JsonObject = {
        "workflowType": row[1],
        "version": row[2],
        "workflowId": row[0],
        "startTime": iso_time(row[4]),
        "updateTime": iso_time(row[5]),
        "status": row[7],
        "input": row[8],
        "output": row[9],
        "inputSize": len(row[8]),
        "outputSize": len(row[9]),
        "executionTime": row[11],
        "failedReferenceTaskNames": ",".join(row[13]),
        "priority": row[15],
        "parentWorkflowId": row[19],
    }
    if row[6]:
        summary["endTime"] = iso_time(row[6])
    for name, value in (
        ("correlationId", row[3]),
        ("reasonForIncompletion", row[10]),
        ("event", row[12]),
        ("failedTaskNames", list(failed_names)),
        ("createdBy", row[16]),
        ("idempotencyKey", row[18]),
    ):
        if value:
            summary[name] = value
    if row[17] != "{}":
        summary["taskToDomain"] = msgspec.json.decode(row[17])
    return summary


def task_summary(row: Sequence[Any]) -> JsonObject:
    """Return a row of `TASK_SELECT` as a TaskSummary."""
    summary: JsonObject = {
        "workflowId": row[0],
        "workflowType": row[1],
        "scheduledTime": iso_time(row[3]),
        "updateTime": iso_time(row[5]),
        "status": row[7],
        "executionTime": row[9],
        "queueWaitTime": row[10],
        "taskDefName": row[11],
        "taskType": row[12],
        "input": row[13],
        "output": row[14],
        "taskId": row[15],
        "taskReferenceName": row[18],
        "workflowPriority": row[16],
    }
    for name, value in (
        ("correlationId", row[2]),
        ("startTime", iso_time(row[4]) if row[4] else ""),
        ("endTime", iso_time(row[6]) if row[6] else ""),
        ("reasonForIncompletion", row[8]),
        ("domain", row[17]),
    ):
        if value:
            summary[name] = value
    return summary


def iso_time(at_ms: int) -> str:
    """Return an instant as Conductor's summaries spell it: `2026-11-24T15:27:40.123Z`."""
    instant = datetime.fromtimestamp(at_ms // 1_000, tz=UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"
