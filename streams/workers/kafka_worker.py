"""A worker that takes its tasks from Kafka: `tasks.<type>` in, `commands` out.

Holds the loop: read, claim, work, keep the lease, report, commit. Must not know what the work is. Keeps two invariants:
a task's record is committed only when its result is durable, so a worker that dies loses nothing; and no more functions
run at once than allowed.

The same contract in any language is in docs/how-to/kafka-worker.md.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Final, Protocol

import msgspec
import structlog

from engine.commands import ClaimTask, ReportTaskResult
from engine.ids import TaskId, WorkflowId
from engine.json_value import JsonObject
from engine.status import TaskStatus
from streams.errors import RecordTooLarge, StreamsError
from streams.kafka import KafkaOutlet, KafkaSettings, KafkaTaskFeed, OutletRecord
from streams.ports import LogRecord
from streams.settings import KAFKA_PARTITIONS
from streams.topics import COMMANDS, TopicSpec
from streams.workers.task_function import Outcome, TaskFunction, outcome_of

CONCURRENCY: Final = 10
READ_WAIT_MS: Final = 1_000
AGAIN_AFTER_S: Final = 0.5
LEASE_SHARE: Final = 3
"""A lease is extended after a third of its time: two extensions may be late before it is lost."""
TASK_PARTITIONS: Final = 4
"""Of a task topic that nobody has made yet."""

_encoder: Final = msgspec.json.Encoder()
_log = structlog.get_logger(__name__)


class TaskFeed(Protocol):
    """Where tasks come from."""

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """Return the next tasks; see `KafkaTaskFeed`."""
        ...

    def handed_out(self, record: LogRecord) -> None:
        """Say that a task is done with."""
        ...


class CommandSink(Protocol):
    """Where results go."""

    def send(self, workflow_id: WorkflowId, value: bytes) -> Awaitable[object]:
        """Send a command; the awaitable resolves when it is durable."""
        ...


class TaskHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the worker itself needs of a task; the function gets all of it."""

    task_id: TaskId
    workflow_instance_id: WorkflowId
    response_timeout_seconds: int = 0


