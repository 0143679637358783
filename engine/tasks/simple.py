"""SIMPLE, and every type name that is not built in: a task that a worker does.

Source: Conductor's `SimpleTaskMapper`, `UserDefinedTaskMapper`, `WorkflowExecutorOps.updateTask`.
"""

from engine.commands import ReportTaskResult
from engine.deadlines import worker_timeouts
from engine.definitions import TaskDef
from engine.dispatch import TO_WORKER
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.events import TaskPostponed
from engine.graph import Node
from engine.ids import DefinitionHash
from engine.inputs import task_input
from engine.limiter.limits import is_limited
from engine.model import OpenTask
from engine.retry import DELAY_SECONDS_MAX
from engine.scheduling import delay_of, domain_of, queue_key_of, refuse_input, schedule_task
from engine.slots import await_slot
from engine.status import TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Put the task into the queue of its name. A task that nobody defined runs with the default limits."""
    name = node.task.name if node.task.type == "SIMPLE" else node.task.type
    schedule_worker_task(draft, node, attempt, name=name, definition=node.task_definition)


def schedule_worker_task(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    *,
    name: str,
    definition: TaskDef | None,
    dynamic_definition_hash: DefinitionHash | None = None,
) -> None:
    """Put an attempt into the queue of `name`."""
    # What a DYNAMIC task turns out to be is known only here.
    is_late = dynamic_definition_hash is not None and definition is not None and definition.enforce_schema
    if is_late and definition is not None and refuse_input(draft, node, attempt, definition):
        return
    given = task_input(draft, node.task, definition)
    delay_ms = delay_of(node, attempt)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        task_type=name,
        name=name if dynamic_definition_hash is not None else node.task.name,
        dispatch=TO_WORKER,
        delay_ms=delay_ms,
        domain=domain_of(draft, name),
        queue_key=queue_key_of(draft, given, definition),
        timeouts=worker_timeouts(definition),
        dynamic_definition_hash=dynamic_definition_hash,
    )
    if not delay_ms and definition is not None and is_limited(definition):
        await_slot(draft, seq, node, definition)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """End the attempt as the worker says, or put it back into its queue if the worker is not done (IN_PROGRESS)."""
    seq = task.spec.seq
    output = result.output_data or {}
    worker_id = result.worker_id or ""
    reason = result.reason_for_incompletion or ""
    match result.status:
        case TaskStatus.COMPLETED:
            succeed(draft, seq, output, worker_id=worker_id, reason=reason)
        case TaskStatus.IN_PROGRESS:
            delay_seconds = min(max(result.callback_after_seconds or 0, 0), DELAY_SECONDS_MAX)
            draft.emit(
                TaskPostponed(
                    at_ms=draft.now_ms,
                    seq=seq,
                    output=output,
                    worker_id=worker_id,
                    reason=reason,
                    due_at_ms=draft.now_ms + delay_seconds * 1000 if delay_seconds else 0,
                    callback_after_seconds=delay_seconds,
                )
            )
        case status:
            fail(draft, seq, status or TaskStatus.FAILED, reason, output=output, worker_id=worker_id)
