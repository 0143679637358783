"""The EVENT and KAFKA_PUBLISH tasks: sent once their decision is in the log, and reported when acknowledged.

Holds the publications under way in this process and reports their results as commands. Must not decide what a result
means. Keeps the invariant that an attempt is under way at most once here; after a crash the new owner begins it anew,
under the same message id.
"""

import asyncio
from typing import Final

import structlog

from engine.commands import ReportTaskResult
from engine.ids import TaskId, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, WorkflowState
from engine.scheduling import ENGINE_WORKER
from engine.sinks import is_internal
from engine.status import TaskStatus
from engine.tasks.event import PRODUCED, message_of
from engine.tasks.kafka_publish import FAILURE, REQUEST
from streams.command_outlet import CommandOutlet
from streams.publishing.kafka_request import kafka_request_of
from streams.publishing.messages import OutgoingMessage, SinkFailed, SinkRefused
from streams.publishing.sinks import Sinks
from streams.requests import REASON_CHARS_MAX, report, workflow_of_attempt

PUBLICATIONS_MAX: Final = 64
"""Under way at once; the others wait their turn."""
SEND_AGAIN_AFTER_S: Final = 1.0
"""Into the internal queue, which is away as long as the log is: nothing can be decided meanwhile anyway."""

_log = structlog.get_logger(__name__)


class BuiltInPublications:
    """Publishes until cancelled."""

    def __init__(self, sinks: Sinks, commands: CommandOutlet) -> None:
        """Publish to `sinks`, report through `commands`."""
        self._sinks = sinks
        self._commands = commands
        self._under_way: set[TaskId] = set()
        self._waiting: asyncio.Queue[tuple[TaskId, OutgoingMessage | JsonObject]] = asyncio.Queue()
        """Never more than the open tasks of these types: the states of their workflows hold the same inputs."""

    def begin(self, state: WorkflowState, task: OpenTask) -> None:
        """Queue what a task sends, unless it is under way."""
        attempt = task_id(state.workflow_id, task.spec.seq)
        if attempt in self._under_way:
            return
        self._under_way.add(attempt)
        self._waiting.put_nowait((attempt, _publication(state, task, attempt)))

    async def run(self) -> None:
        """Publish, a bounded number at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(PUBLICATIONS_MAX):
                group.create_task(self._serve(), name=f"publication-{number}")

    async def _serve(self) -> None:
        while True:
            attempt, publication = await self._waiting.get()
            try:
                await report(self._commands, await self._result(attempt, publication))
            finally:
                self._under_way.discard(attempt)

    async def _result(self, attempt: TaskId, publication: OutgoingMessage | JsonObject) -> ReportTaskResult:
        is_event = isinstance(publication, OutgoingMessage)
        output = publication.payload if isinstance(publication, OutgoingMessage) else {}
        try:
            await self._publish(attempt, publication)
        except SinkRefused as error:
            return _failed(attempt, TaskStatus.FAILED_WITH_TERMINAL_ERROR, str(error), output, is_event=is_event)
        except SinkFailed as error:
            return _failed(attempt, TaskStatus.FAILED, str(error), output, is_event=is_event)
        except Exception as error:  # noqa: BLE001 - one message must not end the node, nor leave its task open for ever
            _log.exception("publication_broke", task_id=attempt)
            why = f"{type(error).__name__}: {error}"
            return _failed(attempt, TaskStatus.FAILED_WITH_TERMINAL_ERROR, why, output, is_event=is_event)
        return ReportTaskResult(
            workflow_instance_id=workflow_of_attempt(attempt),
            task_id=attempt,
            status=TaskStatus.COMPLETED,
            output_data=output,
            worker_id=ENGINE_WORKER,
        )

    async def _publish(self, attempt: TaskId, publication: OutgoingMessage | JsonObject) -> None:
        if not isinstance(publication, OutgoingMessage):
            await self._sinks.publish_to_kafka(kafka_request_of(publication.get(REQUEST), message_id=attempt))
            return
        while True:
            try:
                await self._sinks.publish(publication)
            except SinkFailed:
                if not is_internal(publication.sink):
                    raise
                await asyncio.sleep(SEND_AGAIN_AFTER_S)
            else:
                return


def _publication(state: WorkflowState, task: OpenTask, attempt: TaskId) -> OutgoingMessage | JsonObject:
    if task.spec.type != "EVENT":
        return task.spec.input
    payload = message_of(state, task)
    return OutgoingMessage(
        message_id=attempt,
        workflow_id=state.workflow_id,
        sink=payload[PRODUCED],
        at_ms=task.spec.at_ms,
        payload=payload,
    )


def _failed(attempt: TaskId, status: TaskStatus, why: str, output: JsonObject, *, is_event: bool) -> ReportTaskResult:
    reason = f"the message could not be sent: {why}" if is_event else FAILURE + why
    return ReportTaskResult(
        workflow_instance_id=workflow_of_attempt(attempt),
        task_id=attempt,
        status=status,
        output_data=output,
        reason_for_incompletion=reason[:REASON_CHARS_MAX],
        worker_id=ENGINE_WORKER,
    )
