"""One attempt of a task as Conductor's Task JSON, for REST and for the `tasks.<type>` records.

Holds the rendering only. Must not look anything up: the caller brings the state, the task's place in the
definition and the task definition. Keeps the invariant that no field is null and every instant is an integer
of epoch milliseconds (0: has not happened), because existing clients drop a whole response over one field of
the wrong kind.

It runs once per dispatched task, so what depends on the definition alone is rendered once and kept by
identity: definitions are immutable, and whoever still holds one keeps its identity from being given to
another. The rendered parts are shared between the results and, like all JSON here, never changed in place.

Source: conductor-common `Task` and its derived getters (`queueWaitTime`, `loopOverTask`).
"""

from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from engine.definitions import TaskDef, WorkflowTask
from engine.ids import task_id
from engine.json_value import JsonObject, JsonValue
from engine.model import EndedTask, PendingTask, RunningTask, Task, WorkflowState
from engine.status import TaskStatus
from engine.tasks.registry import WORKER, behaviour_of

STATIC_PARTS_MAX: Final = 20_000
"""Definition tasks whose rendering is kept: about 3 KB each. When full, the cache is emptied and fills again."""

_WIRE_TYPES: Final = {"FORK_JOIN": "FORK", "FORK_JOIN_DYNAMIC": "FORK"}
"""Types that a running task shows under another name than its definition does."""

_SCHEDULED: Final = TaskStatus.SCHEDULED.value
_IN_PROGRESS: Final = TaskStatus.IN_PROGRESS.value

_Source: TypeAlias = tuple[WorkflowTask | None, TaskDef | None]

_static_parts: dict[tuple[int, int], tuple[_Source, JsonObject]] = {}
_rendered_definitions: dict[int, tuple[msgspec.Struct, JsonObject]] = {}


def render_task(state: WorkflowState, task: Task, node: WorkflowTask | None, task_def: TaskDef | None) -> JsonObject:
    """Return an attempt as Conductor's Task JSON.

    `node` is the task as its workflow's definition has it, None for one that a dynamic fork made; `task_def`
    is the definition that holds for it, None where none was registered. Costs about 4 µs once the definition
    is known.
    """
    spec = task.spec
    progress = task.progress
    started = state.started
    workflow_id = started.workflow_id
    scheduled_at_ms = spec.at_ms
    started_at_ms = progress.started_at_ms
    wire: JsonObject = {
        **_static_part(node, task_def),
        "taskType": _WIRE_TYPES.get(spec.type, spec.type),
        "status": _IN_PROGRESS,
        "inputData": spec.input,
        "outputData": progress.output,
        "referenceTaskName": spec.ref,
        "taskDefName": spec.name,
        "taskId": f"{workflow_id}~{spec.seq}",
        "workflowInstanceId": workflow_id,
        "workflowType": started.name,
        "seq": spec.seq,
        "retryCount": spec.attempt,
        "pollCount": progress.poll_count,
        "iteration": spec.iteration,
        "loopOverTask": spec.iteration > 0,
        "scheduledTime": scheduled_at_ms,
        "startTime": started_at_ms,
        "endTime": 0,
        "updateTime": progress.updated_at_ms,
        "firstStartTime": started_at_ms if spec.retry_of is None else _first_start(state, task),
        "queueWaitTime": max(started_at_ms - scheduled_at_ms, 0) if started_at_ms else 0,
        "startDelayInSeconds": 0,
        "callbackAfterSeconds": progress.callback_after_seconds,
        "responseTimeoutSeconds": spec.timeouts.response_ms // 1000,
        "workflowPriority": started.priority,
        "retried": False,
        "executed": False,
    }
    if spec.due_at_ms > scheduled_at_ms:
        wire["startDelayInSeconds"] = (spec.due_at_ms - scheduled_at_ms) // 1000
    match task:
        case RunningTask():
            pass
        case PendingTask():
            wire["status"] = _SCHEDULED
        case EndedTask():
            wire["status"] = task.status.value
            wire["endTime"] = task.ended_at_ms
            wire["retried"] = not task.final
            wire["executed"] = task.final
    _add_what_is_there(wire, state, task)
    return wire


