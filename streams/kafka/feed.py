"""Tasks of one type, as a member of the consumer group that all takers of this type share.

Holds the membership and how far each partition has been handed out. Must not know what a task is. Keeps two
invariants: what was not handed out is never committed, so another member gets it when this one is gone; and
what was handed out is committed within a quarter of a second, so that others rarely get it again. A worker
may see a task twice; the engine takes one result.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError
from aiokafka.structs import TopicPartition

from streams.errors import LogUnavailable
from streams.kafka.admin import Topics
from streams.kafka.cluster import NETWORK_ERRORS, Cluster
from streams.kafka.settings import KafkaSettings, member_arguments
from streams.ports import LogRecord
from streams.topics import TASKS_PREFIX, task_topic

GROUP_PREFIX: Final = "workers."
"""The group of a task topic is called like the topic, with this instead of `tasks.`: public, all languages share it."""

_COMMIT_S: Final = 0.25
_SESSION_MS: Final = 10_000
"""How long after it fell silent a member's tasks go to others."""
_HEARTBEAT_MS: Final = 1_000
"""Also how late a member learns that another one came or went."""

_log = structlog.get_logger(__name__)


class KafkaTaskFeed:
    """The tasks of one type (and domain) that this member of the group is given. An async context manager."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        task_type: str,
        domain: str = "",
        partitions: int = 1,
        withdraw: Callable[[frozenset[int]], None] | None = None,
    ) -> None:
        """Join nothing yet.

        Args:
            settings: The cluster.
            task_type: Whose topic is read; it is made, with so many `partitions`, if it is missing.
            domain: Of the tasks, or "" for those without.
            partitions: Only for a topic that is missing.
            withdraw: Told of partitions that go to other members: what was read of them and not handed out
                yet must not
                be handed out any more, it is read again by whoever has the partition then.
        """
        self._settings = settings
        self._spec = task_topic(task_type, domain=domain, partitions=partitions)
        self._timeout_s = settings.timeout_ms / 1_000
        self._withdraw = withdraw
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None
        self._progress: dict[int, _Progress] = {}

    @property
    def group(self) -> str:
        """The name of the consumer group."""
        return self._settings.topic_prefix + GROUP_PREFIX + self._spec.name.removeprefix(TASKS_PREFIX)

    async def __aenter__(self) -> Self:
        tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        committing = tasks.create_task(self._commit_often())

        async def end() -> None:
            # The group is not told of an error in the block: it would wrap it.
            committing.cancel()
            await tasks.__aexit__(None, None, None)

        self._stack.push_async_callback(self._leave)
        self._stack.push_async_callback(end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what was handed out and leave the group, so that others get the rest at once."""
        await self._stack.aclose()

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """Return the next tasks, at least one if any arrives within `wait_ms`, else an empty sequence.

        Raises:
            LogUnavailable: the cluster cannot be reached; call again.
        """
        consumer = await self._joined()
        try:
            # While members change, aiokafka waits for the outcome, however long.
            async with asyncio.timeout(wait_ms / 1_000 + _COMMIT_S):
                found = await consumer.getmany(timeout_ms=wait_ms, max_records=records_max)
        except TimeoutError:
            return ()
        except NETWORK_ERRORS as error:
            raise LogUnavailable(f"the tasks of {self._spec.name} cannot be read: {error!r}") from error
        records = [
            LogRecord(
                topic=self._spec.name,
                partition=place.partition,
                offset=record.offset,
                key=record.key,
                value=record.value,
                appended_at_ms=record.timestamp,
            )
            for place, some in found.items()
            for record in some
        ]
        for record in records:
            self._progress.setdefault(record.partition, _Progress()).read(record.offset)
        return records

    def handed_out(self, record: LogRecord) -> None:
        """Say that a task has been given to a worker (or is not to be given to any). In any order."""
        progress = self._progress.get(record.partition)
        if progress is not None:
            progress.handed_out(record.offset)

    async def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            async with Cluster(self._settings) as cluster:
                topics = Topics(cluster, self._settings)
                await topics.create([self._spec])
                await topics.wait_known(self._spec)
            consumer = self._make_consumer()
            try:
                await consumer.start()
            except NETWORK_ERRORS as error:
                await consumer.stop()
                raise LogUnavailable(f"the group {self.group} cannot be joined: {error!r}") from error
            consumer.subscribe([self._settings.topic_prefix + self._spec.name], listener=_Listener(self._give_back))
            self._consumer = consumer
        return self._consumer

    def _make_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **member_arguments(
                self._settings,
                group=self.group,
                session_ms=_SESSION_MS,
                heartbeat_ms=_HEARTBEAT_MS,
                # What consumers of other languages know too: all members of a group must share one.
                assignors=(RangePartitionAssignor, RoundRobinPartitionAssignor),
            )
        )

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what has been handed out since the last time, if the group lets us; else others get it again."""
        ready = {
            TopicPartition(self._settings.topic_prefix + self._spec.name, number): progress.position
            for number, progress in self._progress.items()
            if progress.position > progress.committed
        }
        if not ready or self._consumer is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._consumer.commit(ready)
        except (*NETWORK_ERRORS, CommitFailedError) as error:
            _log.warning("task_commit_failed", topic=self._spec.name, group=self.group, reason=repr(error))
        else:
            for place, position in ready.items():
                if place.partition in self._progress:
                    self._progress[place.partition].committed = position

    async def _give_back(self, partitions: frozenset[int]) -> None:
        """1. Commit, 2. have the rest withdrawn, 3. forget: whoever has the partitions next begins where this ended."""
        await self._commit()
        if self._withdraw is not None:
            self._withdraw(partitions)
        for number in partitions:
            self._progress.pop(number, None)

    async def _leave(self) -> None:
        await self._commit()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(*NETWORK_ERRORS):
                async with asyncio.timeout(self._timeout_s):
                    await consumer.stop()


class _Progress:
    """How far one partition has been handed out: `position` is the offset before which everything was."""

    def __init__(self) -> None:
        self.position = 0
        self.committed = 0
        self._read: deque[int] = deque()
        self._handed_out: set[int] = set()

    def read(self, offset: int) -> None:
        self._read.append(offset)

    def handed_out(self, offset: int) -> None:
        if self._read and offset >= self._read[0]:
            self._handed_out.add(offset)
        while self._read and self._read[0] in self._handed_out:
            self.position = self._read.popleft() + 1
            self._handed_out.remove(self.position - 1)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Hears of partitions that go, within the group's own task, which waits for it."""

    def __init__(self, give_back: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        self._give_back = give_back

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]  a coroutine may be one
        self, revoked: Collection[TopicPartition]
    ) -> None:
        """Give back everything; the eager protocol says what comes back only afterwards."""
        if revoked:
            await self._give_back(frozenset(place.partition for place in revoked))

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Reading begins at the committed offset by itself."""
