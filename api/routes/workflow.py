"""Workflows: start, look, act.

Must not hold rules of workflows: each action is a command, and a refusal comes back with its own words. Keeps
the invariant that whoever was answered a workflow id finds that workflow at once.

Source: Conductor's `WorkflowResource`.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from api.access.guard import check_workflow
from api.access.permissions import Need
from api.correlation import CORRELATED_MAX, correlated, running
from api.errors import RequestInvalid
from api.keys import graph_of, node_of
from api.lookup import accepted, act, started, state_of, submit, workflow_id_of
from api.parameters import (
    REASON,
    RESUME_SUBWORKFLOW_TASKS,
    START,
    TRIGGER_FAILURE_WORKFLOW,
    USE_LATEST_DEFINITIONS,
    VERSION,
)
from api.routing import DONE, NO_CONTENT, Declared, Route, needed, optional, shows, tells
from api.wire import shapes
from api.wire.operations import (
    PRIORITY_MAX,
    SKIP_PARAMETERS,
    SkipTaskRequest,
    StartWorkflowRequest,
    skip_from,
    start_from,
)
from api.wire.parameters import INSTANT_MAX, Choices, Flag, Integer, OptionalInteger, Text
from api.wire.reading import read_ids, read_object
from api.wire.replies import empty_reply, json_reply, no_content, text_reply
from api.wire.violations import Wire, validated
from api.wire.waiting import add_waits
from api.wire.workflows import status_json, task_json, workflow_json
from engine.commands import (
    EvaluateWorkflow,
    PauseWorkflow,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    SendMessage,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.ids import RefName
from engine.json_value import JsonObject
from engine.model import WorkflowState, status_of
from engine.status import TaskStatus
from streams.instants import epoch_ms

CORRELATION_ID: Final = Text(name="correlationId", about="An id of the caller's own, to find the workflow by.")
PRIORITY: Final = Integer(name="priority", default=0, maximum=PRIORITY_MAX, about="Kept with the workflow, and shown.")
INCLUDE_TASKS: Final = Flag(name="includeTasks", default=True, about="Show the tasks.")
WITH_TASKS: Final = Flag(name="includeTasks", about="Show the tasks.")
INCLUDE_OUTPUT: Final = Flag(name="includeOutput", about="Show the output.")
INCLUDE_VARIABLES: Final = Flag(name="includeVariables", about="Show the variables.")
INCLUDE_CLOSED: Final = Flag(name="includeClosed", about="Also those that have ended.")
COUNT: Final = Integer(name="count", default=15, about="How many to answer with at most.")
STATUSES: Final = Choices(name="status", among=TaskStatus, about="Only tasks of these statuses; all if absent.")
MESSAGE_ID: Final = Text(name="messageId", about="The same id a second time is the same message. Made if absent.")
RUNNING_VERSION: Final = Integer(name="version", default=1, about="Of the definition; not looked at with both times.")
BEGUN_AFTER: Final = OptionalInteger(name="startTime", maximum=INSTANT_MAX, about="Begun then or later, in epoch ms.")
BEGUN_BEFORE: Final = OptionalInteger(name="endTime", maximum=INSTANT_MAX, about="Begun then or earlier, in epoch ms.")


class CorrelatedRequest(Wire):
    """Which workflows, by correlation ids and names."""

    correlation_ids: tuple[str, ...] = ()
    workflow_names: tuple[str, ...] = ()


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/workflow`."""
    return (*_found(), *_single())


def _single() -> tuple[Route, ...]:
    started = tells("The workflow's id.")
    status = shows(shapes.WorkflowState, "Its status.")
    tasks = shows(shapes.TaskPage, "A page of its attempts.")
    done = Declared(replies=(DONE,))
    ends = (REASON, TRIGGER_FAILURE_WORKFLOW)
    latest = Declared(takes=(USE_LATEST_DEFINITIONS,), replies=(NO_CONTENT,))
    descend = Declared(takes=(RESUME_SUBWORKFLOW_TASKS,), replies=(NO_CONTENT,))
    message = Declared(takes=(MESSAGE_ID,), body=optional(JsonObject), replies=tells("The message's id."))
    skip = Declared(takes=SKIP_PARAMETERS, body=optional(SkipTaskRequest), replies=(DONE,))
    named = Declared(takes=(VERSION, CORRELATION_ID, PRIORITY), body=optional(JsonObject), replies=started)
    whole = Declared(takes=(INCLUDE_TASKS,), replies=shows(shapes.Workflow, "The workflow."))
    path = "/api/workflow/{workflowId}"
    return (
        Route.post("/api/workflow", start, Need.OPERATE, body=needed(StartWorkflowRequest), replies=started),
        Route.put("/api/workflow/decide/{workflowId}", decide, Need.OPERATE, **done),
        Route.post("/api/workflow/{name}", start_by_name, Need.OPERATE, **named),
        Route.get(path, get, Need.READ, **whole),
        Route.delete(path, terminate, Need.OPERATE, takes=ends, replies=(DONE,)),
        Route.get(f"{path}/status", get_status, Need.READ, takes=(INCLUDE_OUTPUT, INCLUDE_VARIABLES), replies=status),
        Route.get(f"{path}/tasks", list_tasks, Need.READ, takes=(START, COUNT, STATUSES), replies=tasks),
        Route.put(f"{path}/pause", pause, Need.OPERATE, **done),
        Route.put(f"{path}/resume", resume, Need.OPERATE, **done),
        Route.post(f"{path}/restart", restart, Need.OPERATE, **latest),
        Route.post(f"{path}/retry", retry, Need.OPERATE, **descend),
        Route.post(f"{path}/messages", send_message, Need.OPERATE, **message),
        Route.put(f"{path}/skiptask/{{taskRefName}}", skip_task, Need.OPERATE, **skip),
    )


