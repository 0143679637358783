"""The same action on many workflows.

Must not stop at the first refusal: each workflow's is told beside its id, and the answer stays 200. Keeps the
invariant that every id of the request is in the answer once, among the successful or among the failed.

Source: Conductor's `WorkflowBulkResource`.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from api.access.permissions import Need
from api.errors import ApiError
from api.hop import OwnerUnreachable, is_hopped
from api.keys import HOP
from api.lookup import submit
from api.routing import Route
from api.wire.reading import boolean_parameter, read_ids, text_parameter
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
    return (
        Route.put("/api/workflow/bulk/pause", pause, Need.OPERATE),
        Route.put("/api/workflow/bulk/resume", resume, Need.OPERATE),
        Route.post("/api/workflow/bulk/restart", restart, Need.OPERATE),
        Route.post("/api/workflow/bulk/retry", retry, Need.OPERATE),
        Route.post("/api/workflow/bulk/terminate", terminate, Need.OPERATE),
    )


async def pause(request: web.Request) -> web.Response:
    """Pause each workflow of the body's list."""
    return await _for_each(request, lambda workflow_id: PauseWorkflow(workflow_id=workflow_id), "PUT", "/pause")


async def resume(request: web.Request) -> web.Response:
    """Resume each workflow of the body's list."""
    return await _for_each(request, lambda workflow_id: ResumeWorkflow(workflow_id=workflow_id), "PUT", "/resume")


async def restart(request: web.Request) -> web.Response:
    """Restart each workflow of the body's list."""
    latest = boolean_parameter(request.query, "useLatestDefinitions", default=False)
    return await _for_each(
        request,
        lambda workflow_id: RestartWorkflow(workflow_id=workflow_id, use_latest_definitions=latest),
        "POST",
        f"/restart?useLatestDefinitions={str(latest).lower()}",
    )


async def retry(request: web.Request) -> web.Response:
    """Retry each workflow of the body's list."""
    return await _for_each(request, lambda workflow_id: RetryWorkflow(workflow_id=workflow_id), "POST", "/retry")


async def terminate(request: web.Request) -> web.Response:
    """Terminate each workflow of the body's list."""
    reason = text_parameter(request.query, "reason")
    return await _for_each(
        request,
        lambda workflow_id: TerminateWorkflow(workflow_id=workflow_id, reason=reason or None),
        "DELETE",
        f"?{urlencode({'reason': reason})}",
    )


async def _for_each(
    request: web.Request, command_for: Callable[[WorkflowId], Command], method: str, path_after_id: str
) -> web.Response:
    """Send a command for each id. `method` and `path_after_id` say how another process is asked for the same."""
    ids = await read_ids(request, ids_max=IDS_MAX)
    refusals: dict[str, str] = {}
    at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def send(workflow_id: WorkflowId) -> None:
        async with at_once:
            refusal = await _send(request, command_for(workflow_id), workflow_id, method, path_after_id)
            if refusal:
                refusals[workflow_id] = refusal

    async with asyncio.TaskGroup() as group:
        for text in ids:
            group.create_task(send(WorkflowId(text)))
    return json_reply(bulk_json([text for text in ids if text not in refusals], refusals))


async def _send(
    request: web.Request, command: Command, workflow_id: WorkflowId, method: str, path_after_id: str
) -> str:
    """Send one command, here or to the owner; return why it was refused, "" if it was not."""
    try:
        answer = await submit(request, command)
    except NotOwner as away:
        if away.url is None or is_hopped(request):
            return f"{away}: ask again"
        path = f"/api/workflow/{quote(workflow_id, safe='')}{path_after_id}"
        try:
            told = await request.config_dict[HOP].call(request, away.url, method, path)
        except (OwnerUnreachable, ApiError) as error:
            return f"{away}, which did not answer: {error}; ask again"
        return "" if told.status < web.HTTPBadRequest.status_code else _message_of(told.body)
    except (ApiError, StreamsError) as error:
        return str(error)
    return "" if answer.rejected is None else answer.rejected.reason


def _message_of(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
