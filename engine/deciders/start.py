"""Deciding about a start.

Source: Conductor's `WorkflowExecutorOps.startWorkflow`, `StartWorkflowRequest`.
"""

import msgspec

from engine.applier import apply
from engine.commands import StartWorkflow, is_same_task
from engine.context import DecideContext
from engine.definitions import WorkflowDef, WorkflowTimeoutPolicy, definition_hash, version_text
from engine.draft import Draft
from engine.events import ParentAttached, WorkflowStarted
from engine.graph import Graphs, inline_definition, pins_of
from engine.ids import WorkflowId
from engine.inputs import with_template
from engine.json_value import JsonObject
from engine.model import WorkflowState
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.schemas import input_problem
from engine.slots import await_own_slot
from engine.validation import validate_workflow
from engine.walk import settle

PRIORITY_MAX = 99


def start_workflow(
    state: WorkflowState | None, command: StartWorkflow, context: DecideContext, graphs: Graphs
) -> Decision:
    """Start a workflow and walk to its first wait. A second start of the same id meets the first: nothing happens.

    Only a further SUB_WORKFLOW task that comes to it by its idempotency key is told of its end, as the first is.

    Rejects:
        ARGUMENT_INVALID: no id, or a priority outside 0 … 99.
        DEFINITION_NOT_FOUND: the name (or version) is not registered.
        DEFINITION_INVALID: the definition that came with the request has violations.
        INPUT_INVALID: the input violates the schema that the definition enforces.
    """
    if state is not None:
        return _met(state, command, context)
    if command.workflow_id is None:
        return _refused(RejectionCode.ARGUMENT_INVALID, "a start needs a workflowId by the time it is decided")
    priority = command.priority or 0
    if not 0 <= priority <= PRIORITY_MAX:
        return _refused(RejectionCode.ARGUMENT_INVALID, f"priority should be 0 to {PRIORITY_MAX} and is {priority}")
    begun = _started(command, command.workflow_id, priority, context)
    if isinstance(begun, Rejected):
        return begun
    draft = Draft(apply(None, begun), context, graphs.of(begun))
    draft.events.append(begun)
    if draft.announces:
        draft.announce(begun)
    await_own_slot(draft)
    if draft.graph.first is not None:
        draft.enter(draft.graph.first)
    settle(draft)
    return draft.accept()


def workflow_timeout_ms(definition: WorkflowDef) -> int:
    """Return the time that a workflow has, 0 for no bound. An ALERT_ONLY timeout ends nothing."""
    if definition.timeout_policy is WorkflowTimeoutPolicy.ALERT_ONLY:
        return 0
    return definition.timeout_seconds * 1000


def refused_input(definition: WorkflowDef, given: JsonObject | None, context: DecideContext) -> Rejected | None:
    """Return why a workflow cannot have an input that it is given, None if it can, or is given none."""
    if given is None or not definition.enforce_schema:
        return None
    problem = input_problem(context, definition.input_schema, given)
    if not problem:
        return None
    return _refused(RejectionCode.INPUT_INVALID, f"{definition.name}, version {definition.version}: {problem}")


def _started(
    command: StartWorkflow, workflow_id: WorkflowId, priority: int, context: DecideContext
) -> WorkflowStarted | Rejected:
    embedded: JsonObject | None = command.workflow_def
    if embedded is not None:
        try:
            definition = inline_definition(embedded)
        except msgspec.ValidationError as error:
            return _refused(RejectionCode.DEFINITION_INVALID, f"workflowDef of {workflow_id}: {error}")
        violations = validate_workflow(definition)
        if violations:
            listed = "; ".join(f"{violation.path}: {violation.message}" for violation in violations)
            return _refused(RejectionCode.DEFINITION_INVALID, f"workflowDef of {workflow_id}: {listed}")
        content = definition_hash(definition)
    else:
        found = context.definitions.find_workflow(command.name, command.version)
        if found is None:
            wanted = version_text(command.version)
            return _refused(
                RejectionCode.DEFINITION_NOT_FOUND,
                f"No such workflow found by name: {command.name}, {wanted}",
            )
        content, definition = found
    given = with_template(command.input or {}, definition.input_template)
    refused = refused_input(definition, given, context)
    if refused is not None:
        return refused
    pins = pins_of(definition, content, context.definitions)
    return WorkflowStarted(
        at_ms=context.now_ms,
        workflow_id=workflow_id,
        name=definition.name,
        version=definition.version,
        definition_hash=content,
        task_definition_hashes=pins.task_definition_hashes,
        graph_key=pins.graph_key,
        sub_workflow_versions=pins.sub_workflow_versions,
        definition=embedded,
        input=given,
        variables=definition.variables,
        correlation_id=command.correlation_id or "",
        priority=priority,
        task_to_domain=command.task_to_domain or {},
        created_by=command.created_by or "",
        trigger=command.event or "",
        idempotency_key=command.idempotency_key or "",
        parent=command.parent,
        timeout_ms=workflow_timeout_ms(definition),
        generated_id=command.generated_id,
        masked_fields=definition.masked_fields,
    )


def _met(state: WorkflowState, command: StartWorkflow, context: DecideContext) -> Accepted:
    parent = command.parent
    if not command.idempotency_key or parent is None or any(is_same_task(parent, one) for one in state.parents):
        return Accepted(events=(), state=state)
    event = ParentAttached(at_ms=context.now_ms, parent=parent)
    return Accepted(events=(event,), state=apply(state, event))


def _refused(code: RejectionCode, reason: str) -> Rejected:
    return Rejected(code=code, reason=reason)
