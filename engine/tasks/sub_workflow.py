"""SUB_WORKFLOW: starts another workflow and ends as that one ends.

The child's id is derived from the attempt, so that a repeated start meets the same child. What the start command will say is
recorded in the task's input. Source: Conductor's `SubWorkflowTaskMapper`, `SubWorkflow`.
"""

from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.expressions.references import resolve
from engine.graph import Node
from engine.ids import child_workflow_id
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.lookup import StateLookup
from engine.scheduling import schedule_task, start_task
from engine.status import TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the task and start the child, unless it has to wait for its retry delay."""
    definition = node.task_definition
    given = _child_request(draft, node, task_input(draft, node.task, definition))
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        dispatch="child",
        timeouts=engine_timeouts(definition),
    )
    problem = _problem(draft, given)
    if problem:
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, problem)
    elif not draft.state.tasks[seq].spec.due_at_ms:
        start_task(draft, seq, child_id=child_workflow_id(draft.state.workflow_id, seq))


def _child_request(draft: Draft, node: Node, given: JsonObject) -> JsonObject:
    parameters = node.task.sub_workflow_param
    lookup = StateLookup(draft.state)
    if parameters is None:  # DYNAMIC named this type: everything is in the input
        return {**given, "workflowInput": given.get("workflowInput", {})}
    request: JsonObject = {
        "subWorkflowName": resolve(parameters.name, lookup),
        "subWorkflowVersion": resolve(parameters.version, lookup),
        "workflowInput": given,
    }
    if parameters.workflow_definition is not None:
        request["subWorkflowDefinition"] = resolve(parameters.workflow_definition, lookup)
    if parameters.task_to_domain is not None:
        request["subWorkflowTaskToDomain"] = resolve(parameters.task_to_domain, lookup)
    if parameters.priority is not None:
        request["priority"] = resolve(parameters.priority, lookup)
    return request


def _problem(draft: Draft, request: JsonObject) -> str:
    """Say why the child cannot be started, or nothing."""
    limits = draft.context.limits
    parent = draft.state.started.parent
    depth = 1 if parent is None else parent.depth + 1
    if depth > limits.depth_max:
        return f"Sub-workflows may be {limits.depth_max} deep; this one would be number {depth}."
    if request.get("subWorkflowDefinition") is not None:
        return ""
    name, version = request.get("subWorkflowName"), request.get("subWorkflowVersion")
    if not isinstance(name, str) or not name:
        return f"subWorkflowParam.name should be the name of a workflow and is {name!r}."
    if version is not None and not isinstance(version, int):
        return f"subWorkflowParam.version should be a number and is {version!r}."
    if draft.context.definitions.find_workflow(name, version) is None:
        wanted = f"version {version}" if version is not None else "any version"
        return f"No such workflow found. name={name}, {wanted}: register it, then retry this workflow."
    return ""
