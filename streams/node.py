"""One running node: everything of the shell put together.

Holds the composition of log, registry, owned partitions, effects, queues and history, and the life of its background
work. Must not hold rules of any of them. Keeps the invariants that a node whose log is away stays up and says so, that
it goes on by itself when the log is back, and that any unexpected death of a background task ends the node instead of
leaving it half alive.
"""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
import structlog

from engine.context import NO_LISTENERS, Listeners
from engine.graph import Graphs
from engine.ids import WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState
from streams.backend import Backend, open_embedded
from streams.command_outlet import CommandOutlet
from streams.dispatch.claims import Claims
from streams.dispatch.queues import PollQueues
from streams.errors import LogUnavailable, StreamsError
from streams.eviction import Evictions
from streams.instants import epoch_ms
from streams.kept_outputs import KeptOutputs
from streams.node_history import NodeHistory, open_history
from streams.outward import NodeOutward
from streams.ownership import OwnedPartitions
from streams.partition.machine import PartitionMachine
from streams.partition.processor import PartitionProcessor, Settings
from streams.ports import LogRecord
from streams.publishing.relay import Relays
from streams.publishing.sinks import KafkaTargets, Sinks, TopicPublisher
from streams.publishing.tasks import BuiltInPublications
from streams.registry import Registry
from streams.rehearsals import NodeRehearsals
from streams.replies import Replies
from streams.requests import BuiltInRequests
from streams.schemas import JsonSchemas
from streams.script_tasks import BuiltInScripts
from streams.scripts.pool import ScriptPool
from streams.service import Definitions, History, Rehearsals, TaskPolls, Workflows
from streams.settings import NodeSettings
from streams.topics import engine_topics
from streams.workers.http import HttpWorker
from streams.workers.outbound import OutboundPolicy
from streams.workflows import NodeWorkflows

BRING_UP_AGAIN_AFTER_S: Final = 1.0
BRING_UP_WAIT_MS: Final = 60_000
EVICT_EVERY_S: Final = 1.0
SETTLE_WITHIN_S: Final = 2.0
"""At an orderly end. With the requests that run (8 s by default) it stays within the 10 s that supervisors give."""
START_MARK: Final = b'"start_workflow"'
FAMILY_MARKS: Final = (b'"revive_task"', b'"resume_child"')
"""What an ended workflow may be told by another one."""


class _Wanted(msgspec.Struct, rename="camel"):
    """What of a start command the registry must know."""

    name: str
    version: int | None = None
    workflow_def: msgspec.Raw | None = None


_wanted_decoder: Final = msgspec.json.Decoder(_Wanted, strict=False)

_log = structlog.get_logger(__name__)


