"""Workflows as clients expect them: Workflow, its status, its tasks, SignalResponse, BulkResponse.

Holds the rendering. Must not look anything up: the caller brings the state and the graph that it runs by.
Keeps the invariants that what the definition masks is never shown, that maps and lists are never null, that
absent values are left out, and that a rendered workflow shows the definition it was started with, whatever
was registered since.

Source: conductor-common `Workflow`, `WorkflowStatus`, `SignalResponse`, `BulkResponse`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from engine.definitions import WorkflowDef
from engine.graph import Graph
from engine.ids import RefName, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import OWN_SLOT, EndedTask, RunningTask, Task, WorkflowState, open_tasks
from engine.nodes import node_of
from streams.masking import masked
from streams.task_wire import definition_json, render_task


class ReturnStrategy(StrEnum):
    """What a caller who waits for a workflow wants to see."""

    TARGET_WORKFLOW = "TARGET_WORKFLOW"
    BLOCKING_WORKFLOW = "BLOCKING_WORKFLOW"
    BLOCKING_TASK = "BLOCKING_TASK"
    BLOCKING_TASK_INPUT = "BLOCKING_TASK_INPUT"


def workflow_json(state: WorkflowState, graph: Graph, *, include_tasks: bool = True) -> JsonObject:
    """Return Conductor's Workflow."""
    started = state.started
    wire: JsonObject = {
        "workflowId": state.workflow_id,
        "workflowName": started.name,
        "workflowVersion": started.version,
        "status": state.status.value,
        "createTime": state.created_at_ms,
        "updateTime": state.updated_at_ms,
        "startTime": state.created_at_ms,
        "endTime": state.ended_at_ms,
        "lastRetriedTime": state.last_retried_at_ms,
        "priority": started.priority,
        "input": masked(started.input, started.masked_fields),
        "output": masked(state.output, started.masked_fields),
        "variables": masked(state.variables, started.masked_fields),
        "taskToDomain": started.task_to_domain,
        "failedReferenceTaskNames": state.failed_refs,
        "failedTaskNames": state.failed_names,
        "tasks": tasks_json(state, graph) if include_tasks else [],
        "history": [],
        "rateLimited": state.is_queued,
        "workflowDefinition": definition_json(graph.definition),
    }
    optional = {
        "correlationId": started.correlation_id,
        "reasonForIncompletion": state.reason,
        "event": started.trigger,
        "createdBy": started.created_by,
        "idempotencyKey": started.idempotency_key,
        "ownerApp": graph.definition.owner_app,
    }
    wire.update({name: value for name, value in optional.items() if value})
    own = state.slots.get(OWN_SLOT)
    if own is not None:
        wire["rateLimitKey"] = own.key
    if started.parent is not None:
        wire["parentWorkflowId"] = started.parent.workflow_id
        wire["parentWorkflowTaskId"] = task_id(started.parent.workflow_id, started.parent.task_seq)
    return wire


def tasks_json(state: WorkflowState, graph: Graph) -> list[JsonObject]:
    """Return every attempt of the present run as Conductor's Task, in the order of scheduling."""
    return [task_json(state, graph, state.tasks[seq]) for seq in sorted(state.tasks)]


def task_json(state: WorkflowState, graph: Graph, task: Task) -> JsonObject:
    """Return one attempt as Conductor's Task."""
    fields = state.started.masked_fields
    wire = _whole_task_json(state, graph, task)
    if fields:
        wire.update(inputData=masked(wire["inputData"], fields), outputData=masked(wire["outputData"], fields))
    return wire


def _whole_task_json(state: WorkflowState, graph: Graph, task: Task) -> JsonObject:
    if not task.spec.forked_by and task.spec.node not in graph.nodes:
        return render_task(state, task, None, None)
    node = node_of(graph, state, task.spec)
    # What a DYNAMIC task turned out to be has a definition of its own, which the graph does not hold.
    is_dynamic = task.spec.dynamic_definition_hash is not None
    return render_task(state, task, node.task, None if is_dynamic else node.task_definition)


