"""Tasks on a cluster: to the topics of their types, and from there to the pollers of whichever node is polled.

Holds the desk that sends tasks and the gateway that takes them. Must not keep a task that nobody here asks for: a type
that is no longer polled on this node is given back to the group. Keeps two invariants: a task's offset is committed
only once the task was handed out and its claim is durable, so that somebody answers for it all the time; and a task
whose partition went to another node is not handed out here any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from engine.ids import TaskId, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, WorkflowState
from streams.dispatch.affinity import winner
from streams.dispatch.local import rendered_pending
from streams.dispatch.queues import PollQueues, QueuedTask
from streams.errors import StreamsError
from streams.kafka.feed import KafkaTaskFeed
from streams.kafka.log import KafkaLog
from streams.kafka.outlet import KafkaOutlet, OutletRecord
from streams.kafka.settings import KafkaSettings
from streams.partition.machine import PartitionMachine
from streams.ports import LogRecord
from streams.service import PolledElsewhere
from streams.task_wire import claimed
from streams.topics import task_topic

DEFAULT_PARTITIONS: Final = 4
"""Of a task type that says nothing: so many nodes can be polled for it at once."""
PREFETCHED_MAX: Final = 200
"""Tasks of one type that wait in this node for its pollers."""
FOLLOWED_MAX: Final = 500
"""Types that this node follows at once: each is a member of a group, with a connection.

