"""Tasks, as workers and people see them: polls, results, signals.

Must not hold tasks: the node's poll queues do. Keeps two invariants for workers: a poll answers with tasks or
with none, never with a server error, because clients then back off for minutes; and a result is answered with
200 as soon as it is durable, whoever owns its workflow, because clients lose a result that is refused four
times.

Source: Conductor's `TaskResource`.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web

from api.access.guard import check_task, principal_of
from api.access.permissions import Need
from api.errors import NotFound, Refused, TryLater
from api.hop import OwnerUnreachable, is_hopped
from api.keys import HOP, graph_of, node_of
from api.lookup import accepted, state_of, submit, workflow_id_of
from api.parameters import DOMAIN, REQUEST_ID, RETURN_STRATEGY
from api.routing import DONE, NO_CONTENT, Declared, Route, needed, optional, shows, tells
from api.signals import signal
from api.wire.parameters import Integer, Text
from api.wire.reading import read_json, read_object
from api.wire.replies import empty_reply, json_reply, no_content, text_reply
from api.wire.shapes import SignalResponse, Task, Workflow
from api.wire.task_results import TaskResult, result_status_from, task_result_from
from api.wire.workflows import open_task_of, signal_json, task_json, workflow_json
from engine.commands import ReportTaskResult, UpdateTaskByRef
from engine.ids import RefName, parse_task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState, status_of
from engine.rejections import RejectionCode
from engine.status import TASK_TERMINAL
from streams.errors import StreamsError
from streams.service import Answer, DecisionTimeout, NotOwner, PolledElsewhere

POLL_COUNT_MAX: Final = 1_000
"""Tasks in one answer. More than a worker can hold; a larger `count` is cut to it."""
POLL_TIMEOUT_MS_MAX: Final = 5_000
"""Conductor's: a longer wait is refused."""
SINGLE_POLL_TIMEOUT_MS: Final = 100

WORKER_ID: Final = Text(name="workerid", about="The worker's name.")
WORKER_ID_TOO: Final = Text(name="workerId", about="The same, as some clients spell it.")
COUNT: Final = Integer(
    name="count", default=1, about=f"How many tasks at most; no more than {POLL_COUNT_MAX} are given."
)
TIMEOUT_MS: Final = Integer(
    name="timeout",
    default=SINGLE_POLL_TIMEOUT_MS,
    maximum=POLL_TIMEOUT_MS_MAX,
    about="How long to wait for the first task, in milliseconds.",
)

