"""Statuses and what they mean, as tables.

Everything that says how a workflow or a task may change its status lives here; this module does not know why it
changes. Keeps the invariant that the documentation's diagrams, and the tests that watch every change, read the same
tables.

Source: Conductor's Task.Status and Workflow.WorkflowStatus.
"""

from enum import StrEnum
from typing import Final


class WorkflowStatus(StrEnum):
    """The status of a workflow, spelt as on Conductor's wire."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    TERMINATED = "TERMINATED"


class TaskStatus(StrEnum):
    """The status of one attempt of a task, spelt as on Conductor's wire."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    FAILED = "FAILED"
    FAILED_WITH_TERMINAL_ERROR = "FAILED_WITH_TERMINAL_ERROR"
    TIMED_OUT = "TIMED_OUT"
    CANCELED = "CANCELED"
    SKIPPED = "SKIPPED"


WORKFLOW_TERMINAL: Final = frozenset(
    {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.TIMED_OUT, WorkflowStatus.TERMINATED}
)
TASK_SUCCESSFUL: Final = frozenset({TaskStatus.COMPLETED, TaskStatus.COMPLETED_WITH_ERRORS, TaskStatus.SKIPPED})
TASK_UNSUCCESSFUL: Final = frozenset(
    {TaskStatus.FAILED, TaskStatus.FAILED_WITH_TERMINAL_ERROR, TaskStatus.TIMED_OUT, TaskStatus.CANCELED}
)
TASK_TERMINAL: Final = TASK_SUCCESSFUL | TASK_UNSUCCESSFUL
TASK_RETRIABLE: Final = frozenset({TaskStatus.FAILED, TaskStatus.TIMED_OUT})
"""The failures after which a further attempt may follow. A terminal error and a cancellation say that none should."""

WORKFLOW_TRANSITIONS: Final[dict[WorkflowStatus, frozenset[WorkflowStatus]]] = {
    WorkflowStatus.RUNNING: WORKFLOW_TERMINAL | {WorkflowStatus.PAUSED},
    WorkflowStatus.PAUSED: frozenset({WorkflowStatus.RUNNING, WorkflowStatus.TERMINATED, WorkflowStatus.TIMED_OUT}),
    WorkflowStatus.COMPLETED: frozenset({WorkflowStatus.RUNNING}),
    WorkflowStatus.FAILED: frozenset({WorkflowStatus.RUNNING, WorkflowStatus.TERMINATED}),
    WorkflowStatus.TIMED_OUT: frozenset({WorkflowStatus.RUNNING, WorkflowStatus.TERMINATED}),
    WorkflowStatus.TERMINATED: frozenset({WorkflowStatus.RUNNING}),
}
"""Of a workflow; it begins RUNNING. A terminal one runs again only because somebody retries or restarts it."""

TASK_TRANSITIONS: Final[dict[TaskStatus, frozenset[TaskStatus]]] = {
    TaskStatus.SCHEDULED: TASK_TERMINAL | {TaskStatus.IN_PROGRESS},
    TaskStatus.IN_PROGRESS: TASK_TERMINAL | {TaskStatus.SCHEDULED},
    **dict.fromkeys(TASK_SUCCESSFUL, frozenset[TaskStatus]()),
    **dict.fromkeys(TASK_UNSUCCESSFUL, frozenset({TaskStatus.IN_PROGRESS})),
}
"""Of an attempt; it begins SCHEDULED, and once ended it stays so, but for one that waits for a sub-workflow: if that
runs again, the attempt is IN_PROGRESS again. Back to SCHEDULED: its worker has handed it back."""

WORKFLOW_STATUS_OF_TASK: Final[dict[TaskStatus, WorkflowStatus]] = {
    TaskStatus.FAILED: WorkflowStatus.FAILED,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: WorkflowStatus.FAILED,
    TaskStatus.TIMED_OUT: WorkflowStatus.TIMED_OUT,
    TaskStatus.CANCELED: WorkflowStatus.TERMINATED,
}
"""How a workflow ends when a task that it cannot do without has ended unsuccessfully for good."""

TASK_STATUS_OF_CHILD: Final[dict[WorkflowStatus, TaskStatus]] = {
    WorkflowStatus.COMPLETED: TaskStatus.COMPLETED,
    WorkflowStatus.FAILED: TaskStatus.FAILED,
    WorkflowStatus.TIMED_OUT: TaskStatus.TIMED_OUT,
    WorkflowStatus.TERMINATED: TaskStatus.CANCELED,
}
"""How a SUB_WORKFLOW task ends when its child has ended."""