def _found() -> tuple[Route, ...]:
    takes = (INCLUDE_CLOSED, WITH_TASKS)
    by_id = shows(dict[str, list[shapes.Workflow]], "The workflows of each correlation id.")
    running_takes = (RUNNING_VERSION, BEGUN_AFTER, BEGUN_BEFORE)
    ids, workflows = shows(list[str], "Their ids."), shows(list[shapes.Workflow], "The workflows, oldest first.")
    batch = Declared(takes=takes, body=needed(CorrelatedRequest), replies=by_id)
    many = Declared(takes=takes, body=needed(list[str]), replies=by_id)
    one = "/api/workflow/{name}/correlated/{correlationId}"
    return (
        Route.get("/api/workflow/running/{name}", list_running, Need.READ, takes=running_takes, replies=ids),
        Route.post("/api/workflow/correlated/batch", list_correlated_in_batch, Need.READ, **batch),
        Route.post("/api/workflow/{name}/correlated", list_correlated_of_many, Need.READ, **many),
        Route.get(one, list_correlated, Need.READ, takes=takes, replies=workflows),
    )


async def start(request: web.Request) -> web.Response:
    """Start a workflow; answer with its id."""
    return text_reply(await started(request, start_from(await read_object(request))))


async def start_by_name(request: web.Request) -> web.Response:
    """Start a workflow whose name is in the path and whose input is the body; answer with its id."""
    query = request.query
    command = StartWorkflow(
        name=request.match_info["name"],
        version=VERSION.of(query),
        correlation_id=CORRELATION_ID.of(query) or None,
        priority=PRIORITY.of(query),
        input=await read_object(request),
    )
    return text_reply(await started(request, command))


async def get(request: web.Request) -> web.Response:
    """Answer with a workflow, its tasks included unless told otherwise."""
    include_tasks = INCLUDE_TASKS.of(request.query)
    state = await state_of(request, workflow_id_of(request))
    graph = graph_of(request, state)
    wire = workflow_json(state, graph, include_tasks=include_tasks)
    if not state.is_terminal:
        add_waits(wire, state, graph, now_ms=epoch_ms(), last_poll=node_of(request).polls.last_poll_ms)
    return json_reply(wire)


async def get_status(request: web.Request) -> web.Response:
    """Answer with the status of a workflow; with its output and variables if asked for."""
    query = request.query
    state = await state_of(request, workflow_id_of(request))
    return json_reply(
        status_json(
            state,
            include_output=INCLUDE_OUTPUT.of(query),
            include_variables=INCLUDE_VARIABLES.of(query),
        )
    )


async def list_tasks(request: web.Request) -> web.Response:
    """Answer with a page of a workflow's tasks, of the given statuses only if any are given."""
    query = request.query
    first = START.of(query)
    count = COUNT.of(query)
    wanted = STATUSES.of(query)
    state = await state_of(request, workflow_id_of(request))
    tasks = [state.tasks[seq] for seq in sorted(state.tasks)]
    if wanted:
        tasks = [task for task in tasks if status_of(task) in wanted]
    graph = graph_of(request, state)
    page = [task_json(state, graph, task) for task in tasks[first : first + count]]
    return json_reply({"totalHits": len(tasks), "results": page})


async def decide(request: web.Request) -> web.Response:
    """Have a workflow looked at. Kept for clients that used to need it: nothing waits for this call."""
    await act(request, EvaluateWorkflow(workflow_id=workflow_id_of(request)))
    return empty_reply()


async def pause(request: web.Request) -> web.Response:
    """Schedule nothing new until the workflow is resumed."""
    await act(request, PauseWorkflow(workflow_id=workflow_id_of(request)))
    return empty_reply()


