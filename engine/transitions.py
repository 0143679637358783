"""Which changes of a status are legal.

Holds the look at events. Must not hold the tables: they are in `engine.status`. Keeps the invariant that whoever
checks a run, a test or a simulation, checks the same.
"""

from collections.abc import Iterable

from engine.applier import apply
from engine.events import Event
from engine.model import WorkflowState, status_of
from engine.status import TASK_TRANSITIONS, WORKFLOW_TRANSITIONS, TaskStatus, WorkflowStatus


def first_illegal_change(before: WorkflowState | None, events: Iterable[Event]) -> str:
    """Say which of the events of a decision first makes a change that is not allowed, and which, or nothing."""
    for event in events:
        after = apply(before, event)
        illegal = illegal_change(before, after, event)
        if illegal:
            return illegal
        before = after
    return ""


def illegal_change(before: WorkflowState | None, after: WorkflowState, event: Event) -> str:
    """Say which change of a status the tables of `engine.status` do not allow, or nothing."""
    if before is None:
        return "" if after.status is WorkflowStatus.RUNNING else f"a workflow begins as {after.status}"
    if after.status is not before.status and after.status not in WORKFLOW_TRANSITIONS[before.status]:
        return f"workflow {after.workflow_id} goes from {before.status} to {after.status} by {event!r}"
    seq = getattr(event, "seq", None)
    if seq is None or seq not in after.tasks:
        return ""
    now = status_of(after.tasks[seq])
    if seq not in before.tasks:
        return "" if now is TaskStatus.SCHEDULED else f"task {seq} of workflow {after.workflow_id} begins as {now}"
    then = status_of(before.tasks[seq])
    if now is not then and now not in TASK_TRANSITIONS[then]:
        return f"task {seq} of workflow {after.workflow_id} goes from {then} to {now} by {event!r}"
    return ""
