"""HTTP: a request that Podium itself makes, once the decision to make it is in the log.

The built-in worker reports like any other. With `asyncComplete` its report leaves the task open until somebody completes it.
Source: Conductor's `HttpTask`.
"""

from engine.commands import ReportTaskResult
from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.events import TaskOutputUpdated
from engine.graph import Node
from engine.inputs import task_input
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, schedule_task, start_task
from engine.status import TaskStatus
from engine.tasks import simple


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the request and begin it, unless it has to wait for its retry delay."""
    given = task_input(draft, node.task, node.task_definition)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        dispatch="http",
        timeouts=engine_timeouts(node.task_definition),
    )
    if not draft.state.tasks[seq].spec.due_at_ms:
        start_task(draft, seq)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the answer. An IN_PROGRESS, or any success of an `asyncComplete` request, leaves the task open."""
    node = draft.graph.node(task.spec.node)
    asynchronous = node.task.async_complete or task.spec.input.get("asyncComplete") is True
    answered = result.status is TaskStatus.COMPLETED and result.worker_id == ENGINE_WORKER
    if result.status is TaskStatus.IN_PROGRESS or (asynchronous and answered):
        draft.emit(TaskOutputUpdated(at_ms=draft.now_ms, seq=task.spec.seq, output=result.output_data or {}))
        return
    simple.on_update(draft, task, result)