_log = structlog.get_logger(__name__)


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/tasks`. `signal` stands before the update by name, whose pattern covers it."""
    worker = (WORKER_ID, WORKER_ID_TOO)
    one = Declared(
        busy=True, takes=(*worker, DOMAIN), replies=shows(Task, "A task, claimed for the worker.", NO_CONTENT)
    )
    batch = Declared(
        busy=True, takes=(*worker, DOMAIN, COUNT, TIMEOUT_MS), replies=shows(list[Task], "Tasks, claimed.")
    )
    result, output = needed(TaskResult), optional(JsonObject)
    id_told, freed = tells("The task's id."), shows(Task, "The next task, claimed for the worker.", NO_CONTENT)
    shown = shows(Workflow, "The workflow.")
    signalled = Declared(
        takes=(RETURN_STRATEGY, REQUEST_ID),
        body=output,
        replies=shows(SignalResponse, "How the workflow stands."),
    )
    ended = tells("The task's id; no body where none was open.")
    path = "/api/tasks/{workflowId}/{status}/signal"
    by_ref = "/api/tasks/{workflowId}/{taskRefName}/{status}"
    return (
        Route.get("/api/tasks/poll/{taskType}", poll, Need.WORK, **one),
        Route.get("/api/tasks/poll/batch/{taskType}", poll_batch, Need.WORK, **batch),
        Route.post("/api/tasks", update, Need.WORK, busy=True, body=result, replies=id_told),
        Route.post("/api/tasks/update-v2", update_and_poll, Need.WORK, busy=True, body=result, replies=freed),
        Route.post(path, signal_workflow, Need.OPERATE, body=output, replies=(DONE,)),
        Route.post(f"{path}/sync", signal_and_show, Need.OPERATE, **signalled),
        Route.post(by_ref, update_by_ref, Need.OPERATE, takes=worker, body=output, replies=ended),
        Route.post(f"{by_ref}/sync", update_by_ref_and_show, Need.OPERATE, takes=worker, body=output, replies=shown),
        Route.get("/api/tasks/{taskId}", get_task, Need.READ, replies=shows(Task, "The attempt.")),
    )


async def poll(request: web.Request) -> web.Response:
    """Answer with one task, or 204."""
    query = request.query
    try:
        tasks = await _polled(
            request,
            request.match_info["taskType"],
            worker_id=_worker_id(request),
            domain=DOMAIN.of(query),
            count=1,
            timeout_ms=SINGLE_POLL_TIMEOUT_MS,
            here=is_hopped(request),
        )
    except PolledElsewhere as elsewhere:
        return await _polled_elsewhere(request, elsewhere) or no_content()
    return json_reply(tasks[0]) if tasks else no_content()


async def poll_batch(request: web.Request) -> web.Response:
    """Answer with the list of tasks, which may be empty."""
    query = request.query
    try:
        tasks = await _polled(
            request,
            request.match_info["taskType"],
            worker_id=_worker_id(request),
            domain=DOMAIN.of(query),
            count=min(COUNT.of(query), POLL_COUNT_MAX),
            timeout_ms=TIMEOUT_MS.of(query),
            here=is_hopped(request),
        )
    except PolledElsewhere as elsewhere:
        return await _polled_elsewhere(request, elsewhere) or json_reply([])
    return json_reply(tasks)


async def update(request: web.Request) -> web.Response:
    """Take a worker's result; answer with the task's id."""
    command = task_result_from(await read_json(request))
    answer = await _reported(request, command)
    return answer if isinstance(answer, web.Response) else text_reply(command.task_id)


async def update_and_poll(request: web.Request) -> web.Response:
    """Take a worker's result; answer with the next task of the same queue if the worker is free now, else 204."""
    command = task_result_from(await read_json(request))
    answer = await _reported(request, command)
    if isinstance(answer, web.Response):
        return answer
    queue = _freed_queue(command, answer)
    if queue is None:
        return no_content()
    task_type, domain = queue
    tasks = await _polled(
        request, task_type, worker_id=command.worker_id or "", domain=domain, count=1, timeout_ms=0, here=True
    )
    return json_reply(tasks[0]) if tasks else no_content()


async def update_by_ref(request: web.Request) -> web.Response:
    """End the open task of a reference name; answer with its id, or with nothing where none is open."""
    state, command = await _update_by_ref(request)
    task = open_task_of(state, RefName(request.match_info["taskRefName"]))
    answer = await submit(request, command)
    if answer.rejected is not None and answer.rejected.code is RejectionCode.TASK_NOT_FOUND:
        return empty_reply()
    accepted(answer)
    return empty_reply() if task is None else text_reply(f"{state.workflow_id}~{task.spec.seq}")


async def update_by_ref_and_show(request: web.Request) -> web.Response:
    """End the open task of a reference name; answer with the workflow."""
    _, command = await _update_by_ref(request)
    state = accepted(await submit(request, command))
    return json_reply(workflow_json(state, graph_of(request, state)))


async def signal_workflow(request: web.Request) -> web.Response:
    """End the first task that waits for somebody, in the workflow or below it. Where none waits, nothing happens."""
    status = result_status_from(request.match_info["status"])
    output = await read_object(request)
    await signal(request, workflow_id_of(request), status, output)
    return empty_reply()


async def signal_and_show(request: web.Request) -> web.Response:
    """End the first task that waits for somebody; answer with what the return strategy wants to see."""
    status = result_status_from(request.match_info["status"])
    strategy = RETURN_STRATEGY.of(request.query)
    workflow_id = workflow_id_of(request)
    blocking = await signal(request, workflow_id, status, await read_object(request))
    if blocking is None:
        message = f"workflow {workflow_id} and its sub-workflows have no task that waits for a signal"
        raise NotFound(message)
    target = await state_of(request, workflow_id)
    return json_reply(
        signal_json(
            target,
            blocking,
            target_graph=graph_of(request, target),
            blocking_graph=graph_of(request, blocking),
            strategy=strategy,
            request_id=REQUEST_ID.of(request.query),
        )
    )


async def get_task(request: web.Request) -> web.Response:
    """Answer with one attempt."""
    text = request.match_info["taskId"]
    found = parse_task_id(text)
    if found is not None:
        workflow_id, seq = found
        state = await state_of(request, workflow_id, asked_for=f"task {text}")
        task = state.tasks.get(seq)
        if task is not None:
            return json_reply(task_json(state, graph_of(request, state), task))
    message = f"No such task found by id: {text}"
    raise NotFound(message)


async def _polled(
    request: web.Request, task_type: str, *, worker_id: str, domain: str, count: int, timeout_ms: int, here: bool
) -> Sequence[JsonObject]:
    check_task(request, task_type)
    if count == 0:
        return []
    try:
        return await node_of(request).polls.poll(
            task_type, worker_id=worker_id, domain=domain, count=count, timeout_ms=timeout_ms, here=here
        )
    except PolledElsewhere:
        raise
    except StreamsError as error:
        # A planned event (a rebalance, a broker that restarts) must look like an empty queue.
        _log.debug("poll_answered_empty", task_type=task_type, error=str(error), code=error.code)
        return []


async def _polled_elsewhere(request: web.Request, elsewhere: PolledElsewhere) -> web.Response | None:
    """Return the answer of the process that hands out the type, None if it gave none: its pollers then ask again."""
    try:
        response = await request.config_dict[HOP].repeat(request, elsewhere.url)
    except (OwnerUnreachable, TryLater) as error:
        _log.info("gateway_unreachable", gateway=elsewhere.url, error=str(error))
        return None
    return response if response.status < web.HTTPBadRequest.status_code else None


async def _reported(request: web.Request, command: ReportTaskResult) -> Answer | web.Response | None:
    """Hand in a result. None: it is durable and will be decided; a response: its owner has answered for us.

    Raises:
        Refused: there is no such task, or it takes no reports.
    """
    try:
        answer = await submit(request, command)
    except DecisionTimeout:
        return None
    except NotOwner as away:
        if away.url is not None and not is_hopped(request):
            try:
                response = await request.config_dict[HOP].repeat(request, away.url)
            except (OwnerUnreachable, TryLater) as error:
                _log.info("owner_unreachable", owner=away.url, workflow_id=away.workflow_id, error=str(error))
            else:
                if response.status < web.HTTPInternalServerError.status_code:
                    return response
        principal = principal_of(request)
        if not (principal.sees_all_workflows and principal.sees_all_tasks):
            # Only the owner knows of which type the task is.
            message = f"{away}, so it cannot be seen whether {principal.subject} may report on its task: ask again"
            raise TryLater(message) from away
        # Whoever owns the workflow next will find it. If the owner took it after all, it is ignored as repeated.
        await node_of(request).workflows.append(command)
        return None
    if answer.rejected is not None:
        raise Refused(answer.rejected)
    return answer


def _freed_queue(command: ReportTaskResult, answer: Answer | None) -> tuple[str, str] | None:
    """Return type and domain of the attempt that ended, None if it goes on or is not known any more."""
    found = parse_task_id(command.task_id)
    if found is None or answer is None or answer.state is None:
        return None
    task = answer.state.tasks.get(found[1])
    if task is None or task.spec.dispatch != "worker" or status_of(task) not in TASK_TERMINAL:
        return None
    return task.spec.type, task.spec.domain


async def _update_by_ref(request: web.Request) -> tuple[WorkflowState, UpdateTaskByRef]:
    status = result_status_from(request.match_info["status"])
    output = await read_object(request)
    state = await state_of(request, workflow_id_of(request))
    return state, UpdateTaskByRef(
        workflow_id=state.workflow_id,
        ref_name=RefName(request.match_info["taskRefName"]),
        status=status,
        output=output,
        worker_id=_worker_id(request),
    )


def _worker_id(request: web.Request) -> str:
    """Return the worker's name; clients spell the parameter in two ways."""
    query = request.query
    return WORKER_ID.of(query) or WORKER_ID_TOO.of(query)
