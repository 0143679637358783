"""Requests to start a workflow and to act on one, read into the engine's commands.

Holds the edge models of the requests and their readers. Must not send a command.
Keeps the invariant that a start carries a valid inline definition, or none.

Source: conductor-common `StartWorkflowRequest`, `SkipTaskRequest`, `RerunWorkflowRequest`; the Python client's
`skip_task_from_workflow`.
"""

import ast
from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import Field

from api.errors import RequestInvalid
from api.wire.definitions import Domains, WorkflowDef, workflow_def_from
from api.wire.integers import Int
from api.wire.parameters import Members, Verbatim
from api.wire.strict_json import JsonInvalid, parse
from api.wire.task_results import TaskResult
from api.wire.violations import ShownAs, Wire, validated
from engine.commands import RerunWorkflow, SkipTask, StartWorkflow, UpdateState, UpgradeWorkflow
from engine.idempotency import KEY_CHARS_MAX, Strategy
from engine.ids import RefName, TaskId, WorkflowId
from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus
from engine.validation import Violation
from streams.task_wire import definition_json

PRIORITY_MAX: Final = 99
SKIP_REQUEST_CHARS_MAX: Final = 100_000
"""A query cannot be longer than this anyway; it bounds what the literal parser is given."""

SKIP_TASK_REQUEST: Final = Verbatim(
    name="skipTaskRequest", about="The body, for clients that send it so: as JSON, or as Python prints it."
)
TASK_INPUT: Final = Members(name="taskInput", about="Members of the body's `taskInput`, one by one.")
TASK_OUTPUT: Final = Members(name="taskOutput", about="Members of the body's `taskOutput`, one by one.")
SKIP_PARAMETERS: Final = (SKIP_TASK_REQUEST, TASK_INPUT, TASK_OUTPUT)


class StartWorkflowRequest(Wire):
    """Conductor's StartWorkflowRequest."""

    name: str = ""
    version: Int | None = None
    correlation_id: str | None = None
    input: JsonObject | None = None
    task_to_domain: Domains | None = None
    workflow_def: Annotated[JsonObject, ShownAs(WorkflowDef)] | None = None
    external_input_payload_storage_path: str | None = None
    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] | None = None
    created_by: str | None = None
    idempotency_key: Annotated[str, Field(max_length=KEY_CHARS_MAX)] | None = None
    idempotency_strategy: Strategy | None = None


class RerunWorkflowRequest(Wire):
    """Conductor's RerunWorkflowRequest. `reRunFromWorkflowId` is in the path."""

    re_run_from_task_id: str | None = None
    workflow_input: JsonObject | None = None
    task_input: JsonObject | None = None
    correlation_id: str | None = None


class WorkflowStateUpdate(Wire):
    """Orkes' WorkflowStateUpdate: variables, and how a task went."""

    task_reference_name: str | None = None
    task_result: Annotated[JsonObject, ShownAs(TaskResult)] | None = None
    variables: JsonObject | None = None


class UpgradeWorkflowRequest(Wire):
    """Orkes' UpgradeWorkflowRequest."""

    name: str | None = None
    version: Int | None = None
    task_output: JsonObject | None = None
    workflow_input: JsonObject | None = None


class SkipTaskRequest(Wire):
    """Conductor's SkipTaskRequest."""

    task_input: JsonObject | None = None
    task_output: JsonObject | None = None


def start_from(value: JsonValue) -> StartWorkflow:
    """Return the command that a start request stands for.

    Raises:
        RequestInvalid: with every broken rule, also those of an inline definition.
    """
    request = validated(StartWorkflowRequest, value)
    name = request.name
    definition: JsonObject | None = None
    if request.workflow_def is not None:
        inline = workflow_def_from(request.workflow_def, at="workflowDef")
        definition = definition_json(inline)
        name = name or inline.name
    if not name:
        raise RequestInvalid(violations=[Violation(path="name", message="must not be empty", invalid_value=name)])
    return StartWorkflow(
        name=name,
        version=request.version,
        correlation_id=request.correlation_id,
        input=request.input,
        task_to_domain=request.task_to_domain,
        workflow_def=definition,
        external_input_payload_storage_path=request.external_input_payload_storage_path,
        priority=request.priority,
        created_by=request.created_by,
        idempotency_key=request.idempotency_key,
        # Every start of the Python client carries a strategy and no key: then it means nothing.
        idempotency_strategy=request.idempotency_strategy if request.idempotency_key else None,
    )