def status_json(state: WorkflowState, *, include_output: bool, include_variables: bool) -> JsonObject:
    """Return Conductor's WorkflowStatus: the little that pollers need."""
    wire: JsonObject = {"workflowId": state.workflow_id, "status": state.status.value}
    if state.started.correlation_id:
        wire["correlationId"] = state.started.correlation_id
    if include_output:
        wire["output"] = masked(state.output, state.started.masked_fields)
    if include_variables:
        wire["variables"] = masked(state.variables, state.started.masked_fields)
    return wire


def signal_json(
    target: WorkflowState,
    blocking: WorkflowState,
    *,
    target_graph: Graph,
    blocking_graph: Graph,
    strategy: ReturnStrategy,
    request_id: str,
) -> JsonObject:
    """Return Conductor's SignalResponse.

    `target` is the workflow that was asked about, `blocking` the one in its tree where the signal went. A
    task strategy shows the task that blocks now; where none does, it shows the workflow.
    """
    shown, graph = (target, target_graph) if strategy is ReturnStrategy.TARGET_WORKFLOW else (blocking, blocking_graph)
    wire: JsonObject = {
        "responseType": strategy.value,
        "targetWorkflowId": target.workflow_id,
        "targetWorkflowStatus": target.status.value,
        "workflowId": shown.workflow_id,
    }
    if request_id:
        wire["requestId"] = request_id
    if shown.started.correlation_id:
        wire["correlationId"] = shown.started.correlation_id
    if strategy in (ReturnStrategy.BLOCKING_TASK, ReturnStrategy.BLOCKING_TASK_INPUT):
        task = blocking_task(blocking)
        if task is not None:
            rendered = task_json(blocking, blocking_graph, task)
            return {**rendered, **wire, "input": rendered["inputData"], "output": rendered["outputData"]}
    fields = shown.started.masked_fields
    wire.update(
        input=masked(shown.started.input, fields),
        output=masked(shown.output, fields),
        status=shown.status.value,
        priority=shown.started.priority,
        variables=masked(shown.variables, fields),
        tasks=tasks_json(shown, graph),
        createTime=shown.created_at_ms,
        updateTime=shown.updated_at_ms,
    )
    if shown.started.created_by:
        wire["createdBy"] = shown.started.created_by
    if shown.reason:
        wire["reasonForIncompletion"] = shown.reason
    return wire


def blocking_task(state: WorkflowState) -> Task | None:
    """Return the first task that waits for somebody outside: a WAIT without a timer, or a HUMAN."""
    for seq in sorted(state.tasks):
        task = state.tasks[seq]
        if isinstance(task, RunningTask) and task.spec.type in ("WAIT", "HUMAN", "YIELD") and not task.spec.wakes_at_ms:
            return task
    return None


def running_children(state: WorkflowState) -> list[WorkflowId]:
    """Return the sub-workflows that a workflow waits for, the oldest first. Some may be yet to begin."""
    return [
        task.progress.child_id
        for task in open_tasks(state)
        if isinstance(task, RunningTask) and task.progress.child_id is not None
    ]


def open_task_of(state: WorkflowState, ref: RefName) -> Task | None:
    """Return the open attempt of a reference name, which may come without its loop suffix."""
    task = state.named(ref)
    return None if isinstance(task, EndedTask) else task


def bulk_json(succeeded: Sequence[str], failed: Mapping[str, str]) -> JsonObject:
    """Return Conductor's BulkResponse."""
    return {
        "bulkErrorResults": dict(failed),
        "bulkSuccessfulResults": list(succeeded),
        "message": "Bulk Request has been processed.",
    }


def definition_summary_json(definition: WorkflowDef) -> JsonObject:
    """Return Conductor's WorkflowDefSummary."""
    return {
        "name": definition.name,
        "version": definition.version,
        "createTime": definition.create_time,
        "updateTime": definition.update_time,
    }