def claimed(task_json: JsonObject, worker_id: str, now_ms: int) -> JsonObject:
    """Return a copy of a rendered task as the worker that polled it sees it: in progress since `now_ms`.

    A task that was handed back and is polled again keeps the start of its first claim.
    """
    started_at_ms: int = task_json["startTime"] or now_ms
    return {
        **task_json,
        "status": _IN_PROGRESS,
        "workerId": worker_id,
        "startTime": started_at_ms,
        "firstStartTime": task_json["firstStartTime"] or started_at_ms,
        "updateTime": now_ms,
        "pollCount": task_json["pollCount"] + 1,
        "queueWaitTime": max(started_at_ms - task_json["scheduledTime"], 0),
        "callbackAfterSeconds": 0,
    }


def definition_json(definition: msgspec.Struct) -> JsonObject:
    """Return a definition as Conductor's JSON: every field that is not null, the defaults too; nulls inside maps stay.

    The result is kept by identity and shared: definitions are immutable.
    """
    kept = _rendered_definitions.get(id(definition))
    if kept is not None:
        return kept[1]
    if len(_rendered_definitions) >= STATIC_PARTS_MAX:
        _rendered_definitions.clear()
    rendered = _struct_json(definition)
    _rendered_definitions[id(definition)] = (definition, rendered)
    return rendered


def _static_part(node: WorkflowTask | None, task_def: TaskDef | None) -> JsonObject:
    key = (id(node), id(task_def))
    kept = _static_parts.get(key)
    if kept is not None:
        return kept[1]
    if len(_static_parts) >= STATIC_PARTS_MAX:
        _static_parts.clear()
    part = _render_static_part(node, task_def)
    # Both sources are kept with the part: while they live, no other object has their identity.
    _static_parts[key] = ((node, task_def), part)
    return part


def _render_static_part(node: WorkflowTask | None, task_def: TaskDef | None) -> JsonObject:
    definition = task_def
    if definition is None and node is not None:
        definition = node.task_definition
        if definition is None and behaviour_of(node.type) is WORKER:
            # Workers read their settings here, so a task that nobody registered shows the defaults that hold for it.
            definition = TaskDef(name=node.name)
    part: JsonObject = {
        "callbackFromWorker": True,
        "subworkflowChanged": False,
        "rateLimitPerFrequency": 0,
        "rateLimitFrequencyInSeconds": 1,
    }
    if definition is not None:
        part["rateLimitPerFrequency"] = definition.rate_limit_per_frequency or 0
        part["rateLimitFrequencyInSeconds"] = definition.rate_limit_frequency_in_seconds or 1
        if definition.isolation_group_id:
            part["isolationGroupId"] = definition.isolation_group_id
        if definition.execution_name_space:
            part["executionNameSpace"] = definition.execution_name_space
    if node is not None:
        workflow_task = definition_json(node)
        if definition is not None:
            workflow_task = {**workflow_task, "taskDefinition": definition_json(definition)}
        part["workflowTask"] = workflow_task
    return part


def _add_what_is_there(wire: JsonObject, state: WorkflowState, task: Task) -> None:
    """Add the fields that are left out while they have no value."""
    spec = task.spec
    progress = task.progress
    if state.started.correlation_id:
        wire["correlationId"] = state.started.correlation_id
    if progress.worker_id:
        wire["workerId"] = progress.worker_id
    if progress.reason:
        wire["reasonForIncompletion"] = progress.reason
    if spec.domain:
        wire["domain"] = spec.domain
    if spec.retry_of is not None:
        wire["retriedTaskId"] = task_id(state.workflow_id, spec.retry_of)
    if progress.child_id is not None:
        wire["subWorkflowId"] = progress.child_id


def _first_start(state: WorkflowState, task: Task) -> int:
    """Return when the first attempt of a retried task began; an attempt of an earlier run is no longer known."""
    earliest = task
    while earliest.spec.retry_of is not None:
        before = state.tasks.get(earliest.spec.retry_of)
        if before is None:
            break
        earliest = before
    return earliest.progress.started_at_ms or task.progress.started_at_ms


def _struct_json(struct: msgspec.Struct) -> JsonObject:
    wire: JsonObject = {}
    for attribute, name in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True):
        value = getattr(struct, attribute)
        if value is not None:
            wire[name] = _plain(value)
    if isinstance(struct, TaskDef):
        # Conductor's getters never answer null for these two.
        wire.setdefault("rateLimitPerFrequency", 0)
        wire.setdefault("rateLimitFrequencyInSeconds", 1)
    return wire


def _plain(value: Any) -> JsonValue:  # noqa: ANN401 (a field of any type)
    match value:
        case msgspec.Struct():
            return _struct_json(value)
        case StrEnum():
            return value.value
        case tuple() | list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
