"""What it wants of other workflows, and what holds between it and them.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

from engine.commands import Parent
from engine.events.shape import EventShape
from engine.ids import TaskSeq, WorkflowId


class ChildTerminationRequested(EventShape, frozen=True, kw_only=True, tag="child_termination_requested"):
    """The sub-workflow of a task that has ended without it shall end too, if it is `is_keyed` only if it began it.

    `told` counts what the task has told its child.
    """

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
    reason: str
    told: int = 0
    is_keyed: bool = False


class ChildResumeRequested(EventShape, frozen=True, kw_only=True, tag="child_resume_requested"):
    """The sub-workflow of a task that waits for it again shall retry what failed in it."""

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
    told: int


class StartRequested(EventShape, frozen=True, kw_only=True, tag="start_requested"):
    """The workflow that a task's input asks for shall start; nobody waits for it."""

    at_ms: int
    seq: TaskSeq
    workflow_id: WorkflowId


class ParentAttached(EventShape, frozen=True, kw_only=True, tag="parent_attached"):
    """A further SUB_WORKFLOW task waits for this workflow, which its idempotency key stands for."""

    at_ms: int
    parent: Parent


class ChildNamed(EventShape, frozen=True, kw_only=True, tag="child_named"):
    """The sub-workflow that a task waits for is this one: another workflow had its idempotency key before."""

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
