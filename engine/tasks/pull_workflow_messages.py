"""PULL_WORKFLOW_MESSAGES: takes messages that were sent to the workflow, oldest first, or waits for the next one.

`batchSize` bounds how many it takes; with `blocking: false` it does not wait. Of several tasks that wait, the one that
began first is served first. A message is taken once: taking it and ending the task are one decision.

Source: Conductor's `PullWorkflowMessages`, without its polling.
"""

from datetime import UTC, datetime
from typing import Final

from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.ending import succeed
from engine.events import MessagesAwaited, MessagesDelivered
from engine.graph import Node
from engine.ids import TaskSeq
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.model import Message, RunningTask
from engine.scheduling import delay_of, schedule_task, start_task

BATCH_MAX: Final = 100
"""More are not taken at once. Source: Conductor's `maxBatchSize`, which caps silently too."""


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the task and let it take what is there, unless it is delayed."""
    definition = node.task_definition
    given = task_input(draft, node.task, definition)
    delay_ms = delay_of(node, attempt)
    timeouts = engine_timeouts(definition)
    seq = schedule_task(draft, node, attempt, task_input=given, delay_ms=delay_ms, timeouts=timeouts)
    if not delay_ms:
        start_task(draft, seq)
        begin(draft, seq)


def begin(draft: Draft, seq: TaskSeq) -> None:
    """Let a task take what is there; let it wait if there is nothing."""
    if draft.state.inbox.waiting:
        _take(draft, seq)
    elif draft.task(seq).spec.input.get("blocking") is False:
        succeed(draft, seq, {"messages": [], "count": 0})
    else:
        draft.emit(MessagesAwaited(at_ms=draft.now_ms, seq=seq))


def deliver(draft: Draft) -> None:
    """Give the messages that wait to the tasks that wait, as long as there are both."""
    while draft.state.inbox.waiting:
        tasks = draft.state.tasks
        seq = next((seq for seq in draft.state.inbox.pulls if isinstance(tasks.get(seq), RunningTask)), None)
        if seq is None:
            return
        _take(draft, seq)


def _take(draft: Draft, seq: TaskSeq) -> None:
    taken = draft.state.inbox.waiting[: _batch_size(draft.task(seq).spec.input.get("batchSize"))]
    draft.emit(MessagesDelivered(at_ms=draft.now_ms, seq=seq, count=len(taken)))
    succeed(draft, seq, {"messages": [_json(draft, message) for message in taken], "count": len(taken)})


def _batch_size(given: JsonValue) -> int:
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = int(given[:9])
    if isinstance(given, bool) or not isinstance(given, int | float):
        return 1
    return int(min(max(given, 1), BATCH_MAX))


def _json(draft: Draft, message: Message) -> JsonObject:
    instant = datetime.fromtimestamp(message.received_at_ms / 1000, tz=UTC)
    return {
        "id": message.message_id,
        "workflowId": draft.state.workflow_id,
        "payload": message.payload,
        "receivedAt": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
