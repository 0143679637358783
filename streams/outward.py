"""Where the effects of decisions go: callers, poll queues, built-in workers, other partitions, public topics.

Holds the one interpreter of an `Outbox`. Must not decide, nor change a state. Keeps the invariant that `send` returns
only when every receiver has acknowledged: only then may a later decision say that these effects need not be sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from engine.commands import Command, tag_of, workflow_of
from engine.dispatch import TO_HTTP, TO_SCRIPT, TO_SINK, TO_WORKER
from engine.effects import PublishMessage
from engine.ids import TaskId, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, PendingTask, WorkflowState
from streams.command_outlet import CommandOutlet
from streams.errors import RecordTooLarge
from streams.partition.turn import Outbox
from streams.ports import Log, LogRecord, NewRecord
from streams.publishing.messages import OutgoingMessage
from streams.replies import Replies
from streams.substitutes import instead_of, undeliverable, without_payload
from streams.topics import DEAD_LETTER, OUTCOMES, OUTGOING

_encoder: Final = msgspec.json.Encoder()
_log = structlog.get_logger(__name__)


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


class ScriptTasks(Protocol):
    """The built-in worker for scripts."""

    def begin(self, state: WorkflowState, task: OpenTask) -> None:
        """Run the script that a task waits for; the result comes back as a command. Beginning twice does it once."""
        ...


class Publications(Protocol):
    """The built-in publisher."""

    def begin(self, state: WorkflowState, task: OpenTask) -> None:
        """Send what a task sends; the result comes back as a command. Beginning twice does it once."""
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
        scripts: ScriptTasks,
        publications: Publications,
        announce: bool,
        on_ended: Callable[[WorkflowState], None],
        on_outgoing: Callable[[int], None],
    ) -> None:
        """`announce`: publish ended workflows on `outcomes` (somebody outside can read that topic).

        `on_outgoing` is told the partition in which messages for listeners wait now.
        """
        self._log = log
        self._commands = commands
        self._replies = replies
        self._desk = desk
        self._requests = requests
        self._scripts = scripts
        self._publications = publications
        self._announce = announce
        self._on_outgoing = on_outgoing
        self._on_ended = on_ended

    def now(self, outbox: Outbox) -> Awaitable[object] | None:
        """Answer callers and hand out tasks; return what tells that the tasks are durable where they went."""
        for state, task in outbox.dispatches:
            if task.spec.dispatch == TO_HTTP:
                self._requests.begin(task_id(state.workflow_id, task.spec.seq), task)
            elif task.spec.dispatch == TO_SCRIPT:
                self._scripts.begin(state, task)
            elif task.spec.dispatch == TO_SINK:
                self._publications.begin(state, task)
        offered = _offered(outbox)
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

        What is too large to be sent is replaced by word of it: it would be too large for ever, and nothing behind it
        would arrive.

        Raises:
            LogUnavailable, StoreFull: something is not known to have arrived.
        """
        receivers: list[_Receiver] = []
        if handed_out is not None:
            receivers.append(_Receiver(sent=handed_out, instead=partial(self._offer_singly, _offered(outbox))))
        receivers.extend(
            _Receiver(sent=self._commands.enqueue(command), instead=partial(self._send_instead, command))
            for command in outbox.commands
        )
        for home, source in outbox.forwards:
            record = NewRecord(key=source.key, value=source.value)
            receivers.append(_Receiver(sent=self._commands.enqueue_record(home, record)))
        self._publish(receivers, DEAD_LETTER, 0, [dead_letter(source, why) for source, why in outbox.dead_letters])
        if self._announce:
            self._publish(receivers, OUTCOMES, partition, _outcomes(outbox.outcomes))
        self._publish(receivers, OUTGOING, partition, _outgoing(outbox.messages))
        if receivers:
            await _wait_all(receivers)
        if outbox.messages:
            self._on_outgoing(partition)

    def _publish(self, receivers: "list[_Receiver]", topic: str, partition: int, records: list[NewRecord]) -> None:
        if records:
            sent = self._log.append(topic, partition, records)
            receivers.append(_Receiver(sent=sent, instead=partial(self._publish_singly, topic, partition, records)))

    async def _publish_singly(
        self, topic: str, partition: int, records: Sequence[NewRecord], _: RecordTooLarge
    ) -> None:
        for record in records:
            try:
                await self._log.append(topic, partition, [record])
            except RecordTooLarge as error:
                await self._log.append(topic, partition, [without_payload(record, error)])

    async def _send_instead(self, command: Command, error: RecordTooLarge) -> None:
        instead = instead_of(command, error)
        if instead is None:
            _log.error("effect_too_large", command=tag_of(command), workflow_id=workflow_of(command), reason=str(error))
        else:
            await self._commands.enqueue(instead)

    async def _offer_singly(self, offered: Sequence[tuple[WorkflowState, OpenTask]], _: RecordTooLarge) -> None:
        """Offer tasks one by one, and end those that no record can carry: nobody would ever get them."""
        for state, task in offered:
            try:
                handed_out = self._desk.offer([(state, task)])
                if handed_out is not None:
                    await handed_out
            except RecordTooLarge as error:
                await self._commands.enqueue(undeliverable(task_id(state.workflow_id, task.spec.seq), error))


class _Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Something on its way. `instead` sends what can be sent if it turns out to be too large."""

    sent: Awaitable[object]
    instead: Callable[[RecordTooLarge], Awaitable[object]] | None = None


def _offered(outbox: Outbox) -> list[tuple[WorkflowState, OpenTask]]:
    return [
        (state, task)
        for state, task in outbox.dispatches
        if task.spec.dispatch == TO_WORKER and isinstance(task, PendingTask)
    ]


async def _wait_all(receivers: Sequence[_Receiver]) -> None:
    """Wait for all, whatever becomes of each; then raise the first failure that nothing can be sent instead of."""
    results = await asyncio.gather(*(receiver.sent for receiver in receivers), return_exceptions=True)
    for receiver, result in zip(receivers, results, strict=True):
        if isinstance(result, RecordTooLarge) and receiver.instead is not None:
            await receiver.instead(result)
        elif isinstance(result, BaseException):
            raise result


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


def _outgoing(messages: Sequence[tuple[WorkflowId, PublishMessage]]) -> list[NewRecord]:
    return [
        NewRecord(
            key=workflow_id.encode(),
            value=_encoder.encode(
                OutgoingMessage(
                    message_id=message.message_id,
                    workflow_id=workflow_id,
                    sink=message.sink,
                    at_ms=message.at_ms,
                    payload=message.payload,
                )
            ),
        )
        for workflow_id, message in messages
    ]


def dead_letter(source: LogRecord, why: str) -> NewRecord:
    """Return the record of what nobody could use: its bytes as base64 (they may be anything), where it was, and why."""
    letter = {
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "reason": why,
        "key": source.key,
        "value": source.value,
    }
    return NewRecord(key=source.key, value=_encoder.encode(letter))
