"""Workflow and task definitions as values: Conductor's JSON, field by field.

Holds the shapes and the content hash. Must not validate (see `engine.validation`) nor follow references between
definitions. Keeps the invariant that a definition is immutable: its hash names it for ever, and a running workflow
keeps the ones that it was started with.

Source: conductor-common `WorkflowDef`, `WorkflowTask`, `SubWorkflowParams`, `TaskDef`, `SchemaDef`.
"""

import hashlib
from enum import StrEnum
from typing import Literal

import msgspec

from engine.ids import DefinitionHash, RefName
from engine.json_value import JsonObject, JsonValue


class RetryLogic(StrEnum):
    """How the delay before a further attempt grows."""

    FIXED = "FIXED"
    EXPONENTIAL_BACKOFF = "EXPONENTIAL_BACKOFF"
    LINEAR_BACKOFF = "LINEAR_BACKOFF"


class TaskTimeoutPolicy(StrEnum):
    """What the end of a task's time does."""

    RETRY = "RETRY"
    TIME_OUT_WF = "TIME_OUT_WF"
    ALERT_ONLY = "ALERT_ONLY"


class WorkflowTimeoutPolicy(StrEnum):
    """What the end of a workflow's time does."""

    TIME_OUT_WF = "TIME_OUT_WF"
    ALERT_ONLY = "ALERT_ONLY"


class QueueLayout(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the queue of a task type is partitioned (an extension of Podium).

    `key` is an expression over the task's input such as `${input.videoId}`: equal keys meet the same partition, hence
    the same worker. Without a key tasks go round robin.
    """

    partitions: int = 1
    key: str | None = None


class TaskDef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds for every task of one name: retries, timeouts, limits, templates."""

    name: str
    description: str | None = None
    retry_count: int = 3
    timeout_seconds: int = 0
    input_keys: tuple[str, ...] = ()
    output_keys: tuple[str, ...] = ()
    runtime_metadata: tuple[str, ...] = ()
    timeout_policy: TaskTimeoutPolicy = TaskTimeoutPolicy.TIME_OUT_WF
    retry_logic: RetryLogic = RetryLogic.FIXED
    retry_delay_seconds: int = 60
    response_timeout_seconds: int = 3600
    concurrent_exec_limit: int | None = None
    input_template: JsonObject = {}
    rate_limit_per_frequency: int | None = None
    rate_limit_frequency_in_seconds: int | None = None
    isolation_group_id: str | None = None
    execution_name_space: str | None = None
    owner_email: str | None = None
    poll_timeout_seconds: int | None = None
    backoff_scale_factor: int = 1
    max_retry_delay_seconds: int = 0
    backoff_jitter_ms: int = 0
    base_type: str | None = None
    total_timeout_seconds: int = 0
    task_status_listener_enabled: bool = True
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    enforce_schema: bool = False
    queue: QueueLayout | None = None
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None


class SubWorkflowParams(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which workflow a SUB_WORKFLOW task starts. `workflow_definition`: the definition, or an expression for it."""

    name: str = ""
    version: int | None = None
    task_to_domain: dict[str, str] | None = None
    workflow_definition: JsonObject | str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: str | None = None
    priority: JsonValue = None


class WorkflowTask(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One task of a workflow definition, with the tasks nested in it."""

    name: str
    task_reference_name: RefName
    description: str | None = None
    input_parameters: JsonObject = {}
    type: str = "SIMPLE"
    dynamic_task_name_param: str | None = None
    case_value_param: str | None = None
    case_expression: str | None = None
    script_expression: str | None = None
    decision_cases: "dict[str, tuple[WorkflowTask, ...]]" = {}
    default_case: "tuple[WorkflowTask, ...]" = ()
    dynamic_fork_join_tasks_param: str | None = None
    dynamic_fork_tasks_param: str | None = None
    dynamic_fork_tasks_input_param_name: str | None = None
    fork_tasks: "tuple[tuple[WorkflowTask, ...], ...]" = ()
    start_delay: int = 0
    sub_workflow_param: SubWorkflowParams | None = None
    join_on: tuple[RefName, ...] = ()
    join_status: str | None = None
    join_mode: str | None = None
    sink: str | None = None
    optional: bool = False
    permissive: bool = False
    task_definition: TaskDef | None = None
    rate_limited: bool | None = None
    default_exclusive_join_task: tuple[RefName, ...] = ()
    async_complete: bool = False
    loop_condition: str | None = None
    loop_over: "tuple[WorkflowTask, ...]" = ()
    items: JsonValue = None
    retry_count: int | None = None
    evaluator_type: str | None = None
    expression: str | None = None
    on_state_change: JsonObject = {}
    cache_config: JsonObject | None = None
    metadata: JsonObject = {}


class WorkflowDef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A workflow definition: an ordered list of tasks, what goes in and what comes out."""

    name: str
    description: str | None = None
    version: int = 1
    tasks: tuple[WorkflowTask, ...] = ()
    input_parameters: tuple[str, ...] = ()
    output_parameters: JsonObject = {}
    failure_workflow: str | None = None
    failure_workflow_version: int | None = None
    schema_version: Literal[2] = 2
    restartable: bool = True
    workflow_status_listener_enabled: bool = False
    workflow_status_listener_sink: str | None = None
    owner_email: str | None = None
    timeout_policy: WorkflowTimeoutPolicy = WorkflowTimeoutPolicy.ALERT_ONLY
    timeout_seconds: int = 0
    variables: JsonObject = {}
    input_template: JsonObject = {}
    rate_limit_config: JsonObject | None = None
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    enforce_schema: bool = True
    metadata: JsonObject = {}
    cache_config: JsonObject | None = None
    masked_fields: tuple[str, ...] = ()
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None


class SchemaType(StrEnum):
    """In what language a schema is written. Only JSON can be enforced; the others are kept for whoever asks."""

    JSON = "JSON"
    AVRO = "AVRO"
    PROTOBUF = "PROTOBUF"


class SchemaDef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A registered schema, for definitions that name it. `data`: the schema itself."""

    name: str
    version: int = 1
    type: SchemaType = SchemaType.JSON
    data: JsonObject = {}
    external_ref: str | None = None
    owner_app: str | None = None
    create_time: int = 0
    update_time: int = 0
    created_by: str | None = None
    updated_by: str | None = None


def version_text(version: int | None) -> str:
    """Return how a version is named where it was asked for in vain."""
    return "any version" if version is None else f"version {version}"


def definition_hash(definition: WorkflowDef | TaskDef | SchemaDef) -> DefinitionHash:
    """Return the name of a definition's content: 128 bits of BLAKE2b over its canonical JSON, in hexadecimal."""
    canonical = msgspec.json.encode(definition, order="deterministic")
    return DefinitionHash(hashlib.blake2b(canonical, digest_size=16).hexdigest())
