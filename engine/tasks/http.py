"""HTTP: a request that Podium itself makes, once the decision to make it is in the log.

The built-in worker reports like any other. With `asyncComplete` its report leaves the task open until somebody
completes it. Source: Conductor's `HttpTask`.
"""

from engine.commands import ReportTaskResult
from engine.deadlines import engine_timeouts
from engine.dispatch import TO_HTTP
from engine.draft import Attempt, Draft
from engine.events import TaskOutputUpdated
from engine.graph import Node
from engine.inputs import task_input
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, delay_of, schedule_task
from engine.slots import begin_task
from engine.status import TaskStatus
from engine.tasks import wait


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the request and begin it, unless it is delayed or has to wait for a slot."""
    delay_ms = delay_of(node, attempt)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=task_input(draft, node.task, node.task_definition),
        dispatch=TO_HTTP,
        delay_ms=delay_ms,
        timeouts=engine_timeouts(node.task_definition),
    )
    if not delay_ms:
        begin_task(draft, seq, node, node.task_definition)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the answer. The success of an `asyncComplete` request leaves the task open, as does an IN_PROGRESS."""
    answered = result.status is TaskStatus.COMPLETED and result.worker_id == ENGINE_WORKER
    if answered and _is_async(draft.node_of(task.spec), task):
        output = result.output_data or {}
        draft.emit(TaskOutputUpdated(at_ms=draft.now_ms, seq=task.spec.seq, output=output, answered=True))
        return
    wait.on_update(draft, task, result)


def _is_async(node: Node, task: OpenTask) -> bool:
    given = task.spec.input
    request = given.get("http_request")
    flags = (given, request) if isinstance(request, dict) else (given,)
    return node.task.async_complete or any(flag.get("asyncComplete") is True for flag in flags)
