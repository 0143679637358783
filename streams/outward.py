"""Where the effects of decisions go: callers, poll queues, built-in workers, other partitions, public topics.

Holds the one interpreter of an `Outbox`. Must not decide, nor change a state. Keeps the invariant that `send` returns
only when every receiver has acknowledged: only then may a later decision say that these effects need not be sent again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from engine.ids import TaskId, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, PendingTask, WorkflowState
from streams.command_outlet import CommandOutlet
from streams.partition.turn import Outbox
from streams.ports import Log, LogRecord, NewRecord
from streams.replies import Replies
from streams.topics import DEAD_LETTER, OUTCOMES

_encoder: Final = msgspec.json.Encoder()


class TaskDesk(Protocol):
    """Where a worker's task goes: the poll queues of this process, or a topic."""

    def offer(self, tasks: Sequence[tuple[WorkflowState, OpenTask]]) -> Awaitable[object] | None:
        """Offer tasks; the awaitable, if there is one, tells when they are durable there."""
        ...

    def retract(self, task: TaskId) -> None:
        """Forget a task that has ended otherwise. Best effort: its worker is told when it reports."""
        ...


class Requests(Protocol):
    """The built-in workers."""

    def begin(self, attempt: TaskId, task: OpenTask) -> None:
        """Do a task; the result comes back as a command. Beginning twice does it once."""
        ...


class NodeOutward:
    """The receiver of all outboxes of this process."""

    def __init__(
        self,
        *,
        log: Log,
        commands: CommandOutlet,
        replies: Replies,
        desk: TaskDesk,
        requests: Requests,
        announce: bool,
        on_ended: Callable[[WorkflowState], None],
    ) -> None:
        """`announce`: publish ended workflows on `outcomes` (somebody outside can read that topic)."""
        self._log = log
        self._commands = commands
        self._replies = replies
        self._desk = desk
        self._requests = requests
        self._announce = announce
        self._on_ended = on_ended

    def now(self, outbox: Outbox) -> Awaitable[object] | None:
        """Answer callers and hand out tasks; return what tells when the tasks are durable where they went."""
        offered: list[tuple[WorkflowState, OpenTask]] = []
        for state, task in outbox.dispatches:
            if task.spec.dispatch == "http":
                self._requests.begin(task_id(state.workflow_id, task.spec.seq), task)
            elif isinstance(task, PendingTask):
                offered.append((state, task))
        handed_out = self._desk.offer(offered) if offered else None
        for attempt in outbox.retracts:
            self._desk.retract(attempt)
        for request_id, answer in outbox.replies:
            self._replies.resolve(request_id, answer)
        for state in (*outbox.outcomes, *outbox.kept):
            self._on_ended(state)
        return handed_out

    async def send(self, partition: int, outbox: Outbox, handed_out: Awaitable[object] | None) -> None:
        """Send what goes through the log, and wait for all receivers.

        Raises:
            LogUnavailable, StoreFull: something is not known to have arrived.
        """
        waiting: list[Awaitable[object]] = [] if handed_out is None else [handed_out]
        waiting += [self._commands.enqueue(command) for command in outbox.commands]
        waiting += [
            self._commands.enqueue_record(home, NewRecord(key=source.key, value=source.value))
            for home, source in outbox.forwards
        ]
        if outbox.dead_letters:
            letters = [_dead_letter(source, why) for source, why in outbox.dead_letters]
            waiting.append(self._log.append(DEAD_LETTER, 0, letters))
        if outbox.outcomes and self._announce:
            waiting.append(self._log.append(OUTCOMES, partition, _outcomes(outbox.outcomes)))
        for stored in waiting:
            await stored


def outcome_json(state: WorkflowState) -> JsonObject:
    """Return what `outcomes` says of an ended workflow."""
    return {
        "workflowId": state.workflow_id,
        "workflowType": state.started.name,
        "version": state.started.version,
        "correlationId": state.started.correlation_id,
        "status": state.status.value,
        "output": state.output,
        "reasonForIncompletion": state.reason,
        "startTime": state.created_at_ms,
        "endTime": state.ended_at_ms,
    }


def _outcomes(states: Sequence[WorkflowState]) -> list[NewRecord]:
    return [
        NewRecord(key=state.workflow_id.encode(), value=_encoder.encode(outcome_json(state)))
        for state in states
        if state.is_terminal
    ]


def _dead_letter(source: LogRecord, why: str) -> NewRecord:
    """The original bytes as base64 (they may be anything), where they stood and why nobody could use them."""
    letter = {
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "reason": why,
        "key": source.key,
        "value": source.value,
    }
    return NewRecord(key=source.key, value=_encoder.encode(letter))
