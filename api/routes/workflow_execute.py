"""Start and wait: workflows as calls that answer with what they came to.

Must not poll: a caller is woken by the decision that settles its workflow. Keeps the invariants that a request starts
one workflow at most, wherever that is waited for, and that a wait whose time is over is no error: the answer then
shows the workflow as it stands and says so.

Source: Conductor's `WorkflowResource.executeWorkflow`; Orkes' workflows as an API.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, Self

import msgspec
from aiohttp import web

from api.access.permissions import Need
from api.errors import TryLater, error_json
from api.keys import graph_of
from api.lookup import started, workflow_id_of
from api.parameters import REQUEST_ID, RETURN_STRATEGY, VERSION, WAIT_FOR_SECONDS, WAIT_UNTIL_TASK_REF
from api.routing import JSON, Reply, Route, needed, optional, shows
from api.waiting import PAUSE_S, WAIT_SECONDS, ask_owner, settled
from api.wire.operations import StartWorkflowRequest, start_from
from api.wire.outcomes import ErrorResponse
from api.wire.parameters import AllOthers, in_header
from api.wire.reading import integer_from_path, read_object
from api.wire.replies import json_reply
from api.wire.shapes import SignalResponse
from api.wire.workflows import ReturnStrategy, signal_json
from engine.commands import StartWorkflow
from engine.ids import RefName, WorkflowId
from engine.json_value import JsonObject
from engine.status import WORKFLOW_TERMINAL, WorkflowStatus
from streams.service import NotOwner

_LOOK_S: Final = 0.05
"""For a look at a workflow when the time is over already."""
_DONE: Final = 200
_GOES_ON: Final = 202
_NOT_COMPLETED: Final = 422

INPUT: Final = AllOthers(name="input", but=(VERSION.name,), about="The workflow's input, one parameter per member.")
WISH: Final = (WAIT_FOR_SECONDS, WAIT_UNTIL_TASK_REF, REQUEST_ID)


def routes() -> tuple[Route, ...]:
    """Return the routes of synchronous execution."""
    # The answers of workflows that are called: their output is what they make of it.
    which = (("X-Workflow-Id", "The workflow."), ("X-Workflow-Status", "Its status."))
    called = (
        Reply(about="It has completed: its output.", media=JSON, of=JsonObject, headers=which),
        Reply(about="It goes on: its output so far.", status=_GOES_ON, media=JSON, of=JsonObject, headers=which),
        Reply(about="It has ended otherwise.", status=_NOT_COMPLETED, media=JSON, of=ErrorResponse, headers=which),
    )
    stands = shows(SignalResponse, "How the workflow stands.")
    waits = (*WISH, RETURN_STRATEGY)
    wish = (VERSION, *(in_header(part) for part in WISH))
    body = needed(StartWorkflowRequest)
    path = "/api/workflow/execute/{name}"
    return (
        Route.post(f"{path}/{{version}}", execute, Need.OPERATE, takes=waits, body=body, replies=stands),
        Route.post(path, call, Need.OPERATE, takes=wish, body=optional(JsonObject), replies=called),
        Route.get(path, call_by_query, Need.OPERATE, takes=(*wish, INPUT), replies=called),
        Route.get("/api/workflow/{workflowId}/await", await_settled, Need.READ, takes=waits, replies=stands),
    )


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller waits for, and how it wants to be told. `until` is an instant of the monotonic clock."""

    refs: tuple[RefName, ...]
    strategy: ReturnStrategy
    request_id: str
    until: float

    @classmethod
    def of(cls, given: Mapping[str, str], strategy: ReturnStrategy) -> Self:
        """Read a wish from a query, or from headers.

        Raises:
            RequestInvalid: a part of it cannot be read.
        """
        wait_s = WAIT_FOR_SECONDS.of(given) or WAIT_SECONDS
        refs = WAIT_UNTIL_TASK_REF.of(given).split(",")
        return cls(
            refs=tuple(RefName(ref.strip()) for ref in refs if ref.strip()),
            strategy=strategy,
            request_id=REQUEST_ID.of(given),
            until=time.monotonic() + wait_s,
        )

    @property
    def left_s(self) -> float:
        """How long is left to wait."""
        return max(0.0, self.until - time.monotonic())