async def resume(request: web.Request) -> web.Response:
    """Go on after a pause."""
    await act(request, ResumeWorkflow(workflow_id=workflow_id_of(request)))
    return empty_reply()


async def restart(request: web.Request) -> web.Response:
    """Run an ended workflow again from its beginning."""
    latest = USE_LATEST_DEFINITIONS.of(request.query)
    await act(request, RestartWorkflow(workflow_id=workflow_id_of(request), use_latest_definitions=latest))
    return no_content()


async def retry(request: web.Request) -> web.Response:
    """Give what failed a further attempt."""
    descend = RESUME_SUBWORKFLOW_TASKS.of(request.query)
    await act(request, RetryWorkflow(workflow_id=workflow_id_of(request), resume_subworkflow_tasks=descend))
    return no_content()


async def skip_task(request: web.Request) -> web.Response:
    """Step over a task that has not been scheduled yet."""
    await act(
        request,
        skip_from(
            workflow_id_of(request),
            RefName(request.match_info["taskRefName"]),
            await read_object(request),
            request.query,
        ),
    )
    return empty_reply()


async def send_message(request: web.Request) -> web.Response:
    """Send a workflow a message; answer with its id. The same `messageId` a second time is the same message."""
    message_id = MESSAGE_ID.of(request.query) or str(uuid.uuid4())
    payload = await read_object(request)
    command = SendMessage(workflow_id=workflow_id_of(request), message_id=message_id, payload=payload)
    accepted(await submit(request, command))
    return text_reply(message_id)


async def terminate(request: web.Request) -> web.Response:
    """End a workflow as TERMINATED."""
    query = request.query
    await act(
        request,
        TerminateWorkflow(
            workflow_id=workflow_id_of(request),
            reason=REASON.of(query) or None,
            trigger_failure_workflow=TRIGGER_FAILURE_WORKFLOW.of(query),
        ),
    )
    return empty_reply()


async def list_running(request: web.Request) -> web.Response:
    """Answer with the ids of the running workflows of a name; with both times given, of all that began between them."""
    query = request.query
    begun_after_ms = BEGUN_AFTER.of(query)
    begun_before_ms = BEGUN_BEFORE.of(query)
    check_workflow(request, request.match_info["name"])
    return json_reply(
        await running(
            request,
            request.match_info["name"],
            version=RUNNING_VERSION.of(query),
            window=None if begun_after_ms is None or begun_before_ms is None else (begun_after_ms, begun_before_ms),
        )
    )


async def list_correlated(request: web.Request) -> web.Response:
    """Answer with the workflows of a name and a correlation id; with the ended ones if asked for."""
    check_workflow(request, request.match_info["name"])
    found = await correlated(
        request,
        request.match_info["name"],
        request.match_info["correlationId"],
        include_closed=INCLUDE_CLOSED.of(request.query),
    )
    return json_reply(_rendered(request, found))


async def list_correlated_of_many(request: web.Request) -> web.Response:
    """Answer with a map from each correlation id of the body to the workflows of a name that carry it."""
    include_closed = INCLUDE_CLOSED.of(request.query)
    name = request.match_info["name"]
    check_workflow(request, name)
    found: dict[str, list[JsonObject]] = {}
    for correlation_id in await read_ids(request, ids_max=CORRELATED_MAX):
        states = await correlated(request, name, correlation_id, include_closed=include_closed)
        found[correlation_id] = _rendered(request, states)
    return json_reply(found)


async def list_correlated_in_batch(request: web.Request) -> web.Response:
    """Answer with a map from each correlation id to the workflows, of any of the names, that carry it."""
    include_closed = INCLUDE_CLOSED.of(request.query)
    wanted = validated(CorrelatedRequest, await read_object(request))
    if len(wanted.correlation_ids) * len(wanted.workflow_names) > CORRELATED_MAX:
        message = f"correlationIds times workflowNames must be at most {CORRELATED_MAX}; ask in several calls"
        raise RequestInvalid(message)
    for name in wanted.workflow_names:
        check_workflow(request, name)
    found: dict[str, list[JsonObject]] = {}
    for correlation_id in dict.fromkeys(wanted.correlation_ids):
        found[correlation_id] = []
        for name in dict.fromkeys(wanted.workflow_names):
            states = await correlated(request, name, correlation_id, include_closed=include_closed)
            found[correlation_id] += _rendered(request, states)
    return json_reply(found)


def _rendered(request: web.Request, states: Sequence[WorkflowState]) -> list[JsonObject]:
    include_tasks = WITH_TASKS.of(request.query)
    return [workflow_json(state, graph_of(request, state), include_tasks=include_tasks) for state in states]
