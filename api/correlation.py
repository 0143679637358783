"""Finding workflows by name, correlation id and status.

Holds the union of what the history has recorded and what the memory of this process knows better. Must not
render. Keeps the invariant that a workflow which has begun on this process is found at once, and one of
another process as soon as the history has it.

Source: Conductor's `WorkflowResource.getWorkflows`, `getRunningWorkflow`.
"""

from typing import Final

from aiohttp import web

from api.errors import RequestInvalid
from api.keys import node_of
from api.lookup import state_anywhere
from engine.ids import WorkflowId
from engine.model import WorkflowState
from engine.status import WorkflowStatus

FOUND_MAX: Final = 10_000
"""Ids in one answer; who has more searches page by page."""
PAGE_SIZE: Final = 1_000
CORRELATED_MAX: Final = 1_000
"""Correlation ids of one request."""


async def correlated(
    request: web.Request, name: str, correlation_id: str, *, include_closed: bool
) -> list[WorkflowState]:
    """Return the workflows of a name with a correlation id, oldest first. Paused ones count as not closed.

    Raises:
        HistoryUnavailable: the history cannot answer.
    """
    found: dict[WorkflowId, WorkflowState] = {
        state.workflow_id: state
        for state in await node_of(request).workflows.open_states()
        if state.started.name == name and state.started.correlation_id == correlation_id
    }
    clauses = f"workflowType = {_quoted(name)} AND correlationId = {_quoted(correlation_id)}"
    for workflow_id in await _recorded(request, clauses):
        if workflow_id not in found:
            state = await state_anywhere(request, workflow_id)
            if state is not None:
                found[workflow_id] = state
    wanted = [state for state in found.values() if include_closed or not state.is_terminal]
    return sorted(wanted, key=lambda state: (state.created_at_ms, state.workflow_id))


async def running(request: web.Request, name: str, *, version: int, window: tuple[int, int] | None) -> list[WorkflowId]:
    """Return the ids of the running workflows of a name and version, or of all of the name that began in a window (ms).

    Raises:
        HistoryUnavailable: the history cannot answer.
    """
    here = {
        state.workflow_id: state
        for state in await node_of(request).workflows.open_states()
        if state.started.name == name
    }
    clauses = f"workflowType = {_quoted(name)}"
    if window is None:
        wanted = {
            workflow_id: None
            for workflow_id, state in here.items()
            if state.started.version == version and state.status is WorkflowStatus.RUNNING
        }
        clauses += f" AND version = {version} AND status = 'RUNNING'"
    else:
        after_ms, before_ms = window
        wanted = {
            workflow_id: None for workflow_id, state in here.items() if after_ms <= state.created_at_ms <= before_ms
        }
        clauses += f" AND startTime > {after_ms - 1} AND startTime < {before_ms + 1}"
    for workflow_id in await _recorded(request, clauses):
        if workflow_id not in here:  # what is here, this process knows better
            wanted[workflow_id] = None
    return list(wanted)[:FOUND_MAX]


async def _recorded(request: web.Request, clauses: str) -> list[WorkflowId]:
    found: list[WorkflowId] = []
    while len(found) < FOUND_MAX:
        page = await node_of(request).history.search(
            query=clauses, free_text="*", start=len(found), size=PAGE_SIZE, sort="startTime:ASC"
        )
        found.extend(WorkflowId(hit["workflowId"]) for hit in page.hits)
        if len(page.hits) < PAGE_SIZE:
            break
    return found


def _quoted(text: str) -> str:
    """Return a text as the query language quotes it.

    Raises:
        RequestInvalid: it holds both kinds of quotes, and the language has no way to escape one.
    """
    for quote in ("'", '"'):
        if quote not in text:
            return f"{quote}{text}{quote}"
    message = f"names and correlation ids must not hold both kinds of quotes, but {text[:80]!r} does"
    raise RequestInvalid(message)
