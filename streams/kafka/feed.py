"""Tasks of one type, as a member of the consumer group that all takers of this type share.

Holds the membership and how far each partition has been handed out. Must not know what a task is. Keeps two
invariants: what was not handed out is never committed, so another member gets it when this one is gone; and
what was handed out is committed within a quarter of a second, so that others rarely get it again. A worker
may see a task twice; the engine takes one result.

aiokafka's consumer is used for the membership and the commits alone: the records come through the process's
common tail (`streams.kafka.tail`), those that this process itself has offered without a way to the broker and
back.
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
from streams.kafka.arrivals import Arrivals
from streams.kafka.cluster import NETWORK_ERRORS
from streams.kafka.log import KafkaLog
from streams.kafka.settings import KafkaSettings, member_arguments
from streams.ports import LogRecord
from streams.topics import TASKS_PREFIX, task_topic

GROUP_PREFIX: Final = "workers."
"""The group of a task topic is called like the topic, with this instead of `tasks.`: public, all languages share it."""

_COMMIT_S: Final = 0.25
_WATCH_MS: Final = 1_000
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
        log: KafkaLog | None = None,
    ) -> None:
        """Join nothing yet.

        Args:
            settings: The cluster.
            task_type: Whose topic is read; it is made, with so many `partitions`, if it is missing.
            domain: Of the tasks, or "" for those without.
            partitions: Only for a topic that is missing.
            withdraw: Told of partitions that go to other members: what was read of them and not handed out
                yet must not be handed out any more, it is read again by whoever has the partition then.
            log: The open log whose tail is shared; without it, the feed opens one.
        """
        self._settings = settings
        self._spec = task_topic(task_type, domain=domain, partitions=partitions)
        self._timeout_s = settings.timeout_ms / 1_000
        self._withdraw = withdraw
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None
        self._progress: dict[int, _Progress] = {}
        self._log = log or KafkaLog(settings)
        self._is_log_shared = log is not None
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self._arrivals = Arrivals(self._log, self._spec.name)
        self._new: set[int] = set()
        """Partitions that were assigned and are not read yet."""
        self._failure: BaseException | None = None

    @property
    def group(self) -> str:
        """The name of the consumer group."""
        return self._settings.topic_prefix + GROUP_PREFIX + self._spec.name.removeprefix(TASKS_PREFIX)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if not self._is_log_shared:
                await stack.enter_async_context(self._log)
            await self._tasks.__aenter__()
            self._running.append(self._tasks.create_task(self._commit_often()))
            stack.push_async_callback(self._leave)
            stack.push_async_callback(self._end)
            self._stack = stack.pop_all()
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
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_ms / 1_000
        try:
            await self._begin_new(consumer)
            while not (records := self._arrivals.take(records_max)) and loop.time() < until_s:
                await self._arrivals.wait(until_s=until_s)
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                await self._begin_new(consumer)
        except NETWORK_ERRORS as error:
            raise LogUnavailable(f"the tasks of {self._spec.name} cannot be read: {error!r}") from error
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
            topics = Topics(self._log.cluster, self._settings)
            await topics.create([self._spec])
            await topics.wait_known(self._spec)
            consumer = self._make_consumer()
            try:
                await consumer.start()
            except NETWORK_ERRORS as error:
                await consumer.stop()
                raise LogUnavailable(f"the group {self.group} cannot be joined: {error!r}") from error
            listener = _Listener(consumer, self._give_back, self._begin)
            consumer.subscribe([self._settings.topic_prefix + self._spec.name], listener=listener)
            self._consumer = consumer
            self._running.append(self._tasks.create_task(self._watch(consumer)))
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

    def _begin(self, partitions: frozenset[int]) -> None:
        self._new |= partitions
        self._arrivals.wake()

    async def _begin_new(self, consumer: AIOKafkaConsumer) -> None:
        """Read what was assigned, each partition from where the group has got to in it."""
        for number in sorted(self._new):
            position = await consumer.committed(self._place(number))
            if position is None:
                position = (await self._log.offsets(self._spec.name, number)).earliest
            if number in self._new:  # it may have gone meanwhile
                self._new.discard(number)
                self._arrivals.begin(number, from_offset=position, group=self._tasks)

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Ask for records, of which there are none, to hear of errors of the membership."""
        while True:
            try:
                await consumer.getmany(timeout_ms=_WATCH_MS)
            except NETWORK_ERRORS as error:
                self._failure = error
                self._arrivals.wake()
                await asyncio.sleep(_COMMIT_S)

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what has been handed out since the last time, if the group lets us; else others get it again."""
        ready = {
            self._place(number): progress.position
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
        """1. Read no more, 2. commit, 3. have the rest withdrawn, 4. forget: who comes next begins where this ended."""
        self._new -= partitions
        self._arrivals.end(partitions)
        await self._commit()
        if self._withdraw is not None:
            self._withdraw(partitions)
        for number in partitions:
            self._progress.pop(number, None)

    async def _end(self) -> None:
        for task in self._running:
            task.cancel()
        self._arrivals.end_all()
        # The group is not told of an error in the block: it would wrap it.
        await self._tasks.__aexit__(None, None, None)

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic_prefix + self._spec.name, partition)

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
    """Hears of partitions that come and go, within the group's own task, which waits for it."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        give_back: Callable[[frozenset[int]], Awaitable[None]],
        begin: Callable[[frozenset[int]], None],
    ) -> None:
        self._consumer = consumer
        self._give_back = give_back
        self._begin = begin

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]  a coroutine may be one
        self, revoked: Collection[TopicPartition]
    ) -> None:
        """Give back everything; the eager protocol says what comes back only afterwards."""
        if revoked:
            await self._give_back(frozenset(place.partition for place in revoked))

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Take note, and see to it that the consumer itself fetches no record."""
        self._consumer.pause(*assigned)
        self._begin(frozenset(place.partition for place in assigned))
