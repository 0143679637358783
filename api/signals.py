"""A signal: ending the first task that waits for somebody, in a workflow or in the sub-workflows that run below it.

Holds the descent. Must not know which tasks wait for somebody: the engine does. Keeps the invariant that one
signal ends one task at most, the workflow's own before those of its children, and older children before
younger ones.

Source: Conductor's `WorkflowExecutorOps.signal`.
"""

from urllib.parse import quote

import orjson
from aiohttp import web

from api.errors import Refused, TryLater
from api.hop import OwnerUnreachable
from api.keys import HOP, node_of
from api.lookup import submit
from api.wire.workflows import running_children
from engine.commands import UpdateTaskByRef
from engine.ids import WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState
from engine.rejections import RejectionCode
from engine.status import TaskStatus
from streams.service import NotOwner

_NOTHING_WAITS = frozenset({RejectionCode.TASK_NOT_FOUND, RejectionCode.WORKFLOW_NOT_FOUND})


async def signal(
    request: web.Request, workflow_id: WorkflowId, status: TaskStatus, output: JsonObject
) -> WorkflowState | None:
    """End the first waiting task; return the workflow that it belonged to, None if none waits.

    Of a task that another process owns, the nearest ancestor that lives here is returned.

    Raises:
        Refused: there is no such workflow.
        NotOwner: the workflow lives in another process.
    """
    workflows = node_of(request).workflows
    waiting: list[WorkflowId] = [workflow_id]
    nearest: WorkflowState | None = None
    while waiting:
        asked = waiting.pop()
        command = UpdateTaskByRef(workflow_id=asked, ref_name=None, status=status, output=output)
        try:
            answer = await submit(request, command)
            state = await workflows.state(asked)
        except NotOwner as away:
            if asked == workflow_id:
                raise
            if await _signalled_elsewhere(request, away, status, output):
                return nearest
            continue
        if answer.rejected is None:
            return answer.state
        if answer.rejected.code not in _NOTHING_WAITS or (state is None and asked == workflow_id):
            raise Refused(answer.rejected)
        if state is not None:
            nearest = state
            waiting.extend(reversed(running_children(state)))
    return None


async def _signalled_elsewhere(request: web.Request, away: NotOwner, status: TaskStatus, output: JsonObject) -> bool:
    """Signal a sub-workflow at its owner, who goes on below it; tell whether a task ended."""
    if away.url is None:
        message = f"{away}, so it cannot be signalled: ask again"
        raise TryLater(message)
    path = f"/api/tasks/{quote(away.workflow_id, safe='')}/{status.value}/signal/sync"
    try:
        answer = await request.config_dict[HOP].call(
            request,
            away.url,
            "POST",
            path,
            body=orjson.dumps(output),
            headers={"Content-Type": "application/json"},
        )
    except OwnerUnreachable as error:
        message = f"{away}, which cannot be reached: {error}; ask again"
        raise TryLater(message) from error
    if answer.status == web.HTTPNotFound.status_code:
        return False
    if answer.status != web.HTTPOk.status_code:
        message = f"{away}, which answered {answer.status} to a signal: ask again"
        raise TryLater(message)
    return True
