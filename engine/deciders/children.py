"""Deciding about the end of a sub-workflow.

Source: Conductor's `SubWorkflow.execute`, `WorkflowExecutorOps.updateParentWorkflowTask`.
"""

from engine.commands import ReportChildEnd
from engine.context import DecideContext
from engine.draft import Draft
from engine.ending import fail, succeed
from engine.events import ResultIgnored
from engine.graph import Graphs
from engine.model import EndedTask, WorkflowState
from engine.rejections import Accepted, Decision
from engine.status import TASK_STATUS_OF_CHILD, TaskStatus
from engine.walk import settle


def report_child_end(
    state: WorkflowState, command: ReportChildEnd, context: DecideContext, graphs: Graphs
) -> Decision:
    """End the SUB_WORKFLOW task as its child ended. A child that the task no longer waits for changes nothing."""
    task = state.tasks.get(command.task_seq)
    status = TASK_STATUS_OF_CHILD[command.status]
    draft = Draft(state, context, graphs.of(state.started))
    if task is None or state.is_terminal or isinstance(task, EndedTask):
        reason = f"sub-workflow {command.child_id} ended {command.status}, but nobody waits for it any more"
        draft.emit(ResultIgnored(at_ms=context.now_ms, seq=command.task_seq, status=status, reason=reason))
        return draft.accept()
    if task.progress.child_id != command.child_id:
        return Accepted(events=(), state=state)
    output = {**command.output, "subWorkflowId": command.child_id}
    if status is TaskStatus.COMPLETED:
        succeed(draft, command.task_seq, output)
    else:
        reason = f"Sub workflow {command.child_id} {command.status}: {command.reason}"
        fail(draft, command.task_seq, status, reason, output=output)
    settle(draft)
    return draft.accept()