async def execute(request: web.Request) -> web.Response:
    """Start a workflow, wait until it settles, and answer with what the return strategy wants to see."""
    wish = Wish.of(request.query, RETURN_STRATEGY.of(request.query))
    name = request.match_info["name"]
    version = integer_from_path(request, "version") or None
    command = start_from({**await read_object(request), "name": name, "version": version})
    workflow_id = await started(request, command)
    return json_reply(await _response_anywhere(request, workflow_id, wish))


async def call(request: web.Request) -> web.Response:
    """Call a workflow: its input is the body, the answer its output."""
    return await _called(request, await read_object(request))


async def call_by_query(request: web.Request) -> web.Response:
    """Call a workflow: its input is the query, the answer its output."""
    given: JsonObject = INPUT.of(request.query)
    return await _called(request, given)


async def await_settled(request: web.Request) -> web.Response:
    """Wait until a workflow settles, and answer with what the return strategy wants to see."""
    wish = Wish.of(request.query, RETURN_STRATEGY.of(request.query))
    return json_reply(await response_about(request, workflow_id_of(request), wish))


async def _called(request: web.Request, given: JsonObject) -> web.Response:
    # The wish comes in headers: the query is the workflow's own.
    wish = Wish.of(request.headers, ReturnStrategy.TARGET_WORKFLOW)
    name = request.match_info["name"]
    version = VERSION.of(request.query)
    workflow_id = await started(request, StartWorkflow(name=name, version=version, input=given))
    response = await _response_anywhere(request, workflow_id, wish)
    status = response["targetWorkflowStatus"]
    headers = {"X-Workflow-Id": workflow_id, "X-Workflow-Status": status}
    if status in WORKFLOW_TERMINAL and status != WorkflowStatus.COMPLETED:
        message = (
            f"workflow {workflow_id} ended as {status}: {response.get('reasonForIncompletion', 'no reason given')}"
        )
        return json_reply(error_json(_NOT_COMPLETED, message, code="WORKFLOW_NOT_COMPLETED"), _NOT_COMPLETED, headers)
    return json_reply(response["output"], _DONE if status == WorkflowStatus.COMPLETED else _GOES_ON, headers)


async def response_about(request: web.Request, workflow_id: WorkflowId, wish: Wish) -> JsonObject:
    """Return the SignalResponse about a workflow that lives here.

    Raises:
        NotOwner: it does not, or not any more.
    """
    found = await settled(
        request, workflow_id, refs=wish.refs, strategy=wish.strategy, wait_s=max(_LOOK_S, wish.left_s)
    )
    response = signal_json(
        found.target,
        found.blocking,
        target_graph=graph_of(request, found.target),
        blocking_graph=graph_of(request, found.blocking),
        strategy=wish.strategy,
        request_id=wish.request_id,
    )
    if found.elsewhere is not None and wish.strategy is not ReturnStrategy.TARGET_WORKFLOW:
        about_target = ("responseType", "targetWorkflowId", "targetWorkflowStatus", "requestId")
        response = {**found.elsewhere, **{name: response[name] for name in about_target if name in response}}
    return {**response, "signalTimeout": not found.in_time}


async def _response_anywhere(request: web.Request, workflow_id: WorkflowId, wish: Wish) -> JsonObject:
    """Return the SignalResponse about a workflow that was started for this request, and may have moved since.

    Only the wait is taken up elsewhere: the request as a whole, repeated, would start another workflow.

    Raises:
        TryLater: nobody who owns the workflow has answered in time.
    """
    while True:
        try:
            return await response_about(request, workflow_id, wish)
        except NotOwner as away:
            answer = await ask_owner(
                request,
                away,
                strategy=wish.strategy,
                refs=wish.refs,
                request_id=wish.request_id,
                wait_s=wish.left_s,
            )
        if answer is not None and not (answer["signalTimeout"] and wish.left_s > 1):
            return answer
        if wish.left_s == 0:
            message = f"workflow {workflow_id} has started, and no owner tells how it goes on: ask for its state"
            raise TryLater(message)
        await asyncio.sleep(PAUSE_S)
