"""Deciding about what tasks and the workflows that they start tell each other.

Keeps the invariants that a SUB_WORKFLOW task ends by the word of the one child that it waits for, once in each of the
child's runs; and that nothing of what is told twice, or late, is heard: a child numbers its runs, a task numbers what
it tells its child, and each answer says what had been heard of that task when it was given.

Source: Conductor's `SubWorkflow.execute`, `WorkflowExecutorOps.updateParentWorkflowTask`, `updateAndPushParents`.
"""

from engine import reopening
from engine.commands import ReportChildEnd, ReportChildStart, ResumeChild, ReviveTask, is_same_task
from engine.context import DecideContext
from engine.dispatch import TO_CHILD
from engine.draft import Draft
from engine.ending import fail, succeed
from engine.events import (
    ChildNamed,
    ChildResumeRequested,
    ChildTerminationRequested,
    GoingOn,
    ParentHeeded,
    ResultIgnored,
    TaskRevived,
)
from engine.graph import Graphs
from engine.ids import WorkflowId
from engine.model import EndedTask, Task, WorkflowState
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.status import TASK_STATUS_OF_CHILD, TASK_UNSUCCESSFUL, TaskStatus, WorkflowStatus
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
    if command.heard < task.progress.asked or command.child_run < task.progress.child_run:
        reason = f"sub-workflow {command.child_id} ended {command.status}, and has been told to go on since"
        draft.emit(ResultIgnored(at_ms=context.now_ms, seq=seq, status=status, reason=reason))
        return draft.accept()
    output = {**command.output, "subWorkflowId": command.child_id}
    if status is TaskStatus.COMPLETED:
        succeed(draft, seq, output, child_run=command.child_run)
    else:
        reason = f"Sub workflow {command.child_id} {command.status}: {command.reason}"
        fail(draft, seq, status, reason, output=output, child_run=command.child_run)
    settle(draft)
    return draft.accept()


def revive_task(state: WorkflowState, command: ReviveTask, context: DecideContext, graphs: Graphs) -> Decision:
    """Let the SUB_WORKFLOW task of a child that runs again wait for it again, and its workflow run with it.

    A parent that can do without that child stays as it is: it has completed, has been restarted, has made a further
    attempt, or tolerated the failure (`optional`). No events then.
    """
    task = state.tasks.get(command.task_seq)
    if not isinstance(task, EndedTask) or task.progress.child_id != command.child_id:
        return Accepted(events=(), state=state)
    spec = task.spec
    is_newest = state.latest.get(spec.ref) == spec.seq and command.child_run > task.progress.child_run
    if not is_newest or task.status not in TASK_UNSUCCESSFUL or state.status is WorkflowStatus.COMPLETED:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    revived = TaskRevived(at_ms=context.now_ms, seq=spec.seq, child_run=command.child_run)
    if state.is_terminal:
        reopening.reopen(draft, GoingOn(but_tolerated=True))
        draft.emit(revived)
        reopening.try_what_was_cancelled(draft)
    elif reopening.is_in_present_passes(state, spec):
        draft.emit(revived)
    settle(draft)
    return draft.accept()


def resume_child(state: WorkflowState, command: ResumeChild, context: DecideContext, graphs: Graphs) -> Decision:
    """Retry what failed, also in sub-workflows, because the parent waits for this workflow again.

    One that runs, or that has nothing to retry, stays as it is; its parent is told again how it has ended.

    Rejects:
        ARGUMENT_INVALID: that task does not wait for this workflow: an idempotency key was refused to it.
    """
    known = next((parent for parent in state.parents if is_same_task(parent, command.parent)), None)
    if known is None:
        asker = f"task {command.parent.task_seq} of {command.parent.workflow_id}"
        reason = f"workflow {state.workflow_id} is not the sub-workflow of {asker}: retry without it"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    if command.told <= state.heard_of(known):
        return Accepted(events=(), state=state)
    attached = None if is_same_task(known, state.started.parent) else known
    draft = Draft(state, context, graphs.of(state.started))
    if reopening.nothing_to_retry(draft):
        draft.emit(ParentHeeded(at_ms=context.now_ms, heard=command.told, parent=attached))
        return draft.accept()
    reopening.reopen(draft, GoingOn(with_children=True), heard=command.told, parent=attached)
    reopening.try_again(draft, with_children=True)
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
    if task.spec.dispatch == TO_CHILD:
        if task.progress.child_id != command.child_id:
            _name_child(draft, task, command.child_id)
        return draft.accept()
    if isinstance(task, EndedTask):
        return draft.accept()
    if command.refusal:
        fail(draft, seq, TaskStatus.FAILED, command.refusal)
    else:
        succeed(draft, seq, {"workflowId": command.child_id})
    settle(draft)
    return draft.accept()


def _name_child(draft: Draft, task: Task, child_id: WorkflowId) -> None:
    """Let a task wait for this workflow, and tell that what another workflow was told in its place."""
    seq, told = task.spec.seq, task.progress.told
    draft.emit(ChildNamed(at_ms=draft.now_ms, seq=seq, child_id=child_id))
    if isinstance(task, EndedTask):
        reason = f"Task {task.spec.ref} of the parent workflow has ended."
        draft.emit(
            ChildTerminationRequested(
                at_ms=draft.now_ms, seq=seq, child_id=child_id, reason=reason, told=told + 1, is_keyed=True
            )
        )
    elif task.progress.asked:
        draft.emit(ChildResumeRequested(at_ms=draft.now_ms, seq=seq, child_id=child_id, told=told))
