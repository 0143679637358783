"""The same action on many workflows.

Must not stop at the first refusal: each workflow's is told beside its id, and the answer stays 200. Keeps the
invariant that every id of the request is in the answer once, among the successful or among the failed.

Source: Conductor's `WorkflowBulkResource`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from api.access.permissions import Need
from api.errors import ApiError
from api.hop import OwnerUnreachable, is_hopped
from api.keys import HOP
from api.lookup import submit
from api.parameters import (
    ARCHIVE_WORKFLOW,
    REASON,
    RESUME_SUBWORKFLOW_TASKS,
    TRIGGER_FAILURE_WORKFLOW,
    USE_LATEST_DEFINITIONS,
)
from api.routes.workflow_changes import remove_workflow
from api.routing import Route, needed, shows
from api.wire.outcomes import BulkResponse
from api.wire.reading import read_ids
from api.wire.replies import json_reply
from api.wire.workflows import bulk_json
from engine.commands import (
    Command,
    PauseWorkflow,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    TerminateWorkflow,
)
from engine.ids import WorkflowId
from streams.errors import StreamsError
from streams.service import NotOwner

IDS_MAX: Final = 1_000
"""Of one request. Source: Conductor."""
AT_ONCE_MAX: Final = 64
"""Commands of one request that wait for their decisions together."""


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/workflow/bulk`."""
    ids, told = needed(list[str]), shows(BulkResponse, "How it went for each id.")
    latest, descend = (USE_LATEST_DEFINITIONS,), (RESUME_SUBWORKFLOW_TASKS,)
    ends, ends_and_goes = (REASON, TRIGGER_FAILURE_WORKFLOW), (REASON, ARCHIVE_WORKFLOW)
    path = "/api/workflow/bulk"
    return (
        Route.put(f"{path}/pause", pause, Need.OPERATE, body=ids, replies=told),
        Route.put(f"{path}/resume", resume, Need.OPERATE, body=ids, replies=told),
        Route.post(f"{path}/restart", restart, Need.OPERATE, takes=latest, body=ids, replies=told),
        Route.post(f"{path}/retry", retry, Need.OPERATE, takes=descend, body=ids, replies=told),
        Route.post(f"{path}/terminate", terminate, Need.OPERATE, takes=ends, body=ids, replies=told),
        Route.delete(f"{path}/remove", remove, Need.OPERATE, takes=(ARCHIVE_WORKFLOW,), body=ids, replies=told),
        Route.post(f"{path}/delete", remove, Need.OPERATE, takes=(ARCHIVE_WORKFLOW,), body=ids, replies=told),
        Route.delete(
            f"{path}/terminate-remove", terminate_and_remove, Need.OPERATE, takes=ends_and_goes, body=ids, replies=told
        ),
    )


async def pause(request: web.Request) -> web.Response:
    """Pause each workflow of the body's list."""
    return await _for_each(request, lambda workflow_id: PauseWorkflow(workflow_id=workflow_id), "PUT", "/pause")


async def resume(request: web.Request) -> web.Response:
    """Resume each workflow of the body's list."""
    return await _for_each(request, lambda workflow_id: ResumeWorkflow(workflow_id=workflow_id), "PUT", "/resume")


async def restart(request: web.Request) -> web.Response:
    """Restart each workflow of the body's list."""
    latest = USE_LATEST_DEFINITIONS.of(request.query)
    return await _for_each(
        request,
        lambda workflow_id: RestartWorkflow(workflow_id=workflow_id, use_latest_definitions=latest),
        "POST",
        f"/restart?useLatestDefinitions={str(latest).lower()}",
    )


async def retry(request: web.Request) -> web.Response:
    """Retry each workflow of the body's list."""
    resume = RESUME_SUBWORKFLOW_TASKS.of(request.query)
    return await _for_each(
        request,
        lambda workflow_id: RetryWorkflow(workflow_id=workflow_id, resume_subworkflow_tasks=resume),
        "POST",
        f"/retry?resumeSubworkflowTasks={str(resume).lower()}",
    )


