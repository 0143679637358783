"""Deciding about running an ended workflow again: retry what failed, or restart from the beginning.

Source: Conductor's `WorkflowExecutorOps.retry`, `restart`.
"""

from engine.commands import RestartWorkflow, RetryWorkflow
from engine.context import DecideContext
from engine.deciders.start import workflow_timeout_ms
from engine.draft import Attempt, Draft
from engine.ending import unsuccessful_tasks
from engine.events import WorkflowReopened, WorkflowRestarted
from engine.graph import Graphs, Pins, pins_of
from engine.model import WorkflowState
from engine.place import place_of
from engine.rejections import Decision, Rejected, RejectionCode
from engine.status import WorkflowStatus
from engine.walk import settle, unvisited


def retry_workflow(state: WorkflowState, command: RetryWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Give each task that ended unsuccessfully a further attempt; what was cancelled with them runs again too.

    What the end of the workflow kept from beginning begins now. A workflow that TIMED_OUT with nothing to retry goes
    on with a fresh clock.

    Rejects:
        WORKFLOW_NOT_ENDED: it has not ended.
        NOTHING_TO_RETRY: it is COMPLETED, or no task of it ended unsuccessfully.
    """
    del command
    if not state.is_terminal:
        reason = f"cannot retry workflow {state.workflow_id}: it should have ended and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_ENDED, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    failed = unsuccessful_tasks(state)
    never_begun = unvisited(draft)
    is_over = state.status is WorkflowStatus.COMPLETED
    if is_over or not (failed or never_begun or state.status is WorkflowStatus.TIMED_OUT):
        reason = f"workflow {state.workflow_id} is {state.status} and none of its tasks failed: nothing to retry"
        return Rejected(code=RejectionCode.NOTHING_TO_RETRY, reason=reason)
    draft.emit(WorkflowReopened(at_ms=context.now_ms))
    for task in failed:
        again = Attempt(number=task.spec.attempt + 1, retry_of=task.spec.seq, first_scheduled_at_ms=context.now_ms)
        draft.enter(task.spec.node, again, place_of(task.spec))
    draft.entries.extend(never_begun)
    settle(draft)
    return draft.accept()


def restart_workflow(
    state: WorkflowState, command: RestartWorkflow, context: DecideContext, graphs: Graphs
) -> Decision:
    """Begin again under the same id, by the same definitions or the newest ones.

    Rejects:
        WORKFLOW_NOT_ENDED: it has not ended.
        WORKFLOW_NOT_RESTARTABLE: it is COMPLETED and its definition forbids it.
        DEFINITION_NOT_FOUND: there is no newest definition of that name any more.
    """
    if not state.is_terminal:
        reason = f"cannot restart workflow {state.workflow_id}: it should have ended and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_ENDED, reason=reason)
    started = state.started
    definition = graphs.of(started).definition
    content, embedded = started.definition_hash, started.definition
    pins = Pins(
        task_definition_hashes=started.task_definition_hashes,
        sub_workflow_versions=started.sub_workflow_versions,
        graph_key=started.graph_key,
    )
    if command.use_latest_definitions:
        found = context.definitions.find_workflow(started.name, None)
        if found is None:
            reason = f"No such workflow found by name: {started.name}, any version"
            return Rejected(code=RejectionCode.DEFINITION_NOT_FOUND, reason=reason)
        content, definition = found
        embedded, pins = None, pins_of(definition, content, context.definitions)
    if state.status is WorkflowStatus.COMPLETED and not definition.restartable:
        reason = f"workflow {state.workflow_id} is COMPLETED and its definition says restartable=false"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_RESTARTABLE, reason=reason)
    again = WorkflowRestarted(
        at_ms=context.now_ms,
        version=definition.version,
        definition_hash=content,
        task_definition_hashes=pins.task_definition_hashes,
        graph_key=pins.graph_key,
        sub_workflow_versions=pins.sub_workflow_versions,
        definition=embedded,
        variables=state.variables,
        timeout_ms=workflow_timeout_ms(definition),
        masked_fields=definition.masked_fields,
    )
    draft = Draft(state, context, graphs.of(started))
    draft.emit(again)
    draft.graph = graphs.of(draft.state.started)
    if draft.graph.first is not None:
        draft.enter(draft.graph.first)
    settle(draft)
    return draft.accept()
