"""Searches: for workflows, for tasks, and for the workflows of tasks.

Must not know the query language: the history does. Keeps two invariants: what is beyond the caller's limits is neither
found nor counted; and a page that shows whole workflows or tasks holds those that its query found, in their order.

Source: Conductor's `WorkflowResource.search*`, `TaskResource.search*`.
"""

from typing import Final

from aiohttp import web

from api.access.guard import tasks_within_limits, workflows_within_limits
from api.access.permissions import Need
from api.keys import graph_of, node_of
from api.lookup import state_anywhere
from api.routing import Route
from api.wire.reading import boolean_parameter, integer_parameter, text_parameter
from api.wire.replies import json_reply
from api.wire.workflows import task_json, workflow_json
from engine.ids import WorkflowId, parse_task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState
from streams.service import SearchFor, SearchPage

SEARCH_SIZE_MAX: Final = 5_000
"""Hits of one answer. Source: Conductor."""
WHOLE_SIZE_MAX: Final = 500
"""Hits of one answer that shows each whole: every workflow is looked up."""


def routes() -> tuple[Route, ...]:
    """Return the routes of searches."""
    return (
        Route.get("/api/workflow/search", search_workflows, Need.READ),
        Route.get("/api/workflow/search-v2", search_whole_workflows, Need.READ),
        Route.get("/api/workflow/search-by-tasks", search_workflows_by_tasks, Need.READ),
        Route.get("/api/workflow/search-by-tasks-v2", search_whole_workflows_by_tasks, Need.READ),
        Route.get("/api/tasks/search", search_tasks, Need.READ),
        Route.get("/api/tasks/search-v2", search_whole_tasks, Need.READ),
    )


async def search_workflows(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that a query finds."""
    return _reply(await _page(request, SearchFor.WORKFLOWS))


async def search_whole_workflows(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that a query finds, each whole but for its tasks."""
    page = await _page(request, SearchFor.WORKFLOWS, size_max=WHOLE_SIZE_MAX)
    return json_reply({"totalHits": page.total, "results": await _whole_workflows(request, page)})


async def search_workflows_by_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that have a task which a query for tasks finds."""
    return _reply(await _page(request, SearchFor.WORKFLOWS_BY_TASKS))


async def search_whole_workflows_by_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that have a task which a query finds, each whole but for its tasks."""
    page = await _page(request, SearchFor.WORKFLOWS_BY_TASKS, size_max=WHOLE_SIZE_MAX)
    return json_reply({"totalHits": page.total, "results": await _whole_workflows(request, page)})


async def search_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the attempts of tasks that a query finds."""
    return _reply(await _page(request, SearchFor.TASKS))


async def search_whole_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the attempts of tasks that a query finds, each whole."""
    page = await _page(request, SearchFor.TASKS, size_max=WHOLE_SIZE_MAX)
    known: dict[WorkflowId, WorkflowState | None] = {}
    found: list[JsonObject] = []
    for hit in page.hits:
        named = parse_task_id(hit["taskId"])
        if named is None:
            continue
        workflow_id, seq = named
        if workflow_id not in known:
            known[workflow_id] = await state_anywhere(request, workflow_id)
        state = known[workflow_id]
        if state is not None and seq in state.tasks:
            found.append(task_json(state, graph_of(request, state), state.tasks[seq]))
    return json_reply({"totalHits": page.total, "results": found})


async def _page(request: web.Request, what: SearchFor, *, size_max: int = SEARCH_SIZE_MAX) -> SearchPage:
    query = request.query
    clauses = text_parameter(query, "query")
    if what is SearchFor.WORKFLOWS:
        if boolean_parameter(query, "topLevelOnly", default=False):
            clauses = f'({clauses}) AND parentWorkflowId=""' if clauses else 'parentWorkflowId=""'
        clauses = workflows_within_limits(request, clauses)
    else:
        clauses = tasks_within_limits(request, clauses)
    return await node_of(request).history.search(
        what=what,
        query=clauses,
        free_text=text_parameter(query, "freeText", "*"),
        start=integer_parameter(query, "start", 0),
        size=integer_parameter(query, "size", min(100, size_max), maximum=size_max),
        sort="|".join(part for part in query.getall("sort", []) if part),
    )


async def _whole_workflows(request: web.Request, page: SearchPage) -> list[JsonObject]:
    found: list[JsonObject] = []
    for hit in page.hits:
        state = await state_anywhere(request, WorkflowId(hit["workflowId"]))
        if state is not None:
            found.append(workflow_json(state, graph_of(request, state), include_tasks=False))
    return found


def _reply(page: SearchPage) -> web.Response:
    return json_reply({"totalHits": page.total, "results": page.hits})