Pollers of further ones find nothing.
"""
IDLE_MS: Final = 15_000
"""A type that nobody has polled here for so long is left to other nodes. A long poll lasts at most 5 s."""
READ_WAIT_MS: Final = 1_000
AGAIN_AFTER_S: Final = 0.5

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(dict)
_log = structlog.get_logger(__name__)


class ClusterDesk:
    """The `TaskDesk` of a node on Kafka."""

    def __init__(self, outlet: KafkaOutlet, machine_of: Callable[[WorkflowId], PartitionMachine | None]) -> None:
        """Send through `outlet`; `machine_of` finds the machine that decides for a workflow in this process."""
        self._outlet = outlet
        self._machine_of = machine_of

    def offer(self, tasks: Sequence[tuple[WorkflowState, OpenTask]]) -> Awaitable[object] | None:
        """Send tasks to the topics of their types; the awaitable tells when they are durable there.

        A task's key is its affinity key, else its id: sent twice, it lands in the same partition twice.
        """
        records = [record for state, task in tasks if (record := self._record(state, task)) is not None]
        return self._outlet.send(records) if records else None

    def retract(self, task: TaskId) -> None:
        """Do nothing: a record cannot be taken back. Whoever does the task is told when it reports."""

    def _record(self, state: WorkflowState, task: OpenTask) -> OutletRecord | None:
        machine = self._machine_of(state.workflow_id)
        rendered = None if machine is None else rendered_pending(machine, state, task.spec.seq)
        if machine is None or rendered is None:
            return None
        definition = machine.task_definition(state, task)
        layout = None if definition is None else definition.queue
        spec = task.spec
        partitions = DEFAULT_PARTITIONS if layout is None else layout.partitions
        key = spec.queue_key or task_id(state.workflow_id, spec.seq)
        return OutletRecord(
            topic=task_topic(spec.type, domain=spec.domain, partitions=partitions),
            key=key.encode(),
            value=_encoder.encode(rendered),
        )


class ClusterPolls:
    """The `TaskPolls` of a node on Kafka: its queues, filled from the topics of the types that are polled here."""

    def __init__(
        self,
        queues: PollQueues,
        settings: KafkaSettings,
        *,
        log: KafkaLog,
        now_ms: Callable[[], int],
        url: str,
        node_urls: Callable[[], frozenset[str]],
    ) -> None:
        """Fill `queues` from the cluster, through `log`, while `run` runs.

        `url` is this node's, `node_urls` are those of all that own partitions.
        """
        self._queues = queues
        self._url = url
        self._node_urls = node_urls
        self._settings = settings
        self._log = log
        self._now_ms = now_ms
        self._polled_at_ms: dict[tuple[str, str], int] = {}
        self._followed: set[tuple[str, str]] = set()
        self._wanted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def poll(
        self, task_type: str, *, worker_id: str, domain: str, count: int, timeout_ms: int, here: bool = False
    ) -> list[JsonObject]:
        """See `TaskPolls`."""
        key = (task_type, domain)
        gateway = None if here else self._gateway(key)
        if gateway is not None:
            raise PolledElsewhere(task_type, gateway)
        if key in self._followed or self._may_follow(key):
            self._polled_at_ms[key] = self._now_ms()
        return await self._queues.poll(
            task_type, worker_id=worker_id, domain=domain, count=count, timeout_ms=timeout_ms
        )

    def sizes(self) -> dict[str, int]:
        """Return how many tasks wait in this node; what waits in the topics is not counted."""
        return self._queues.sizes()

    def last_poll_ms(self, task_type: str, domain: str) -> int | None:
        """See `TaskPolls`. A worker that is not seen here may read the topic itself, or poll at another node."""
        return self._queues.last_poll_ms(task_type, domain) or None

    def poll_records(self, task_type: str | None = None) -> list[JsonObject]:
        """See `TaskPolls`; the pollers of this node."""
        return self._queues.poll_records(task_type)

    def _gateway(self, key: tuple[str, str]) -> str | None:
        """Return the node that hands out a type, None if it is this one.

        All pollers of a type meet in one node: were they spread over several, each would wait for the tasks that happen
        to be in its node's share of the partitions. Which node follows from the nodes alone (rendezvous hashing).
        """
        chosen = winner("\0".join(key), self._node_urls() | {self._url})
        return None if chosen == self._url else chosen

    def _may_follow(self, key: tuple[str, str]) -> bool:
        """Begin to follow a type, unless that would be too many."""
        if len(self._followed) >= FOLLOWED_MAX:
            _log.warning("task_type_not_followed", task_type=key[0], followed=len(self._followed))
            return False
        self._followed.add(key)
        self._wanted.put_nowait(key)
        return True

    async def run(self) -> None:
        """Follow the types that are polled, until cancelled."""
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    key = await self._wanted.get()
                    group.create_task(self._follow(*key), name=f"tasks-{key[0]}")
            finally:
                # A feed that is busy with an error of its own takes its cancellation in; so it sees that it must end.
                self._polled_at_ms.clear()

    async def _follow(self, task_type: str, domain: str) -> None:
        key = (task_type, domain)
        try:
            while self._is_polled(key):
                try:
                    await self._fill(task_type, domain)
                except* StreamsError as errors:
                    _log.warning("task_feed_interrupted", task_type=task_type, reason=str(errors.exceptions[0]))
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            self._followed.discard(key)
            self._polled_at_ms.pop(key, None)

    async def _fill(self, task_type: str, domain: str) -> None:
        waiting: dict[int, set[TaskId]] = {}

        def withdraw(partitions: frozenset[int]) -> None:
            for partition in partitions:
                for attempt in waiting.pop(partition, ()):
                    self._queues.retract(attempt)

        try:
            async with KafkaTaskFeed(
                self._settings,
                task_type=task_type,
                domain=domain,
                partitions=DEFAULT_PARTITIONS,
                withdraw=withdraw,
                log=self._log,
            ) as feed:
                while self._is_polled((task_type, domain)):
                    room = PREFETCHED_MAX - sum(map(len, waiting.values()))
                    if room <= 0:
                        await asyncio.sleep(AGAIN_AFTER_S / 10)
                        continue
                    for record in await feed.read(records_max=room, wait_ms=READ_WAIT_MS):
                        self._queue(record, task_type, domain, feed, waiting)
        finally:
            withdraw(frozenset(waiting))

    def _queue(
        self,
        record: LogRecord,
        task_type: str,
        domain: str,
        feed: KafkaTaskFeed,
        waiting: dict[int, set[TaskId]],
    ) -> None:
        try:
            content: JsonObject = _decoder.decode(record.value or b"")
            attempt = TaskId(content["taskId"])
            priority = int(content.get("workflowPriority", 0))
            claimed(content, "", 0)  # what cannot be claimed must not be handed out
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
            _log.warning("task_unreadable", topic=record.topic, offset=record.offset, reason=str(error))
            feed.handed_out(record)
            return
        waiting.setdefault(record.partition, set()).add(attempt)

        def render() -> JsonObject:
            waiting.get(record.partition, set()).discard(attempt)
            return content

        self._queues.offer(
            QueuedTask(
                task_id=attempt,
                task_type=task_type,
                domain=domain,
                priority=priority,
                render=render,
                on_claimed=lambda: feed.handed_out(record),
            )
        )

    def _is_polled(self, key: tuple[str, str]) -> bool:
        return self._now_ms() - self._polled_at_ms.get(key, 0) <= IDLE_MS
