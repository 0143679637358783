"""Tasks whose work Podium itself does outside the decision: requests, publications, scripts.

Holds how such a task begins, and what becomes of the answer of Podium's own worker. Must not know what the work is: the
word of `engine.dispatch` says who does it. Keeps the invariant that with `asyncComplete` a success of Podium's worker
leaves the task open, and nobody else's does.
"""

from engine.commands import ReportTaskResult
from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.events import TaskOutputUpdated
from engine.graph import Node
from engine.ids import TaskSeq
from engine.json_value import JsonObject
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, delay_of, schedule_task
from engine.slots import LIMITED, begin_task
from engine.status import TaskStatus
from engine.tasks import wait


def schedule_outside(draft: Draft, node: Node, attempt: Attempt, given: JsonObject, *, dispatch: str) -> TaskSeq:
    """Schedule a task with its input, and begin it unless it is delayed or has to wait for a slot."""
    delay_ms = delay_of(node, attempt)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        dispatch=dispatch,
        delay_ms=delay_ms,
        timeouts=engine_timeouts(node.task_definition),
    )
    if not delay_ms:
        begin_task(draft, seq, node, node.task_definition, is_limitable=dispatch in LIMITED)
    return seq


def take_answer(draft: Draft, task: OpenTask, result: ReportTaskResult, *, request: str) -> None:
    """Take what is reported. The success of an `asyncComplete` task's work leaves it open, as does an IN_PROGRESS.

    `request` names the part of the input that describes the work: the flag may stand in it, too.
    """
    answered = result.status is TaskStatus.COMPLETED and result.worker_id == ENGINE_WORKER
    if answered and _is_async(draft.node_of(task.spec), task, request):
        output = result.output_data or {}
        draft.emit(TaskOutputUpdated(at_ms=draft.now_ms, seq=task.spec.seq, output=output, answered=True))
        return
    wait.on_update(draft, task, result)


def _is_async(node: Node, task: OpenTask, request: str) -> bool:
    given = task.spec.input
    described = given.get(request)
    flags = (given, described) if isinstance(described, dict) else (given,)
    return node.task.async_complete or any(flag.get("asyncComplete") is True for flag in flags)
