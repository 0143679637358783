"""Deciding about changes to a workflow that has not ended: go on elsewhere, with other values, without delay.

Keeps the invariant that a change is whole or not at all: variables and a task's result in one decision, or neither.
"""

from engine import rewinding
from engine.commands import JumpToTask, RemoveWorkflow, ResetCallbacks, UpdateState, UpdateTaskByRef, UpdateVariables
from engine.context import DecideContext
from engine.deciders.results import report_by_ref
from engine.dispatch import TO_WORKER
from engine.draft import Draft
from engine.events import TaskReleased, VariablesSet, WorkflowRemoved
from engine.graph import Graphs, Node
from engine.ids import RefName
from engine.json_value import JsonObject
from engine.layout import has_been_reached, levels, present_place
from engine.model import PendingTask, WorkflowState, open_tasks
from engine.place import OUTSIDE, place_at
from engine.rejections import Decision, Rejected, RejectionCode
from engine.status import TaskStatus, WorkflowStatus
from engine.tasks.set_variable import too_large
from engine.walk import settle, unvisited


def jump_to_task(state: WorkflowState, command: JumpToTask, context: DecideContext, graphs: Graphs) -> Decision:
    """Go on with a task. What stands before it in its branch is skipped; what has come behind it is done anew.

    Other branches of the FORKs around it are not touched. A task in a loop runs in the pass that its name says, else in
    the present one.

    Rejects:
        WORKFLOW_NOT_RUNNING: nothing goes on.
        TASK_NOT_FOUND: the definition has no such reference name.
        ARGUMENT_INVALID: a FORK or a loop around the task has not been entered, or not that pass.
    """
    if state.status is not WorkflowStatus.RUNNING:
        reason = f"cannot jump in workflow {state.workflow_id}: it should be RUNNING and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_RUNNING, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    node = _named(draft, command.task_reference_name)
    if isinstance(node, Rejected):
        return node
    rewinding.skip_up_to(draft, node)
    rewinding.go_back_to(draft, node, command.task_input)
    draft.entries.extend(visit for visit in unvisited(draft) if visit.ref + visit.place.suffix != node.at)
    settle(draft)
    return draft.accept()


def update_variables(
    state: WorkflowState, command: UpdateVariables, context: DecideContext, graphs: Graphs
) -> Decision:
    """Set variables.

    Rejects:
        WORKFLOW_ENDED: nobody would see them.
        ARGUMENT_INVALID: all variables together would be too large.
    """
    draft = Draft(state, context, graphs.of(state.started))
    return _set_variables(draft, command.variables) or draft.accept()


def update_state(state: WorkflowState, command: UpdateState, context: DecideContext, graphs: Graphs) -> Decision:
    """Set variables, then report on the open task of a reference name. Where one is refused, the other is not done.

    Rejects:
        WORKFLOW_ENDED: there is nothing to change any more.
        TASK_NOT_FOUND: no task with that name is open.
        ARGUMENT_INVALID: the status is missing or none that can be reported; or the variables would be too large.
    """
    draft = Draft(state, context, graphs.of(state.started))
    refused = _set_variables(draft, command.variables)
    if refused is not None or command.task_reference_name is None:
        return refused or draft.accept()
    report = UpdateTaskByRef(
        workflow_id=command.workflow_id,
        ref_name=command.task_reference_name,
        status=command.status or TaskStatus.COMPLETED,
        output=command.output,
        worker_id=command.worker_id,
    )
    return report_by_ref(draft, report, reason=command.reason)


def reset_callbacks(state: WorkflowState, command: ResetCallbacks, context: DecideContext, graphs: Graphs) -> Decision:
    """Offer workers' tasks that wait for a delay now.

    Rejects:
        WORKFLOW_ENDED: no task of it waits.
    """
    del command
    if state.is_terminal:
        return _ended(state, "reset the callbacks of")
    draft = Draft(state, context, graphs.of(state.started))
    for task in open_tasks(state):
        if isinstance(task, PendingTask) and task.due_at_ms and task.spec.dispatch == TO_WORKER:
            draft.emit(TaskReleased(at_ms=context.now_ms, seq=task.spec.seq))
    return draft.accept()


def remove_workflow(state: WorkflowState, command: RemoveWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Forget an ended workflow.

    Rejects:
        WORKFLOW_NOT_ENDED: somebody may still work for it.
    """
    del command
    if not state.is_terminal:
        reason = f"cannot remove workflow {state.workflow_id}: it should have ended and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_ENDED, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    draft.emit(WorkflowRemoved(at_ms=context.now_ms))
    return draft.accept()


def _named(draft: Draft, ref: RefName) -> Node | Rejected:
    """Return the task of a reference name where it runs, or why it cannot run."""
    state, graph = draft.state, draft.graph
    existing = state.task(ref)
    if existing is not None and existing.spec.forked_by:
        return draft.node_of(existing.spec)
    found = graph.find(ref)
    node = graph.nodes.get(ref) if found is None else found[0]
    if node is None:
        reason = f"definition {state.started.name} of workflow {state.workflow_id} has no task {ref}"
        return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)
    place = present_place(state, graph, node) if found is None else place_at(ref[len(node.ref) :])
    if place is not None:
        placed = node if place == OUTSIDE else node.placed(place)
        if has_been_reached(state, levels(graph, placed)):
            return placed
    reason = (
        f"cannot jump to {ref} in workflow {state.workflow_id}: a FORK or a loop around it has not been entered, or "
        f"not that pass; jump to the outermost of them that has not"
    )
    return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)


def _set_variables(draft: Draft, variables: JsonObject) -> Rejected | None:
    """Set variables, or say why that cannot be."""
    state = draft.state
    if state.is_terminal:
        return _ended(state, "change")
    problem = too_large(draft, variables)
    if problem:
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=problem)
    if variables:
        draft.emit(VariablesSet(at_ms=draft.now_ms, variables=variables))
    return None


def _ended(state: WorkflowState, operation: str) -> Rejected:
    reason = f"cannot {operation} workflow {state.workflow_id}: it should not have ended and is {state.status}"
    return Rejected(code=RejectionCode.WORKFLOW_ENDED, reason=reason)
