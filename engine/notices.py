"""Notices: what listeners are told of a workflow and its tasks.

Holds the derivation of messages from an event, the state that it led to and the definition. Must not send anything, nor
change a state. Keeps the invariant that a notice is made once, in the decision that it is about, and stands in the log
whole: whoever sends it again sends the same.

Source: Conductor's `WorkflowStatusListener`, `TaskStatusListener`, `StateChangeEvent`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.context import Listeners
from engine.definitions import WorkflowTask
from engine.events import (
    Event,
    MessagePosted,
    TaskEnded,
    TaskScheduled,
    TaskStarted,
    WorkflowEnded,
    WorkflowPaused,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
)
from engine.expressions.references import resolve
from engine.graph import Graph, Node
from engine.ids import TaskSeq
from engine.json_value import JsonObject
from engine.lookup import StateLookup
from engine.model import EndedTask, Task, WorkflowState, id_of, status_of
from engine.nodes import node_of
from engine.sinks import QUEUE, SinkInvalid, full_name
from engine.status import TaskStatus

_OF_WORKFLOWS: Final[dict[type, str]] = {
    WorkflowStarted: "started",
    WorkflowPaused: "paused",
    WorkflowResumed: "resumed",
    WorkflowEnded: "ended",
    WorkflowReopened: "retried",
    WorkflowRestarted: "restarted",
}
_OF_TASKS: Final = frozenset({TaskScheduled, TaskStarted, TaskEnded})
_CHANGES: Final[dict[TaskStatus, str]] = {
    TaskStatus.SCHEDULED: "onScheduled",
    TaskStatus.IN_PROGRESS: "onStart",
    TaskStatus.COMPLETED: "onSuccess",
    TaskStatus.COMPLETED_WITH_ERRORS: "onFailed",
    TaskStatus.FAILED: "onFailed",
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: "onFailed",
    TaskStatus.TIMED_OUT: "onFailed",
    TaskStatus.CANCELED: "onCancelled",
}
"""Which of a task's `onStateChange` its status is. One that is SKIPPED never was."""


def notices(event: Event, state: WorkflowState, graph: Graph, listeners: Listeners) -> Sequence[MessagePosted]:
    """Return the messages to be posted because of an event, given the state right after it."""
    kind = type(event)
    if kind in _OF_WORKFLOWS:
        return tuple(_of_workflow(event, state, graph, listeners))
    if kind in _OF_TASKS and (listeners.task_sink or graph.announces_tasks):
        return tuple(_of_task(event, state, graph, listeners))  # type: ignore[arg-type]  # the set says which it is
    return ()


def _of_workflow(event: Event, state: WorkflowState, graph: Graph, listeners: Listeners) -> Iterator[MessagePosted]:
    definition = graph.definition
    sink = definition.workflow_status_listener_sink or listeners.workflow_sink
    if not definition.workflow_status_listener_enabled or not sink:
        return
    what = _OF_WORKFLOWS[type(event)]
    message_id = _message_id(state, 0)
    payload: JsonObject = {
        "messageId": message_id,
        "event": state.status.value.lower() if what == "ended" else what,
        "at": event.at_ms,
        **_workflow(state),
        "status": state.status.value,
    }
    if what == "ended":
        payload |= {"output": state.output, "reasonForIncompletion": state.reason or None}
    yield from _posted(event.at_ms, message_id, sink, payload, state, owner="workflow")


def _of_task(
    event: TaskScheduled | TaskStarted | TaskEnded,
    state: WorkflowState,
    graph: Graph,
    listeners: Listeners,
) -> Iterator[MessagePosted]:
    task = state.tasks[event.seq]
    node = _node(graph, state, task)
    if node is None:
        return
    ahead = 0
    if listeners.task_sink and (node.task_definition is None or node.task_definition.task_status_listener_enabled):
        ahead = 1
        message_id = _message_id(state, 0)
        payload: JsonObject = {
            "messageId": message_id,
            "event": status_of(task).value.lower(),
            "at": event.at_ms,
            **_task(state, task),
        }
        if isinstance(task, EndedTask):
            payload |= {"output": task.progress.output, "reasonForIncompletion": task.progress.reason or None}
        sink = listeners.task_sink
        yield from _posted(event.at_ms, message_id, sink, payload, state, owner="task", seq=event.seq)
    if node.task.on_state_change:
        yield from _state_changes(event.at_ms, state, node.task, task, ahead=ahead)


def _state_changes(
    at_ms: int, state: WorkflowState, definition: WorkflowTask, task: Task, *, ahead: int
) -> Iterator[MessagePosted]:
    change = _CHANGES.get(status_of(task))
    lookup = StateLookup(state, task.spec.seq)
    for key, listed in definition.on_state_change.items():
        if change is None or change not in {name.strip() for name in key.split(",")}:
            continue
        for one in listed:
            kind = str(one.get("type"))
            message_id = _message_id(state, ahead)
            ahead += 1
            payload: JsonObject = {
                "messageId": message_id,
                "event": change,
                "type": kind,
                "at": at_ms,
                **_task(state, task),
                "payload": resolve(one.get("payload") or {}, lookup),
            }
            sink = kind if ":" in kind else QUEUE + kind
            yield from _posted(at_ms, message_id, sink, payload, state, owner="task", seq=task.spec.seq)


def _posted(
    at_ms: int,
    message_id: str,
    sink: str,
    payload: JsonObject,
    state: WorkflowState,
    *,
    owner: str,
    seq: TaskSeq = TaskSeq(0),
) -> Iterator[MessagePosted]:
    """Yield the message if its sink is one: a branch of a dynamic fork may name anything."""
    try:
        name = full_name(sink, workflow=state.started.name, owner=owner, webhooks=True)
    except SinkInvalid:
        return
    yield MessagePosted(at_ms=at_ms, message_id=message_id, sink=name, payload=payload, seq=seq)


def _message_id(state: WorkflowState, ahead: int) -> str:
    """Return an id that no other message of the workflow has: the count of its events never goes back."""
    return f"{state.workflow_id}~v{state.version + ahead}"


def _workflow(state: WorkflowState) -> JsonObject:
    started = state.started
    return {
        "workflowId": state.workflow_id,
        "workflowType": started.name,
        "version": started.version,
        "correlationId": started.correlation_id or None,
        "parentWorkflowId": None if started.parent is None else started.parent.workflow_id,
    }


def _task(state: WorkflowState, task: Task) -> JsonObject:
    spec = task.spec
    return {
        **_workflow(state),
        "taskId": id_of(state, task),
        "referenceTaskName": spec.ref,
        "taskDefName": spec.name,
        "taskType": spec.type,
        "retryCount": spec.attempt,
        "status": status_of(task).value,
        "workerId": task.progress.worker_id or None,
    }


def _node(graph: Graph, state: WorkflowState, task: Task) -> Node | None:
    """Return the task of the definition, None for one that was skipped before its branch existed."""
    spec = task.spec
    if not spec.iteration and not spec.forked_by:
        return graph.nodes.get(spec.node)
    return node_of(graph, state, spec)