class KafkaWorker:
    """Does the tasks of one feed with one function, until it is told to stop."""

    def __init__(
        self,
        function: TaskFunction,
        *,
        feed: TaskFeed,
        commands: CommandSink,
        worker_id: str,
        concurrency: int = CONCURRENCY,
    ) -> None:
        """Call `function` for at most `concurrency` tasks at once; `worker_id` is shown to people as the doer."""
        self._function = function
        self._feed = feed
        self._commands = commands
        self._worker_id = worker_id
        self._free = concurrency
        self._freed = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="task")

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what is in hand. Cancelled, it drops what is in hand."""
        try:
            async with asyncio.TaskGroup() as group:
                while not stopping.is_set():
                    for record in await self._read():
                        self._free -= 1
                        group.create_task(self._serve(record), name="task")
                    await self._wait_free()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_free(self) -> None:
        """Wait until a function has ended; it has a bound only if the function has."""
        while not self._free:
            self._freed.clear()
            await self._freed.wait()

    async def _read(self) -> Sequence[LogRecord]:
        try:
            return await self._feed.read(records_max=self._free, wait_ms=READ_WAIT_MS)
        except StreamsError as error:
            if not error.retriable:
                raise
            _log.warning("tasks_unreachable", reason=str(error))
            await asyncio.sleep(AGAIN_AFTER_S)
            return ()

    async def _serve(self, record: LogRecord) -> None:
        try:
            task, header = _read_task(record)
        except msgspec.MsgspecError as error:
            _log.warning("task_unreadable", topic=record.topic, offset=record.offset, reason=str(error))
        else:
            await self._work(task, header)
        self._feed.handed_out(record)
        self._free += 1
        self._freed.set()

    async def _work(self, task: JsonObject, header: TaskHeader) -> None:
        """1. Claim. 2. Work, extending the lease meanwhile. 3. Report, until the report is durable."""
        claim = self._sent(
            ClaimTask(
                workflow_instance_id=header.workflow_instance_id,
                task_id=header.task_id,
                worker_id=self._worker_id,
                claimed_at_ms=time.time_ns() // 1_000_000,
            )
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_tolerated(claim, "claim_lost", header), name="claim")
            lease = group.create_task(self._keep_lease(header), name="lease")
            outcome = await outcome_of(self._function, task, self._threads)
            lease.cancel()
        if outcome.error is not None:
            _log.warning("task_failed", task_id=header.task_id, reason=outcome.reason, exc_info=outcome.error)
        await self._report(header, outcome)

    async def _keep_lease(self, header: TaskHeader) -> None:
        if header.response_timeout_seconds <= 0:
            return
        extension = ReportTaskResult(
            workflow_instance_id=header.workflow_instance_id,
            task_id=header.task_id,
            status=TaskStatus.IN_PROGRESS,
            worker_id=self._worker_id,
            extend_lease=True,
        )
        while True:
            await asyncio.sleep(header.response_timeout_seconds / LEASE_SHARE)
            await _tolerated(self._sent(extension), "lease_extension_lost", header)

    async def _report(self, header: TaskHeader, outcome: Outcome) -> None:
        value = self._report_of(header, outcome)
        while True:
            try:
                await self._commands.send(header.workflow_instance_id, value)
            except RecordTooLarge as error:
                _log.warning("task_output_too_large", task_id=header.task_id, reason=str(error))
                refused = Outcome(
                    status=TaskStatus.FAILED_WITH_TERMINAL_ERROR, reason=f"the output is too large: {error}"
                )
                value = self._report_of(header, refused)
            except StreamsError as error:
                _log.warning("task_result_delayed", task_id=header.task_id, reason=str(error))
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return

    def _report_of(self, header: TaskHeader, outcome: Outcome) -> bytes:
        """Return the command; of an output that is no JSON, one that says so."""
        try:
            return self._encoded(header, outcome)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            reason = f"the output of the task function cannot be written as JSON: {error}"
            return self._encoded(header, Outcome(status=TaskStatus.FAILED, reason=reason))

    def _encoded(self, header: TaskHeader, outcome: Outcome) -> bytes:
        return _encoder.encode(
            ReportTaskResult(
                workflow_instance_id=header.workflow_instance_id,
                task_id=header.task_id,
                status=outcome.status,
                worker_id=self._worker_id,
                output_data=outcome.output,
                reason_for_incompletion=outcome.reason or None,
            )
        )

    def _sent(self, command: ClaimTask | ReportTaskResult) -> Awaitable[object]:
        return self._commands.send(command.workflow_instance_id, _encoder.encode(command))


class KafkaCommands:
    """The `CommandSink` on Kafka: keyed by workflow, as the topic wants it."""

    def __init__(self, outlet: KafkaOutlet) -> None:
        """Send through `outlet`."""
        self._outlet = outlet
        self._topic = TopicSpec(name=COMMANDS, partitions=KAFKA_PARTITIONS)

    def send(self, workflow_id: WorkflowId, value: bytes) -> Awaitable[object]:
        """Send a command to the partition of its workflow."""
        return self._outlet.send([OutletRecord(topic=self._topic, key=workflow_id.encode(), value=value)])


async def run_kafka_worker(
    function: TaskFunction,
    *,
    kafka: KafkaSettings,
    task_type: str,
    stopping: asyncio.Event,
    domain: str = "",
    worker_id: str = "",
    concurrency: int = CONCURRENCY,
) -> None:
    """Do the tasks of one type (and domain) with a function, until `stopping` is set.

    Several processes share the work: they are one consumer group.

    Raises:
        StreamsError: the cluster refuses for good; what is merely unreachable is waited for.
    """
    async with AsyncExitStack() as stack:
        outlet = await stack.enter_async_context(KafkaOutlet(kafka))
        feed = await stack.enter_async_context(
            KafkaTaskFeed(kafka, task_type=task_type, domain=domain, partitions=TASK_PARTITIONS)
        )
        worker = KafkaWorker(
            function,
            feed=feed,
            commands=KafkaCommands(outlet),
            worker_id=worker_id or f"{socket.gethostname()}-{os.getpid()}",
            concurrency=concurrency,
        )
        await worker.run(stopping)


def _read_task(record: LogRecord) -> tuple[JsonObject, TaskHeader]:
    value = record.value or b""
    return msgspec.json.decode(value, type=dict), msgspec.json.decode(value, type=TaskHeader)


async def _tolerated(sent: Awaitable[object], event: str, header: TaskHeader) -> None:
    """Wait for a command whose loss does no lasting harm."""
    try:
        await sent
    except StreamsError as error:
        _log.warning(event, task_id=header.task_id, reason=str(error))
