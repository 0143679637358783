"""Deciding about what becomes of sub-workflows, and of workflows that a task starts with an idempotency key.

Keeps the invariant that a SUB_WORKFLOW task ends by the word of the one child that it waits for, once.
Source: Conductor's `SubWorkflow.execute`, `WorkflowExecutorOps.updateParentWorkflowTask`.
"""

from engine.commands import ReportChildEnd, ReportChildStart
from engine.context import DecideContext
from engine.dispatch import TO_CHILD
from engine.draft import Draft
from engine.ending import fail, succeed
from engine.events import ChildNamed, ChildTerminationRequested, ResultIgnored
from engine.graph import Graphs
from engine.model import EndedTask, WorkflowState
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.status import TASK_STATUS_OF_CHILD, TaskStatus
from engine.walk import settle


def report_child_end(state: WorkflowState, command: ReportChildEnd, context: DecideContext, graphs: Graphs) -> Decision:
    """End the SUB_WORKFLOW task as its child ended. The end of a child that nobody waits for is recorded as ignored.

    Rejects:
        ARGUMENT_INVALID: the status is not one in which a workflow has ended.
        TASK_NOT_FOUND: the workflow has no such attempt, nor had one that a restart has since removed.
    """
    status = TASK_STATUS_OF_CHILD.get(command.status)
    if status is None:
        reason = f"sub-workflow {command.child_id} of {state.workflow_id} should have ended and is {command.status}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    seq = command.task_seq
    if not 0 < seq <= state.last_seq:
        reason = (
            f"workflow {state.workflow_id} has tasks 1 to {state.last_seq}; sub-workflow {command.child_id} names {seq}"
        )
        return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    task = state.tasks.get(seq)
    if task is None or isinstance(task, EndedTask) or task.progress.child_id != command.child_id:
        reason = f"sub-workflow {command.child_id} ended {command.status}, but task {seq} does not wait for it"
        draft.emit(ResultIgnored(at_ms=context.now_ms, seq=seq, status=status, reason=reason))
        return draft.accept()
    output = {**command.output, "subWorkflowId": command.child_id}
    if status is TaskStatus.COMPLETED:
        succeed(draft, seq, output, by_child=True)
    else:
        reason = f"Sub workflow {command.child_id} {command.status}: {command.reason}"
        fail(draft, seq, status, reason, output=output, by_child=True)
    settle(draft)
    return draft.accept()


def report_child_start(
    state: WorkflowState, command: ReportChildStart, context: DecideContext, graphs: Graphs
) -> Decision:
    """Take note of the workflow that a task's idempotency key stands for. A START_WORKFLOW task ends with it.

    If the task has ended meanwhile, the sub-workflow that it began ends too. What has been told before changes nothing.

    Rejects:
        TASK_NOT_FOUND: the workflow has no such attempt, nor had one that a restart has since removed.
    """
    seq = command.task_seq
    if not 0 < seq <= state.last_seq:
        reason = f"workflow {state.workflow_id} has tasks 1 to {state.last_seq}; {command.child_id} names {seq}"
        return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    task = state.tasks.get(seq)
    if task is None:
        return Accepted(events=(), state=state)
    waits = task.spec.dispatch == TO_CHILD
    if isinstance(task, EndedTask):
        if waits and task.progress.child_id != command.child_id:
            draft.emit(
                ChildTerminationRequested(
                    at_ms=context.now_ms,
                    seq=seq,
                    child_id=command.child_id,
                    reason=f"Task {task.spec.ref} of the parent workflow has ended.",
                    is_keyed=True,
                )
            )
        return draft.accept()
    if waits:
        if task.progress.child_id != command.child_id:
            draft.emit(ChildNamed(at_ms=context.now_ms, seq=seq, child_id=command.child_id))
        return draft.accept()
    if command.refusal:
        fail(draft, seq, TaskStatus.FAILED, command.refusal)
    else:
        succeed(draft, seq, {"workflowId": command.child_id})
    settle(draft)
    return draft.accept()