class RunningNode:
    """The `Node` of this process."""

    def __init__(self, settings: NodeSettings, backend: Backend, history: NodeHistory) -> None:
        """Put the parts together; `run` gives them life."""
        self._settings = settings
        self._backend = backend
        self._history = history
        self._name = f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(32):08x}"
        self._noise = random.random
        self._schemas = JsonSchemas()
        self._outputs = KeptOutputs()
        self._listeners = _listeners(settings)
        self._not_up = "the node is starting"
        self._up = asyncio.Event()
        self._registry = Registry(backend.log, on_change=self._definitions_changed)
        self._graphs = Graphs(self._registry)
        self._commands = CommandOutlet(backend.log, partitions=backend.partitions)
        self._replies = Replies(process=self._name)
        claims = Claims(self._commands)
        self._queues = PollQueues(
            now_ms=epoch_ms, claim=claims.claim, references=settings.references, refuse=claims.refuse
        )
        self._owned = OwnedPartitions(
            self._make_processor, on_change=self._owned_changed, announce=backend.announce_owner
        )
        self._evictions = Evictions(self._owned, projected=history.projected, now_ms=epoch_ms)
        self._polls = backend.make_polls(self._queues)
        policy = OutboundPolicy(
            allow_private=settings.allow_private_targets, allowed_hosts=frozenset(settings.allowed_hosts)
        )
        self._http = HttpWorker(policy=policy)
        self._requests = BuiltInRequests(self._http, self._commands, settings.references)
        self._scripts = BuiltInScripts(
            ScriptPool,
            self._commands,
            graph_of=lambda state: self._graphs.of(state.started),
            references=settings.references,
        )
        self._sinks = Sinks(
            log=backend.log, partitions=backend.partitions, http=self._http, kafka=_kafka_targets(settings)
        )
        self._publications = BuiltInPublications(self._sinks, self._commands)
        self._relays = Relays(backend.log, self._sinks, patience_s=settings.publish_patience_seconds)
        self._rehearsals = NodeRehearsals(self._registry, self._scripts, self._schemas)
        self._outward = NodeOutward(
            log=backend.log,
            commands=self._commands,
            replies=self._replies,
            desk=backend.make_desk(self._queues, self._machine_of),
            requests=self._requests,
            scripts=self._scripts,
            publications=self._publications,
            announce=backend.durable_queues,
            on_ended=self._ended,
            on_outgoing=self._relays.wake,
        )
        self._workflows = NodeWorkflows(
            commands=self._commands,
            replies=self._replies,
            owned=self._owned,
            history=history.store,
            owner_url=backend.owner_url,
            taken_back=self._ended,
        )

    # ---- what the surfaces see

    @property
    def workflows(self) -> Workflows:
        """Commands to workflows and the state of open ones."""
        self._require_up()
        return self._workflows

    @property
    def definitions(self) -> Definitions:
        """The registered definitions."""
        self._require_up()
        return self._registry

    @property
    def graphs(self) -> Graphs:
        """The compiled definitions that workflows run by."""
        return self._graphs

    @property
    def polls(self) -> TaskPolls:
        """The tasks that wait for pollers. Answers, emptily, also while the log is away."""
        return self._polls

    @property
    def rehearsals(self) -> Rehearsals:
        """Runs with prepared answers."""
        self._require_up()
        return self._rehearsals

    @property
    def history(self) -> History:
        """Finished and open executions as the projection knows them."""
        return self._history.store

    async def health(self) -> JsonObject:
        """Return whether this node can do its work, and for each part in words why not."""
        reachable = await self._backend.ping()
        deciding = sorted(processor.partition for processor in self._owned.deciding())
        recovering = sorted(self._owned.assigned - set(deciding) - set(self._owned.halted))
        history = await self._history.health()
        healthy = reachable and self._up.is_set() and not self._owned.halted and not recovering
        return {
            "healthy": healthy,
            "log": "reachable" if reachable else "not reachable: calls answer 503 until it is back",
            "node": "up" if self._up.is_set() else self._not_up,
            "partitions": {
                "deciding": deciding,
                "recovering": recovering,
                "halted": {str(partition): why for partition, why in self._owned.halted.items()},
            },
            "history": history,
        }

    # ---- life

    async def run(self) -> None:
        """Do the background work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commands.run(), name="commands")
            group.create_task(self._owned.run(), name="partitions")
            group.create_task(self._requests.run(), name="requests")
            group.create_task(self._scripts.run(), name="scripts")
            group.create_task(self._evict(), name="evictions")
            group.create_task(self._history.run(), name="history")
            group.create_task(self._work(), name="work")

    async def wait_up(self) -> None:
        """Return when the log is there, the registry read and every assigned partition decides."""
        await self._up.wait()
        await self._owned.wait_assigned()
        for partition in self._owned.assigned:
            await self._owned.wait_deciding(partition, timeout_ms=BRING_UP_WAIT_MS)

    async def settle(self) -> None:
        """Wait, within a bound, until what this node has taken is stored and, where it decides itself, decided.

        For an orderly end: a task that was handed out is claimed then, so nobody gets it again after the next start.
        """
        with contextlib.suppress(TimeoutError, StreamsError):
            async with asyncio.timeout(SETTLE_WITHIN_S):
                await self._commands.flush()
                for processor in self._owned.deciding():
                    offset = await self._commands.flushed(processor.partition)
                    if offset is not None:
                        await processor.wait_decided(offset)

    async def _work(self) -> None:
        """Bring the node up, whenever the log is there, then own what is assigned."""
        async with AsyncExitStack() as stack:
            topics = engine_topics(partitions=self._backend.partitions)
            await self._until_reachable(lambda: self._backend.log.create_topics(topics))
            await self._until_reachable(lambda: stack.enter_async_context(self._registry))
            await stack.enter_async_context(self._http)
            await stack.enter_async_context(self._sinks)
            self._up.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._backend.follow_owners(), name="owners")
                group.create_task(self._publications.run(), name="publications")
                group.create_task(self._relays.run(), name="relays")
                group.create_task(self._polls.run(), name="polls")
                group.create_task(self._backend.assignment.run(self._owned), name="assignment")

    async def _until_reachable(self, step: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await step()
            except StreamsError as error:
                if not error.retriable:
                    raise
                self._not_up = f"not up: {error}"
                _log.warning("log_unreachable", reason=str(error))
                await asyncio.sleep(BRING_UP_AGAIN_AFTER_S)
            else:
                return

    async def _evict(self) -> None:
        while True:
            await asyncio.sleep(EVICT_EVERY_S)
            self._evictions.evict()

    def _require_up(self) -> None:
        if not self._up.is_set():
            raise LogUnavailable(self._not_up)

    # ---- what the parts ask of each other

    def _make_processor(self, partition: int) -> PartitionProcessor:
        machine = PartitionMachine(
            partition=partition,
            partitions=self._backend.partitions,
            definitions=self._registry,
            noise=self._noise,
            durable_queues=self._backend.durable_queues,
            listeners=self._listeners,
            schemas=self._schemas,
            outputs=self._outputs,
        )
        return PartitionProcessor(
            log=self._backend.log,
            partition=partition,
            machine=machine,
            outward=self._outward,
            settings=Settings(
                owner=self._name,
                url=self._settings.url,
                partitions=self._backend.partitions,
                snapshot_every_ms=self._settings.snapshot_every_ms,
                is_alone=not self._backend.durable_queues,
            ),
            now_ms=epoch_ms,
            load=self._load,
            handover=self._history.handover(partition),
        )

    async def _load(self, commands: Sequence[LogRecord]) -> None:
        """Fetch what decisions about these commands need and is not in memory.

        That is a definition that is not known here yet; and an ended workflow that a parent or a child speaks to.
        """
        is_fresh = False
        for record in commands:
            value = record.value or b""
            if not is_fresh and START_MARK in value and self._names_unknown(value):
                await self._registry.refresh()
                is_fresh = True
            if any(mark in value for mark in FAMILY_MARKS):
                await self._workflows.bring_back(record)

    def _names_unknown(self, value: bytes) -> bool:
        try:
            wanted = _wanted_decoder.decode(value)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return False
        return wanted.workflow_def is None and self._registry.find_workflow(wanted.name, wanted.version) is None

    def _machine_of(self, workflow_id: WorkflowId) -> PartitionMachine | None:
        processor = self._owned.processor(self._commands.partition_of(workflow_id))
        return None if processor is None else processor.machine

    def _ended(self, state: WorkflowState) -> None:
        self._evictions.note(self._commands.partition_of(state.workflow_id), state)

    def _definitions_changed(self) -> None:
        """Let limiters that nobody asks just now look at their definitions: who waits may go, or has to wait longer."""
        for processor in self._owned.deciding():
            for command in processor.machine.outdated_limits():
                self._commands.enqueue(command)

    def _owned_changed(self, partition: int, *, owned: bool) -> None:
        self._history.own(partition, owned=owned)
        self._relays.own(partition, owned=owned)
        if not owned:
            self._replies.abandon(partition)


def _listeners(settings: NodeSettings) -> Listeners:
    """Return where changes of status are told; without any, decisions do not even ask."""
    found = Listeners(workflow_sink=settings.workflow_status_sink, task_sink=settings.task_status_sink)
    return NO_LISTENERS if found == NO_LISTENERS else found


def _kafka_targets(settings: NodeSettings) -> KafkaTargets:
    def open_publisher(servers: str) -> TopicPublisher:
        from streams.kafka.publisher import KafkaPublisher  # noqa: PLC0415 - as for the backend
        from streams.kafka.settings import KafkaSettings  # noqa: PLC0415

        return KafkaPublisher(KafkaSettings(bootstrap=servers))

    return KafkaTargets(
        default=settings.event_kafka or settings.kafka or "",
        allowed=frozenset(settings.publish_servers),
        prefix=settings.topic_prefix,
        open_publisher=open_publisher,
    )


def _open_backend(settings: NodeSettings) -> AbstractAsyncContextManager[Backend]:
    if settings.kafka is None:
        return open_embedded(settings)
    from streams.cluster import open_kafka  # noqa: PLC0415 - a node alone starts faster without Kafka's client

    return open_kafka(settings, now_ms=epoch_ms)


@asynccontextmanager
async def open_node(settings: NodeSettings) -> AsyncGenerator[RunningNode]:
    """Run a node while the block runs. On the embedded log it is up when the block begins; on Kafka it says when.

    Raises:
        StoreLocked: another process uses the data directory.
        TopicMismatch: the log was made for something else.
    """
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(_open_backend(settings))
        history = await stack.enter_async_context(open_history(settings, backend.log))
        node = RunningNode(settings, backend, history)
        async with asyncio.TaskGroup() as group:
            life = group.create_task(node.run(), name="node")
            try:
                if settings.kafka is None:
                    await node.wait_up()
                yield node
                await node.settle()
            finally:
                life.cancel()