async def terminate(request: web.Request) -> web.Response:
    """Terminate each workflow of the body's list."""
    reason = REASON.of(request.query)
    compensate = TRIGGER_FAILURE_WORKFLOW.of(request.query)
    return await _for_each(
        request,
        lambda workflow_id: TerminateWorkflow(
            workflow_id=workflow_id, reason=reason or None, trigger_failure_workflow=compensate
        ),
        "DELETE",
        f"?{urlencode({'reason': reason, 'triggerFailureWorkflow': str(compensate).lower()})}",
    )


async def remove(request: web.Request) -> web.Response:
    """Forget each ended workflow of the body's list; history too, unless they are archived."""
    archive = ARCHIVE_WORKFLOW.of(request.query)
    path = f"/remove?archiveWorkflow={str(archive).lower()}"
    return await _each(request, lambda workflow_id: _removed(request, workflow_id, path, archive=archive))


async def terminate_and_remove(request: web.Request) -> web.Response:
    """Terminate each workflow of the body's list that has not ended, then forget it."""
    archive = ARCHIVE_WORKFLOW.of(request.query)
    reason = REASON.of(request.query)
    path = f"/remove?archiveWorkflow={str(archive).lower()}"

    async def end(workflow_id: WorkflowId) -> str:
        command = TerminateWorkflow(workflow_id=workflow_id, reason=reason or None)
        refusal = await _send(request, command, workflow_id, "DELETE", f"?{urlencode({'reason': reason})}")
        removal = await _removed(request, workflow_id, path, archive=archive)
        return (refusal or removal) if removal else ""  # one that had completed needs no end

    return await _each(request, end)


async def _removed(request: web.Request, workflow_id: WorkflowId, path: str, *, archive: bool) -> str:
    """Forget one workflow, here or at its owner; return why that was refused."""
    try:
        await remove_workflow(request, workflow_id, archive=archive)
    except NotOwner as away:
        return await _elsewhere(request, away, workflow_id, "DELETE", path)
    except (ApiError, StreamsError) as error:
        return str(error)
    return ""


async def _for_each(
    request: web.Request, command_for: Callable[[WorkflowId], Command], method: str, path_after_id: str
) -> web.Response:
    """Send a command for each id. `method` and `path_after_id` say how another process is asked for the same."""

    async def send(workflow_id: WorkflowId) -> str:
        return await _send(request, command_for(workflow_id), workflow_id, method, path_after_id)

    return await _each(request, send)


async def _each(request: web.Request, act: Callable[[WorkflowId], Awaitable[str]]) -> web.Response:
    """Do something for each id of the body; `act` returns why it was refused, "" if it was not."""
    ids = await read_ids(request, ids_max=IDS_MAX)
    refusals: dict[str, str] = {}
    at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def take(workflow_id: WorkflowId) -> None:
        async with at_once:
            refusal = await act(workflow_id)
            if refusal:
                refusals[workflow_id] = refusal

    async with asyncio.TaskGroup() as group:
        for text in ids:
            group.create_task(take(WorkflowId(text)))
    return json_reply(bulk_json([text for text in ids if text not in refusals], refusals))


async def _send(
    request: web.Request, command: Command, workflow_id: WorkflowId, method: str, path_after_id: str
) -> str:
    """Send one command, here or to the owner; return why it was refused, "" if it was not."""
    try:
        answer = await submit(request, command)
    except NotOwner as away:
        return await _elsewhere(request, away, workflow_id, method, path_after_id)
    except (ApiError, StreamsError) as error:
        return str(error)
    return "" if answer.rejected is None else answer.rejected.reason


async def _elsewhere(
    request: web.Request, away: NotOwner, workflow_id: WorkflowId, method: str, path_after_id: str
) -> str:
    if away.url is None or is_hopped(request):
        return f"{away}: ask again"
    path = f"/api/workflow/{quote(workflow_id, safe='')}{path_after_id}"
    try:
        told = await request.config_dict[HOP].call(request, away.url, method, path)
    except (OwnerUnreachable, ApiError) as error:
        return f"{away}, which did not answer: {error}; ask again"
    return "" if told.status < web.HTTPBadRequest.status_code else _message_of(told.body)


def _message_of(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
