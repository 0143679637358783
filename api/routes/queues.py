"""Queues of tasks, as people and autoscalers see them: how many tasks wait, and who asked for them last.

Must not hold queues: the node's poll queues do. Keeps the invariant that nobody sees a queue whose task type is beyond
its limits.

Source: Conductor's `TaskResource`.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from api.access.guard import check_task, principal_of
from api.access.permissions import Need
from api.errors import RequestInvalid
from api.keys import node_of
from api.parameters import DOMAIN, TASK_TYPE
from api.routing import Route, shows, tells
from api.wire.outcomes import PollData, QueueShard
from api.wire.parameters import Texts
from api.wire.reading import read_bytes
from api.wire.replies import json_reply, text_reply
from engine.json_value import JsonObject

TASK_TYPES: Final = Texts(name="taskType", required=True, about="The task types, at least one.")


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/tasks/queue`. They stand before those of tasks, whose patterns cover them."""
    sizes = shows(dict[str, int], "How many tasks wait in each.")
    size, polls = shows(int, "How many tasks wait."), shows(list[PollData], "Who polled last.")
    verbose = shows(dict[str, dict[str, QueueShard]], "How many tasks wait in each queue and shard.")
    path = "/api/tasks/queue"
    return (
        Route.get(f"{path}/sizes", queue_sizes, Need.READ, takes=(TASK_TYPES,), replies=sizes),
        Route.get(f"{path}/size", queue_size, Need.READ, takes=(TASK_TYPE, DOMAIN), replies=size),
        Route.get(f"{path}/all", queue_all, Need.READ, replies=sizes),
        Route.get(f"{path}/all/verbose", queue_all_verbose, Need.READ, replies=verbose),
        Route.post(f"{path}/requeue/{{taskType}}", requeue, Need.OPERATE, replies=tells("How many tasks wait.")),
        Route.get(f"{path}/polldata", poll_data, Need.READ, takes=(TASK_TYPE,), replies=polls),
        Route.get(f"{path}/polldata/all", poll_data_of_all, Need.READ, replies=polls),
    )


async def queue_sizes(request: web.Request) -> web.Response:
    """Answer with how many tasks of the given types wait."""
    types = TASK_TYPES.of(request.query)
    for task_type in types:
        check_task(request, task_type)
    if not types:
        message = "query parameter taskType must name a task type at least once, but is absent"
        raise RequestInvalid(message)
    sizes = _sizes(request)
    return json_reply({task_type: sizes.get(task_type, 0) for task_type in types})


async def queue_size(request: web.Request) -> web.Response:
    """Answer with how many tasks of one type and domain wait."""
    task_type = TASK_TYPE.of(request.query)
    if not task_type:
        message = "query parameter taskType must name a task type, but is absent"
        raise RequestInvalid(message)
    domain = DOMAIN.of(request.query)
    queue = f"{domain}:{task_type}" if domain else task_type
    check_task(request, task_type)
    return json_reply(_sizes(request).get(queue, 0))


async def queue_all(request: web.Request) -> web.Response:
    """Answer with how many tasks wait in each queue."""
    return json_reply(_sizes(request))


async def queue_all_verbose(request: web.Request) -> web.Response:
    """Answer with how many tasks wait in each queue, in the shape of Conductor's queues of one shard."""
    return json_reply({queue: {"a": {"size": size, "uacked": 0}} for queue, size in _sizes(request).items()})


async def requeue(request: web.Request) -> web.Response:
    """Answer with how many tasks of a type wait. Queues are derived from the log, so none has to be put back."""
    task_type = request.match_info["taskType"]
    check_task(request, task_type)
    await read_bytes(request)
    waiting = sum(size for queue, size in _sizes(request).items() if queue.rpartition(":")[2] == task_type)
    return text_reply(str(waiting))


async def poll_data(request: web.Request) -> web.Response:
    """Answer with who polled one task type last."""
    task_type = TASK_TYPE.of(request.query)
    if not task_type:
        message = "query parameter taskType must name a task type, but is absent"
        raise RequestInvalid(message)
    check_task(request, task_type)
    return json_reply(_without_empty_domains(node_of(request).polls.poll_records(task_type)))


async def poll_data_of_all(request: web.Request) -> web.Response:
    """Answer with who polled last, for every task type."""
    principal = principal_of(request)
    records = [
        record for record in node_of(request).polls.poll_records() if principal.may_see_task(record["queueName"])
    ]
    return json_reply(_without_empty_domains(records))


def _sizes(request: web.Request) -> dict[str, int]:
    """Return how many tasks wait in each queue that the caller may see. A queue is a type, or `domain:type`."""
    principal = principal_of(request)
    sizes = node_of(request).polls.sizes()
    return {queue: size for queue, size in sizes.items() if principal.may_see_task(queue.rpartition(":")[2])}


def _without_empty_domains(records: Sequence[JsonObject]) -> list[JsonObject]:
    """Leave out the domain of who polls in none: clients tell that by its absence."""
    return [{name: value for name, value in record.items() if value or name != "domain"} for record in records]
