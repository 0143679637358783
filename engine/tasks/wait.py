"""WAIT: until a `duration` is over, `until` an instant, or until somebody completes it.

The timer is exact: never early, and not late by a polling interval. A `startDelay` comes before the duration.
Source: Conductor's `WaitTaskMapper`, `Wait`.
"""

from engine.commands import ReportTaskResult
from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.durations import parse_duration_ms, parse_until_ms
from engine.ending import fail, succeed
from engine.events import TaskOutputUpdated
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.model import OpenTask
from engine.scheduling import delay_of, schedule_task, start_task
from engine.status import TaskStatus
from engine.tasks import simple


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait, unless that is delayed. An instant that has passed is no wait at all."""
    definition = node.task_definition
    given = task_input(draft, node.task, definition)
    delay_ms = delay_of(node, attempt)
    try:
        wakes_at_ms = _wakes_at_ms(given, draft.now_ms + delay_ms)
    except ValueError as error:
        seq = schedule_task(draft, node, attempt, task_input=given)
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, str(error))
        return
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        delay_ms=delay_ms,
        timeouts=engine_timeouts(definition),
        wakes_at_ms=wakes_at_ms,
    )
    if delay_ms:
        return
    start_task(draft, seq)
    if wakes_at_ms and wakes_at_ms <= draft.now_ms:
        succeed(draft, seq, {})


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """End the task as reported; IN_PROGRESS only gives it another output."""
    if result.status is TaskStatus.IN_PROGRESS:
        draft.emit(TaskOutputUpdated(at_ms=draft.now_ms, seq=task.spec.seq, output=result.output_data or {}))
        return
    simple.on_update(draft, task, result)


def _wakes_at_ms(given: JsonObject, begins_at_ms: int) -> int:
    duration, until = given.get("duration"), given.get("until")
    if duration and until:
        message = f"WAIT takes duration or until, not both; got duration {duration!r} and until {until!r}"
        raise ValueError(message)
    if duration:
        return begins_at_ms + parse_duration_ms(str(duration))
    if until:
        return parse_until_ms(str(until))
    return 0
