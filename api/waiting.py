"""Waiting until a workflow settles: it has ended, it waits for somebody, or a named task of it has ended.

Holds the watch over a workflow and the sub-workflows that run below it, wherever they live. Must not poll: it looks
again when a decision is in the log. Keeps the invariants that no answer is older than what made the workflow settle,
and that whoever stops waiting leaves no watch behind.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
import orjson
import structlog
from aiohttp import web

from api.errors import ApiError, TryLater
from api.hop import OwnerUnreachable
from api.keys import HOP, node_of
from api.lookup import state_of
from api.wire.workflows import ReturnStrategy, blocking_task, running_children
from engine.ids import RefName, WorkflowId
from engine.json_value import JsonObject
from engine.model import EndedTask, WorkflowState
from engine.status import WORKFLOW_TERMINAL
from streams.errors import StreamsError
from streams.service import NotOwner
from streams.watches import Watching

WAIT_SECONDS: Final = 10
"""Where the caller does not say, or says 0. Source: Conductor."""
WAIT_SECONDS_MAX: Final = 60
"""For one call; whoever wants to wait longer asks again."""
CHILDREN_WATCHED_MAX: Final = 1_000
"""Sub-workflows of one wait. In a later one somebody can be waited for and the caller is not told."""
ELSEWHERE_SECONDS: Final = 20
"""For one question to another process, which is repeated until the wait is over."""
PAUSE_S: Final = 0.05
"""Before a sub-workflow in another process is asked for again, while it has not begun or has no owner."""

_log = structlog.get_logger(__name__)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What a wait came to.

    `blocking` is the workflow in which somebody is waited for, the target itself where nobody is. If it lives in
    another process, `elsewhere` is the SignalResponse from there. `in_time`: it settled before the time was over.
    """

    target: WorkflowState
    blocking: WorkflowState
    elsewhere: JsonObject | None
    in_time: bool


async def settled(
    request: web.Request, workflow_id: WorkflowId, *, refs: Sequence[RefName], strategy: ReturnStrategy, wait_s: float
) -> Settled:
    """Wait until a workflow settles, `wait_s` at most.

    Raises:
        NotFound: nobody knows it.
        NotOwner: another process owns it, now or before it settled.
        HistoryUnavailable: it is not in memory, and the history cannot answer.
    """
    found: WorkflowState | JsonObject | None = None
    try:
        async with asyncio.timeout(wait_s):
            found = await _Wait(request, workflow_id, frozenset(refs), strategy).settles()
    except TimeoutError:
        pass
    target = await state_of(request, workflow_id)
    is_below = isinstance(found, WorkflowState) and found.workflow_id != workflow_id
    return Settled(
        target=target,
        blocking=found if isinstance(found, WorkflowState) and is_below else target,
        elsewhere=found if isinstance(found, dict) else None,
        in_time=found is not None,
    )


class _Wait:
    """One wait over a workflow and what runs below it."""

    def __init__(
        self, request: web.Request, target: WorkflowId, refs: frozenset[RefName], strategy: ReturnStrategy
    ) -> None:
        self._request = request
        self._target = target
        self._refs = refs
        self._strategy = strategy
        self._watched: set[WorkflowId] = {target}
        self._answers: dict[WorkflowId, JsonObject] = {}

    async def settles(self) -> WorkflowState | JsonObject:
        """Return what settles the wait: the target, a workflow below it, or what another process says of one."""
        with node_of(self._request).workflows.watching() as watching:
            async with asyncio.TaskGroup() as group:
                asking: list[asyncio.Task[None]] = []
                try:
                    await watching.add(self._target)
                    found: WorkflowState | JsonObject | Exception = await self._look(watching, group, asking)
                except (ApiError, StreamsError) as error:
                    found = error  # raised below: out of the group it would come wrapped
                for task in asking:
                    task.cancel()
        if isinstance(found, Exception):
            raise found
        return found

    async def _look(
        self, watching: Watching, group: asyncio.TaskGroup, asking: list[asyncio.Task[None]]
    ) -> WorkflowState | JsonObject:
        while True:
            workflow_id = await watching.next()
            if workflow_id in self._answers:
                return self._answers[workflow_id]
            try:
                state = await self._state(workflow_id)
            except NotOwner:
                if workflow_id == self._target:
                    raise
                asking.append(group.create_task(self._ask(workflow_id, watching), name=f"await-{workflow_id}"))
                continue
            if state is None:
                continue  # a sub-workflow that has not begun, or is gone: then its parent is named
            if self._settles(state):
                return state
            for child in running_children(state):
                if child not in self._watched and len(self._watched) <= CHILDREN_WATCHED_MAX:
                    self._watched.add(child)
                    asking.append(group.create_task(self._ask(child, watching), name=f"await-{child}"))

    async def _state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        if workflow_id == self._target:
            return await state_of(self._request, workflow_id)
        return await node_of(self._request).workflows.state(workflow_id)

    def _settles(self, state: WorkflowState) -> bool:
        if state.workflow_id != self._target:
            return blocking_task(state) is not None
        if state.is_terminal or blocking_task(state) is not None:
            return True
        return any(isinstance(state.named(ref), EndedTask) for ref in self._refs)

    async def _ask(self, child: WorkflowId, watching: Watching) -> None:
        """Watch a sub-workflow here, or ask its owner until somebody is waited for in it or it has ended."""
        while True:
            try:
                await watching.add(child)
                return
            except NotOwner as away:
                answer = await ask_owner(self._request, away, strategy=self._strategy)
            if answer is None:
                await asyncio.sleep(PAUSE_S)
            elif answer["targetWorkflowStatus"] in WORKFLOW_TERMINAL:
                return
            elif not answer["signalTimeout"]:
                self._answers[child] = answer
                watching.note(child)
                return


async def ask_owner(
    request: web.Request,
    away: NotOwner,
    *,
    strategy: ReturnStrategy,
    refs: Sequence[RefName] = (),
    request_id: str = "",
    wait_s: float = ELSEWHERE_SECONDS,
) -> JsonObject | None:
    """Have the process that owns a workflow wait for it, `ELSEWHERE_SECONDS` at most, and return its SignalResponse.

    None if it gives none now: nobody is known to own the workflow, or it was not reached, or the workflow is not there.
    """
    if away.url is None:
        return None
    parameters = urlencode(
        {
            "waitForSeconds": max(1, min(ELSEWHERE_SECONDS, round(wait_s))),
            "waitUntilTaskRef": ",".join(refs),
            "returnStrategy": strategy.value,
            "requestId": request_id,
        }
    )
    path = f"/api/workflow/{quote(away.workflow_id, safe='')}/await?{parameters}"
    try:
        answer = await request.config_dict[HOP].call(request, away.url, "GET", path)
    except (OwnerUnreachable, TryLater) as error:
        _log.info("owner_unreachable", owner=away.url, workflow_id=away.workflow_id, error=str(error))
        return None
    response: JsonObject | None = orjson.loads(answer.body) if answer.status == web.HTTPOk.status_code else None
    return response