def skip_from(workflow_id: WorkflowId, ref: RefName, body: JsonObject, query: Mapping[str, str]) -> SkipTask:
    """Return the command that a skip request stands for: a JSON body, or one of the two forms that come in the query.

    Conductor binds it from `taskOutput[key]=value`; its Python client sends `skipTaskRequest=` with the
    object as Python prints it.

    Raises:
        RequestInvalid: with every broken rule.
    """
    fields: JsonObject = dict(body)
    literal = SKIP_TASK_REQUEST.of(query)
    if not fields and literal is not None:
        fields = _literal(literal)
    for parameter in (TASK_INPUT, TASK_OUTPUT):
        members = parameter.of(query)
        if members:
            fields[parameter.name] = {**(fields.get(parameter.name) or {}), **members}
    request = validated(SkipTaskRequest, fields)
    return SkipTask(
        workflow_id=workflow_id,
        task_reference_name=ref,
        task_input=request.task_input,
        task_output=request.task_output,
    )


def rerun_from(workflow_id: WorkflowId, body: JsonObject) -> RerunWorkflow:
    """Return the command that a rerun request stands for.

    Raises:
        RequestInvalid: with every broken rule.
    """
    request = validated(RerunWorkflowRequest, body)
    return RerunWorkflow(
        workflow_id=workflow_id,
        re_run_from_task_id=TaskId(request.re_run_from_task_id) if request.re_run_from_task_id else None,
        task_input=request.task_input,
        workflow_input=request.workflow_input,
        correlation_id=request.correlation_id,
    )


def state_update_from(workflow_id: WorkflowId, body: JsonObject) -> UpdateState:
    """Return the command that an update of a workflow's state stands for.

    Raises:
        RequestInvalid: with every broken rule; or there is a result, and no task that it is for.
    """
    request = validated(WorkflowStateUpdate, body)
    result = validated(TaskResult, request.task_result or {})
    if request.task_result is not None and not request.task_reference_name:
        violation = Violation(path="taskReferenceName", message="must name the task of taskResult")
        raise RequestInvalid(violations=[violation])
    return UpdateState(
        workflow_id=workflow_id,
        variables=request.variables or {},
        task_reference_name=RefName(request.task_reference_name) if request.task_reference_name else None,
        status=None if result.status is None else TaskStatus(result.status),
        output=result.output_data or {},
        reason=result.reason_for_incompletion,
        worker_id=result.worker_id or "",
    )


def upgrade_from(workflow_id: WorkflowId, body: JsonObject) -> UpgradeWorkflow:
    """Return the command that an upgrade request stands for.

    Raises:
        RequestInvalid: with every broken rule.
    """
    request = validated(UpgradeWorkflowRequest, body)
    outputs = request.task_output or {}
    violations = [
        Violation(path=f"taskOutput.{ref}", message="must be an object", invalid_value=output)
        for ref, output in outputs.items()
        if not isinstance(output, dict)
    ]
    if violations:
        raise RequestInvalid(violations=violations)
    return UpgradeWorkflow(
        workflow_id=workflow_id,
        name=request.name,
        version=request.version,
        task_output={RefName(ref): output for ref, output in outputs.items()},
        workflow_input=request.workflow_input,
    )


def _literal(text: str) -> JsonObject:
    value: Any = None
    if len(text) <= SKIP_REQUEST_CHARS_MAX:
        try:
            value = parse(text.encode())
        except JsonInvalid:
            value = _python_literal(text)
    if isinstance(value, dict):
        snake = {"task_input": "taskInput", "task_output": "taskOutput"}
        return {snake.get(str(name), str(name)): item for name, item in value.items()}
    message = f"query parameter skipTaskRequest must be an object {{taskInput, taskOutput}}, but is {text[:80]!r}"
    raise RequestInvalid(message)


def _python_literal(text: str) -> JsonValue:
    """Return what Python's own notation stands for, if that is JSON; else None."""
    try:
        return parse(orjson.dumps(ast.literal_eval(text)))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
