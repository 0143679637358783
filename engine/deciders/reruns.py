"""Deciding about running an ended workflow again: retry what failed, go back to a task, or begin anew.

Source: Conductor's `WorkflowExecutorOps.retry`, `restart`, `rerun`.
"""

from engine import reopening, rewinding
from engine.commands import RerunWorkflow, RestartWorkflow, RetryWorkflow
from engine.context import DecideContext
from engine.deciders.start import refused_input, workflow_timeout_ms
from engine.definitions import WorkflowDef
from engine.draft import Draft
from engine.events import GoingOn, WorkflowRestarted
from engine.graph import Graphs, Pins, pins_of
from engine.ids import parse_task_id
from engine.inputs import with_template
from engine.json_value import JsonObject
from engine.layout import has_been_reached, levels
from engine.model import WorkflowState
from engine.rejections import Decision, Rejected, RejectionCode
from engine.slots import await_own_slot
from engine.status import WorkflowStatus
from engine.walk import settle


def retry_workflow(state: WorkflowState, command: RetryWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Give each task that ended unsuccessfully a further attempt; what was cancelled with them runs again too.

    What the end of the workflow kept from beginning begins now. A workflow that TIMED_OUT with nothing to retry goes
    on with a fresh clock. With `resume_subworkflow_tasks` a task whose sub-workflow did not succeed waits for the same
    child, which is told to retry in its turn.

    Rejects:
        WORKFLOW_NOT_ENDED: it has not ended.
        NOTHING_TO_RETRY: it is COMPLETED, or no task of it ended unsuccessfully.
    """
    if not state.is_terminal:
        reason = f"cannot retry workflow {state.workflow_id}: it should have ended and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_ENDED, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    if reopening.nothing_to_retry(draft):
        reason = f"workflow {state.workflow_id} is {state.status} and none of its tasks failed: nothing to retry"
        return Rejected(code=RejectionCode.NOTHING_TO_RETRY, reason=reason)
    reopening.reopen(draft, GoingOn(with_children=command.resume_subworkflow_tasks))
    reopening.try_again(draft, with_children=command.resume_subworkflow_tasks)
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
    return _begin_again(state, again, context, graphs)


def rerun_workflow(state: WorkflowState, command: RerunWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Run again from a task on: it and what came behind it is done anew, what ran beside or before it stays.

    What had failed or was cancelled elsewhere gets a further attempt. Without a task: from the beginning.

    Rejects:
        WORKFLOW_NOT_ENDED: it has not ended.
        ARGUMENT_INVALID: there is no such task in the present run, or it was skipped before its place was reached; or
            an input is given for a task, and no task.
        INPUT_INVALID: the workflow's new input violates the schema that the definition enforces.
    """
    if not state.is_terminal:
        reason = f"cannot rerun workflow {state.workflow_id}: it should have ended and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_ENDED, reason=reason)
    if command.re_run_from_task_id is None:
        return _rerun_all(state, command, context, graphs)
    parsed = parse_task_id(command.re_run_from_task_id)
    task = None if parsed is None or parsed[0] != state.workflow_id else state.tasks.get(parsed[1])
    if task is None:
        reason = (
            f"reRunFromTaskId {command.re_run_from_task_id} should name a task of workflow {state.workflow_id}, and "
            f"none of its {len(state.tasks)} tasks has that id"
        )
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    draft = Draft(state, context, graphs.of(state.started))
    node = draft.node_of(task.spec)
    if not has_been_reached(state, levels(draft.graph, node)):
        reason = f"task {command.re_run_from_task_id} was skipped, and what is around it has not run: rerun that"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    workflow_input = _with_defaults(command.workflow_input, draft.graph.definition)
    refused = refused_input(draft.graph.definition, workflow_input, context)
    if refused is not None:
        return refused
    place = node.place
    from_there = GoingOn(
        node=node.ref,
        suffix=place.suffix,
        forked_by=place.forked_by,
        branch=place.branch,
        given=command.task_input,
    )
    reopening.reopen(
        draft,
        from_there,
        workflow_input=workflow_input,
        correlation_id=command.correlation_id,
    )
    rewinding.go_back_to(draft, node, command.task_input)
    reopening.try_again(draft, but=node.at)
    settle(draft)
    return draft.accept()


def _rerun_all(state: WorkflowState, command: RerunWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    if command.task_input is not None:
        reason = f"taskInput for workflow {state.workflow_id} needs a reRunFromTaskId: which task is it for?"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    started = state.started
    definition = graphs.of(started).definition
    workflow_input = _with_defaults(command.workflow_input, definition)
    refused = refused_input(definition, workflow_input, context)
    if refused is not None:
        return refused
    again = WorkflowRestarted(
        at_ms=context.now_ms,
        version=started.version,
        definition_hash=started.definition_hash,
        task_definition_hashes=started.task_definition_hashes,
        graph_key=started.graph_key,
        sub_workflow_versions=started.sub_workflow_versions,
        definition=started.definition,
        variables=state.variables,
        timeout_ms=started.timeout_ms,
        input=workflow_input,
        correlation_id=command.correlation_id,
        masked_fields=started.masked_fields,
    )
    return _begin_again(state, again, context, graphs)


def _begin_again(state: WorkflowState, again: WorkflowRestarted, context: DecideContext, graphs: Graphs) -> Decision:
    draft = Draft(state, context, graphs.of(state.started))
    draft.emit(again)
    draft.graph = graphs.of(draft.state.started)
    await_own_slot(draft)
    if draft.graph.first is not None:
        draft.enter(draft.graph.first)
    settle(draft)
    return draft.accept()


def _with_defaults(given: JsonObject | None, definition: WorkflowDef) -> JsonObject | None:
    return None if given is None else with_template(given, definition.input_template)
