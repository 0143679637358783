"""Rows of the history from states and events.

What the definition masks is masked in the rows of workflows and tasks, which people look at; the bodies of events are
whole, because states are folded from them.

Pure: the same state gives the same row, whoever makes it and however often; that is what makes a repeated batch
harmless. Must not know the store. Keeps the order of the columns of `schema`, to which each function's result
belongs.
"""

from typing import Final, TypeAlias, get_args

import msgspec

from engine.events import Event, WorkflowStarted
from engine.ids import WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import EndedTask, Task, WorkflowState, status_of
from streams.masking import masked

Row: TypeAlias = tuple[object, ...]

_encode: Final = msgspec.json.Encoder().encode
_TAGS: Final[dict[type, str]] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)}


def tag_of_event(event: Event) -> str:
    """Return the word that stands under `event` on the wire."""
    return _TAGS[type(event)]


def event_row(
    *,
    created_at_ms: int,
    workflow_id: WorkflowId,
    version: int,
    position: int,
    partition: int,
    at_ms: int,
    cause: str,
    event: Event,
) -> Row:
    """Return the row of `workflow_events` for a workflow's event number `version`, decided by the record at `position`.

    The attempt that an event is about stands in a column of its own; everything else about it is in the body.
    """
    return (
        created_at_ms,
        workflow_id,
        version,
        position,
        partition,
        at_ms,
        tag_of_event(event),
        getattr(event, "seq", 0),
        cause,
        _encode(event),
    )


def execution_row(state: WorkflowState, *, created_at_ms: int, position: int, partition: int) -> Row:
    """Return the row of `workflow_executions`: a workflow as the record at `position` left it.

    `created_at_ms` is the instant of the first event ever: a restart begins a new run, and the row stays where it is.
    """
    started = state.started
    parent = started.parent
    return (
        created_at_ms,
        started.workflow_id,
        state.version,
        position,
        partition,
        started.name,
        started.version,
        state.status.value,
        started.correlation_id,
        state.created_at_ms,
        state.updated_at_ms,
        state.ended_at_ms,
        state.ended_at_ms - state.created_at_ms if state.ended_at_ms else 0,
        state.reason,
        state.failed_refs,
        state.failed_names,
        parent.workflow_id if parent is not None else "",
        started.created_by,
        started.trigger,
        started.priority,
        started.idempotency_key,
        _object_text(started.task_to_domain),
        _object_text(masked(started.input, started.masked_fields)),
        _object_text(masked(state.output, started.masked_fields)),
    )


def task_row(started: WorkflowStarted, task: Task, *, created_at_ms: int, event_version: int) -> Row:
    """Return the row of `task_executions`: an attempt as its workflow's event number `event_version` left it."""
    spec = task.spec
    progress = task.progress
    ended_at_ms = task.ended_at_ms if isinstance(task, EndedTask) else 0
    begun_at_ms = progress.started_at_ms
    return (
        created_at_ms,
        started.workflow_id,
        spec.seq,
        event_version,
        task_id(started.workflow_id, spec.seq),
        started.name,
        started.correlation_id,
        started.priority,
        spec.ref,
        spec.name,
        spec.type,
        status_of(task).value,
        spec.attempt,
        spec.iteration,
        isinstance(task, EndedTask) and not task.final,
        spec.retry_of or 0,
        spec.at_ms,
        begun_at_ms,
        progress.updated_at_ms,
        ended_at_ms,
        max(begun_at_ms - spec.at_ms, 0) if begun_at_ms else 0,
        max(ended_at_ms - begun_at_ms, 0) if ended_at_ms else 0,
        progress.worker_id,
        spec.domain,
        progress.poll_count,
        progress.reason,
        progress.child_id or "",
        _object_text(masked(spec.input, started.masked_fields)),
        _object_text(masked(progress.output, started.masked_fields)),
    )


def _object_text(value: JsonObject) -> bytes:
    # The client would encode text again.
    return _encode(value) if value else b"{}"
