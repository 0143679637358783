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
from api.parameters import START
from api.routing import Route, shows
from api.wire.parameters import Flag, Integer, Text, Texts
from api.wire.replies import json_reply
from api.wire.shapes import TaskPage, TaskSummaryPage, WorkflowPage, WorkflowSummaryPage
from api.wire.workflows import task_json, workflow_json
from engine.ids import WorkflowId, parse_task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState
from streams.service import SearchFor, SearchPage

SEARCH_SIZE_MAX: Final = 5_000
"""Hits of one answer. Source: Conductor."""
WHOLE_SIZE_MAX: Final = 500
"""Hits of one answer that shows each whole: every workflow is looked up."""

QUERY: Final = Text(name="query", about="Conditions with AND, OR and parentheses; everything if absent.")
FREE_TEXT: Final = Text(name="freeText", default="*", about="Words that the input, the output or the reason must hold.")
SORT: Final = Texts(name="sort", about="A field and `:ASC` or `:DESC`; several with `|` between, or one by one.")
SIZE: Final = Integer(name="size", default=100, maximum=SEARCH_SIZE_MAX, about="How many to answer with at most.")
WHOLE_SIZE: Final = Integer(name="size", default=100, maximum=WHOLE_SIZE_MAX, about=SIZE.about)
TOP_LEVEL_ONLY: Final = Flag(name="topLevelOnly", about="Leave out sub-workflows.")


def routes() -> tuple[Route, ...]:
    """Return the routes of searches."""
    listed = (QUERY, FREE_TEXT, START, SIZE, SORT)
    whole = (QUERY, FREE_TEXT, START, WHOLE_SIZE, SORT)
    summaries = shows(WorkflowSummaryPage, "A page of workflows.")
    workflows = shows(WorkflowPage, "A page of workflows, without their tasks.")
    task_summaries = shows(TaskSummaryPage, "A page of attempts.")
    tasks = shows(TaskPage, "A page of attempts, whole.")
    path = "/api/workflow/search"
    return (
        Route.get(path, search_workflows, Need.READ, takes=(*listed, TOP_LEVEL_ONLY), replies=summaries),
        Route.get(f"{path}-v2", search_whole_workflows, Need.READ, takes=(*whole, TOP_LEVEL_ONLY), replies=workflows),
        Route.get(f"{path}-by-tasks", search_workflows_by_tasks, Need.READ, takes=listed, replies=summaries),
        Route.get(f"{path}-by-tasks-v2", search_whole_workflows_by_tasks, Need.READ, takes=whole, replies=workflows),
        Route.get("/api/tasks/search", search_tasks, Need.READ, takes=listed, replies=task_summaries),
        Route.get("/api/tasks/search-v2", search_whole_tasks, Need.READ, takes=whole, replies=tasks),
    )


async def search_workflows(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that a query finds."""
    return _reply(await _page(request, SearchFor.WORKFLOWS, SIZE, top_level_only=TOP_LEVEL_ONLY.of(request.query)))


async def search_whole_workflows(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that a query finds, each whole but for its tasks."""
    top_level_only = TOP_LEVEL_ONLY.of(request.query)
    page = await _page(request, SearchFor.WORKFLOWS, WHOLE_SIZE, top_level_only=top_level_only)
    return json_reply({"totalHits": page.total, "results": await _whole_workflows(request, page)})


async def search_workflows_by_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that have a task which a query for tasks finds."""
    return _reply(await _page(request, SearchFor.WORKFLOWS_BY_TASKS, SIZE))


async def search_whole_workflows_by_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the workflows that have a task which a query finds, each whole but for its tasks."""
    page = await _page(request, SearchFor.WORKFLOWS_BY_TASKS, WHOLE_SIZE)
    return json_reply({"totalHits": page.total, "results": await _whole_workflows(request, page)})


async def search_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the attempts of tasks that a query finds."""
    return _reply(await _page(request, SearchFor.TASKS, SIZE))


async def search_whole_tasks(request: web.Request) -> web.Response:
    """Answer with a page of the attempts of tasks that a query finds, each whole."""
    page = await _page(request, SearchFor.TASKS, WHOLE_SIZE)
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


async def _page(request: web.Request, what: SearchFor, size: Integer, *, top_level_only: bool = False) -> SearchPage:
    query = request.query
    clauses = QUERY.of(query)
    if what is SearchFor.WORKFLOWS:
        if top_level_only:
            clauses = f'({clauses}) AND parentWorkflowId=""' if clauses else 'parentWorkflowId=""'
        clauses = workflows_within_limits(request, clauses)
    else:
        clauses = tasks_within_limits(request, clauses)
    return await node_of(request).history.search(
        what=what,
        query=clauses,
        free_text=FREE_TEXT.of(query),
        start=START.of(query),
        size=size.of(query),
        sort="|".join(part for part in SORT.of(query) if part),
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
