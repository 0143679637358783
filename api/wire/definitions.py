"""Workflow and task definitions as clients send them.

Holds the edge models of Conductor's WorkflowDef, WorkflowTask and TaskDef, and their way into the engine's
values. Must not judge what a definition means (see `engine.validation`): names are checked there, types and
ranges of single fields here. Keeps the invariant that a field which the client left out has Conductor's
default.

Source: conductor-common `WorkflowDef`, `WorkflowTask`, `SubWorkflowParams`, `TaskDef`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BeforeValidator, Discriminator, Field, Tag

from api.errors import RequestInvalid
from api.wire.integers import Int, Long
from api.wire.schemas import enforced_violations
from api.wire.violations import Wire, validated
from engine import definitions
from engine.definitions import RetryLogic, TaskTimeoutPolicy, WorkflowTimeoutPolicy
from engine.json_value import JsonObject, JsonValue
from engine.validation import Violation, validate_task, validate_workflow

Definition = TypeVar("Definition", definitions.WorkflowDef, definitions.TaskDef)


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 (whatever the client sent)
    match value:
        case list():
            return [item for item in value if item is not None]
        case dict():
            return {name: item for name, item in value.items() if item is not None}
        case _:
            return value


def _definition_or_expression(value: Any) -> str:  # noqa: ANN401 (whatever the client sent)
    return "expression" if isinstance(value, str) else "definition"


Texts = Annotated[list[str], BeforeValidator(_without_nulls)]
Domains = Annotated[dict[str, str], BeforeValidator(_without_nulls)]


class QueueLayout(Wire):
    """Podium's extension of a task definition: how its queue is partitioned."""

    partitions: Annotated[int, Field(ge=1, le=1024)] = 1
    key: str | None = None


class TaskDef(Wire):
    """Conductor's TaskDef."""

    name: str = ""
    description: str | None = None
    retry_count: Int = 3
    timeout_seconds: Long = 0
    input_keys: Texts = []
    output_keys: Texts = []
    runtime_metadata: Texts = []
    timeout_policy: TaskTimeoutPolicy = TaskTimeoutPolicy.TIME_OUT_WF
    retry_logic: RetryLogic = RetryLogic.FIXED
    retry_delay_seconds: Int = 60
    response_timeout_seconds: Long = 3600
    concurrent_exec_limit: Int | None = None
    input_template: JsonObject = {}
    rate_limit_per_frequency: Int | None = None
    rate_limit_frequency_in_seconds: Int | None = None
    isolation_group_id: str | None = None
    execution_name_space: str | None = None
    owner_email: str | None = None
    poll_timeout_seconds: Int | None = None
    backoff_scale_factor: Int = 1
    max_retry_delay_seconds: Int = 0
    backoff_jitter_ms: Int = 0
    base_type: str | None = None
    total_timeout_seconds: Long = 0
    task_status_listener_enabled: bool = True
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    enforce_schema: bool = False
    queue: QueueLayout | None = None
    owner_app: str | None = None
    create_time: Long = 0
    update_time: Long = 0
    created_by: str | None = None
    updated_by: str | None = None


class SubWorkflowParams(Wire):
    """Conductor's SubWorkflowParams. The definition may be an expression; so may the priority."""

    name: str = ""
    version: Int | None = None
    task_to_domain: Domains | None = None
    workflow_definition: """Annotated[
        Annotated[WorkflowDef, Tag("definition")] | Annotated[str, Tag("expression")],
        Discriminator(_definition_or_expression),
    ] | None""" = None
    idempotency_key: str | None = None
    idempotency_strategy: str | None = None
    priority: JsonValue = None


class WorkflowTask(Wire):
    """Conductor's WorkflowTask, with the tasks nested in it."""

    name: str = ""
    task_reference_name: str = ""
    description: str | None = None
    input_parameters: JsonObject = {}
    type: str = "SIMPLE"
    dynamic_task_name_param: str | None = None
    case_value_param: str | None = None
    case_expression: str | None = None
    script_expression: str | None = None
    decision_cases: "dict[str, list[WorkflowTask]]" = {}
    default_case: "list[WorkflowTask]" = []
    dynamic_fork_join_tasks_param: str | None = None
    dynamic_fork_tasks_param: str | None = None
    dynamic_fork_tasks_input_param_name: str | None = None
    fork_tasks: "list[list[WorkflowTask]]" = []
    start_delay: Int = 0
    sub_workflow_param: SubWorkflowParams | None = None
    join_on: Texts = []
    join_status: str | None = None
    join_mode: str | None = None
    sink: str | None = None
    optional: bool = False
    permissive: bool = False
    task_definition: TaskDef | None = None
    rate_limited: bool | None = None
    default_exclusive_join_task: Texts = []
    async_complete: bool = False
    loop_condition: str | None = None
    loop_over: "list[WorkflowTask]" = []
    items: JsonValue = None
    retry_count: Int | None = None
    evaluator_type: str | None = None
    expression: str | None = None
    on_state_change: JsonObject = {}
    cache_config: JsonObject | None = None
    metadata: JsonObject = {}


class WorkflowDef(Wire):
    """Conductor's WorkflowDef."""

    name: str = ""
    description: str | None = None
    version: Int = 1
    tasks: list[WorkflowTask] = []
    input_parameters: Texts = []
    output_parameters: JsonObject = {}
    failure_workflow: str | None = None
    failure_workflow_version: Int | None = None
    schema_version: Annotated[int, Field(ge=2, le=2)] = 2
    restartable: bool = True
    workflow_status_listener_enabled: bool = False
    workflow_status_listener_sink: str | None = None
    owner_email: str | None = None
    timeout_policy: WorkflowTimeoutPolicy = WorkflowTimeoutPolicy.ALERT_ONLY
    timeout_seconds: Long = 0
    variables: JsonObject = {}
    input_template: JsonObject = {}
    rate_limit_config: JsonObject | None = None
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    enforce_schema: bool = True
    metadata: JsonObject = {}
    cache_config: JsonObject | None = None
    masked_fields: Texts = []
    owner_app: str | None = None
    create_time: Long = 0
    update_time: Long = 0
    created_by: str | None = None
    updated_by: str | None = None


def workflow_def_from(value: JsonValue, *, at: str = "") -> definitions.WorkflowDef:
    """Return the workflow definition that a JSON value stands for, found valid.

    Raises:
        RequestInvalid: with every broken rule; `at` is the value's own place in the body.
    """
    definition = _converted(validated(WorkflowDef, value, at=at), definitions.WorkflowDef)
    _refuse_broken([*validate_workflow(definition), *enforced_violations(definition)], at=at)
    return definition


def task_def_from(value: JsonValue, *, at: str = "") -> definitions.TaskDef:
    """Return the task definition that a JSON value stands for, found valid.

    Raises:
        RequestInvalid: with every broken rule; `at` is the value's own place in the body.
    """
    definition = _converted(validated(TaskDef, value, at=at), definitions.TaskDef)
    _refuse_broken([*validate_task(definition), *enforced_violations(definition)], at=at)
    return definition


def _converted(model: Wire, to: type[Definition]) -> Definition:
    """Return the engine's value. What the client left out is left to the engine's defaults, which are the same."""
    return msgspec.convert(model.model_dump(by_alias=True, exclude_unset=True), to, strict=False)


def _refuse_broken(broken: Sequence[Violation], *, at: str) -> None:
    if not broken:
        return
    violations = broken if not at else [msgspec.structs.replace(one, path=f"{at}.{one.path}") for one in broken]
    raise RequestInvalid(violations=violations)
