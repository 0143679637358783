"""One partition with all its real parts, and a clock that the test moves.

Holds the composition of processor, machine, effects and queues over a log in memory, and a way to begin anew on the
same log as after a crash. Must not do what the parts do. Keeps the invariant that nothing of an earlier life runs on.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec

from engine.commands import Command, ReportTaskResult, StartWorkflow, workflow_of
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState
from engine.shelf import Shelf
from engine.status import TaskStatus
from streams.command_outlet import CommandOutlet
from streams.dispatch.claims import Claims
from streams.dispatch.local import LocalDesk
from streams.dispatch.queues import PollQueues
from streams.outward import NodeOutward, TaskDesk
from streams.partition.machine import PartitionMachine
from streams.partition.processor import PartitionProcessor, ProcessorPhase, Settings
from streams.ports import Log, LogRecord
from streams.publishing.relay import Relays
from streams.publishing.sinks import KafkaTargets, Sinks, TopicPublisher
from streams.publishing.tasks import BuiltInPublications
from streams.records import DecisionRecord, EventRecord, decode
from streams.replies import Replies
from streams.requests import BuiltInRequests
from streams.script_tasks import BuiltInScripts
from streams.scripts.pool import ScriptPool
from streams.service import Answer
from streams.topics import EVENTS
from streams.workers.http import HttpWorker

NOW_MS = 1_790_000_000_000
ONE_TASK = WorkflowDef(name="one", tasks=(WorkflowTask(name="work", task_reference_name=RefName("work")),))
TWO_TASKS = WorkflowDef(
    name="two",
    tasks=tuple(WorkflowTask(name=name, task_reference_name=RefName(name)) for name in ("first", "second")),
)


def _no_kafka(servers: str) -> TopicPublisher:
    raise AssertionError(f"nothing is published to {servers} here")


NO_KAFKA = KafkaTargets(default="", allowed=frozenset(), prefix="podium.", open_publisher=_no_kafka)


async def _nothing_to_load(_: Sequence[LogRecord]) -> None:
    """Definitions are on the shelf."""


class Partition:
    """One life of an owner of partition 0."""

    def __init__(
        self,
        log: Log,
        *definitions: WorkflowDef | TaskDef,
        settings: Settings | None = None,
        announce: bool = False,
        desk: TaskDesk | None = None,
        kafka: KafkaTargets | None = None,
        patience_s: float = 60.0,
    ) -> None:
        """Put the parts together; `running` gives them life. `desk`: where tasks go, if not into the poll queues."""
        self.log = log
        self.now_ms = NOW_MS
        self.shelf = Shelf()
        self.shelf.add(ONE_TASK, TWO_TASKS, *definitions)
        self.ended: list[WorkflowId] = []
        self.outlet = CommandOutlet(log, partitions=1)
        self.replies = Replies(process="test")
        self.queues = PollQueues(now_ms=lambda: self.now_ms, claim=Claims(self.outlet).claim)
        self.machine = PartitionMachine(
            partition=0, partitions=1, definitions=self.shelf, noise=lambda: 0.0, durable_queues=False
        )
        self.http = HttpWorker()
        self.sinks = Sinks(log=log, partitions=1, http=self.http, kafka=kafka or NO_KAFKA)
        self.publications = BuiltInPublications(self.sinks, self.outlet)
        self.relays = Relays(log, self.sinks, patience_s=patience_s)
        self.processor = PartitionProcessor(
            log=log,
            partition=0,
            machine=self.machine,
            outward=NodeOutward(
                log=log,
                commands=self.outlet,
                replies=self.replies,
                desk=desk or LocalDesk(self.queues, self._machine_of),
                requests=BuiltInRequests(self.http, self.outlet),
                scripts=BuiltInScripts(ScriptPool, self.outlet, self.machine.graph),
                publications=self.publications,
                announce=announce,
                on_ended=lambda state: self.ended.append(state.workflow_id),
                on_outgoing=self.relays.wake,
            ),
            settings=settings or Settings(owner="test", url="", partitions=1, is_alone=True),
            now_ms=lambda: self.now_ms,
            load=_nothing_to_load,
        )

    def _machine_of(self, _: WorkflowId) -> PartitionMachine | None:
        return self.machine if self.processor.phase is ProcessorPhase.DECIDING else None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Partition"]:
        """Run until the block ends, or until the processor does; its error comes out then."""
        async with asyncio.TaskGroup() as group:
            parts = (self.outlet.run, self.processor.run, self.publications.run, self.relays.run)
            running = [group.create_task(run()) for run in parts]
            self.relays.own(0, owned=True)
            try:
                await self.processor.wait_recovered()
                yield self
            finally:
                for task in running:
                    task.cancel()

    async def ask(self, command: Command) -> Answer:
        """Append a command as a client does, and return its answer."""
        request_id = self.replies.expect(0)
        self.outlet.enqueue(msgspec.structs.replace(command, request_id=request_id))
        try:
            return await self.replies.wait(request_id, workflow_of(command) or WorkflowId(""), timeout_ms=10_000)
        finally:
            self.replies.forget(request_id)

    async def settled(self) -> None:
        """Return when everything that was enqueued has been decided, and the decisions are in the log."""
        offset = await self.outlet.flushed(0)
        if offset is not None:
            await self.processor.wait_decided(offset)

    async def state(self, workflow_id: str) -> WorkflowState | None:
        """Return a workflow's state as it stands in the log."""
        await self.settled()
        return await self.processor.state(WorkflowId(workflow_id))

    async def poll(self, task_type: str, *, count: int = 1, timeout_ms: int = 0) -> list[JsonObject]:
        """Return the tasks of a poll."""
        return await self.queues.poll(task_type, worker_id="w", domain="", count=count, timeout_ms=timeout_ms)


def start(workflow_id: str, name: str = "one", **fields: object) -> StartWorkflow:
    """Return a start."""
    return StartWorkflow(name=name, workflow_id=WorkflowId(workflow_id), **fields)  # type: ignore[arg-type]  # its fields


def completed(workflow_id: str, seq: int, **output: object) -> ReportTaskResult:
    """Return a worker's report that an attempt is done."""
    return ReportTaskResult(
        workflow_instance_id=WorkflowId(workflow_id),
        task_id=task_id(WorkflowId(workflow_id), TaskSeq(seq)),
        status=TaskStatus.COMPLETED,
        output_data=output,
    )


def failed(workflow_id: str, seq: int) -> ReportTaskResult:
    """Return a worker's report that an attempt has failed for good."""
    return ReportTaskResult(
        workflow_instance_id=WorkflowId(workflow_id),
        task_id=task_id(WorkflowId(workflow_id), TaskSeq(seq)),
        status=TaskStatus.FAILED_WITH_TERMINAL_ERROR,
        reason_for_incompletion="said the worker",
    )


async def decisions(log: Log) -> list[DecisionRecord]:
    """Return the decisions in the log."""
    return [entry for entry in await _entries(log) if isinstance(entry, DecisionRecord)]


async def _entries(log: Log) -> list[EventRecord]:
    return [decode(record.value or b"") for record in await records(log, EVENTS)]


async def records(log: Log, topic: str) -> list[LogRecord]:
    """Return what partition 0 of a topic holds."""
    held = await log.offsets(topic, 0)
    reader = log.reader(topic, 0, from_offset=held.earliest)
    found: list[LogRecord] = []
    while batch := await reader.read(records_max=10_000, wait_ms=0):
        found += batch
    return found
