"""SUB_WORKFLOW: starts another workflow and ends as that one ends.

The child's id is derived from the attempt, so that a repeated start meets the same child; with an `idempotencyKey` from
that, so that other tasks with the same key meet it too. What the start command will
say is recorded in the task's input. A name without a version means the version that was the newest when the parent
started.

Source: Conductor's `SubWorkflowTaskMapper`, `SubWorkflow`. An input without parameters stays empty here.
"""

from typing import Final

from engine.deadlines import engine_timeouts
from engine.definitions import version_text
from engine.dispatch import TO_CHILD
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.expressions.references import resolve
from engine.graph import Node
from engine.idempotency import problem_of
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.lookup import StateLookup
from engine.scheduling import delay_of, schedule_task
from engine.slots import begin_task
from engine.status import TaskStatus

_DIGITS_MAX: Final = 9
"""Neither a version nor a priority needs more."""


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the task and start the child, unless that is delayed or has to wait for a slot."""
    definition = node.task_definition
    delay_ms = delay_of(node, attempt)
    request = _child_request(draft, node, task_input(draft, node.task, definition))
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=request,
        dispatch=TO_CHILD,
        delay_ms=delay_ms,
        timeouts=engine_timeouts(definition),
    )
    problem = _problem(draft, request)
    if problem:
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, problem)
    elif not delay_ms:
        begin_task(draft, seq, node, definition)


def _child_request(draft: Draft, node: Node, given: JsonObject) -> JsonObject:
    """Return the task's input: which workflow is to start, and how."""
    parameters = node.task.sub_workflow_param
    if parameters is None:  # a DYNAMIC task has named this type: everything is in its input
        request = {"workflowInput": {}, **given}
    else:
        lookup = StateLookup(draft.state, decision=draft.budget)
        request = {"subWorkflowName": resolve(parameters.name, lookup), "workflowInput": given}
        optional = {
            "subWorkflowVersion": parameters.version,
            "subWorkflowDefinition": parameters.workflow_definition,
            "subWorkflowTaskToDomain": parameters.task_to_domain,
            "priority": parameters.priority,
            "idempotencyKey": parameters.idempotency_key,
            "idempotencyStrategy": parameters.idempotency_strategy,
        }
        request.update({key: resolve(value, lookup) for key, value in optional.items() if value is not None})
        if "subWorkflowDefinition" in request:
            request["workflowInput"] = {**given, "_systemMetadata": {"dynamic": True}}
    for key in ("subWorkflowVersion", "priority"):
        if key in request:
            request[key] = _number(request[key])
    _settle_key(request)
    name = request.get("subWorkflowName")
    if "subWorkflowVersion" not in request and isinstance(name, str):
        pinned = draft.state.started.sub_workflow_versions.get(name)
        if pinned is not None:
            request["subWorkflowVersion"] = pinned
    return request


def _settle_key(request: JsonObject) -> None:
    """Leave a key that an expression made of nothing out, and write a number as text.

    The Python client sends a strategy with every sub-workflow; without a key it means nothing.
    """
    key = request.get("idempotencyKey")
    if key is None or key == "":
        request.pop("idempotencyKey", None)
        request.pop("idempotencyStrategy", None)
        return
    if _is_int(key):
        request["idempotencyKey"] = str(key)
    definition = request.get("subWorkflowDefinition")
    if not request.get("subWorkflowName") and isinstance(definition, dict):
        request["subWorkflowName"] = definition.get("name")  # a key counts within the name of a workflow


def _problem(draft: Draft, request: JsonObject) -> str:
    """Say why the child cannot be started, or nothing."""
    depth_max = draft.context.limits.depth_max
    parent = draft.state.started.parent
    depth = 1 if parent is None else parent.depth + 1
    if depth > depth_max:
        return f"Sub-workflows may be {depth_max} deep; this one would be number {depth}."
    given, domains, priority = (request.get(key) for key in ("workflowInput", "subWorkflowTaskToDomain", "priority"))
    if not isinstance(given, dict):
        return f"workflowInput should be an object and is {given!r}."
    if domains is not None and not _is_text_map(domains):
        return f"subWorkflowParam.taskToDomain should map task types to domains and is {domains!r}."
    if priority is not None and not _is_int(priority):
        return f"subWorkflowParam.priority should be a number and is {priority!r}."
    if "idempotencyKey" in request:
        problem = problem_of(request["idempotencyKey"], request.get("idempotencyStrategy"))
        if problem:
            return f"subWorkflowParam: {problem}."
    if "subWorkflowDefinition" in request:
        definition = request["subWorkflowDefinition"]
        if isinstance(definition, dict):
            return ""
        return f"subWorkflowParam.workflowDefinition should be a workflow definition and is {definition!r}."
    return _reference_problem(draft, request.get("subWorkflowName"), request.get("subWorkflowVersion"))


def _reference_problem(draft: Draft, name: JsonValue, version: JsonValue) -> str:
    if not isinstance(name, str) or not name:
        return f"subWorkflowParam.name should be the name of a workflow and is {name!r}."
    if version is not None and not _is_int(version):
        return f"subWorkflowParam.version should be a number and is {version!r}."
    if draft.context.definitions.find_workflow(name, version) is None:
        return f"No such workflow found. name={name}, {version_text(version)}: register it, then retry this workflow."
    return ""


def _number(value: JsonValue) -> JsonValue:
    """Return an integer for what reads as one: expressions often give text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _is_int(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text_map(value: JsonValue) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
