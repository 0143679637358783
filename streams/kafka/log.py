"""The log port over Kafka.

Holds the pieces together: one view of the cluster, one producer, one tail, a reader per cursor. Must not decide
anything by itself. Keeps the names: callers speak of topics without the prefix.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

from aiokafka.structs import TopicPartition

from streams.appendable import refuse_unfit
from streams.errors import LogUnavailable, StreamsError
from streams.kafka.admin import EARLIEST, LATEST, Topics, patiently
from streams.kafka.cluster import Cluster
from streams.kafka.lanes import Batch, Lane
from streams.kafka.producer import Producer
from streams.kafka.reader import KafkaReader
from streams.kafka.settings import KafkaSettings
from streams.kafka.tail import Tail
from streams.ports import NewRecord, OffsetRange
from streams.topics import TopicSpec

_T = TypeVar("_T")

_PING_S: Final = 1.0
"""A health check that takes longer is answered: not reachable."""


class KafkaLog:
    """A `Log` on a Kafka cluster. Entering it needs no broker: what needs one says so when it is asked."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self.cluster = Cluster(settings)
        self.producer = Producer(self.cluster, settings, stored=self._stored)
        self._topics = Topics(self.cluster, settings)
        self._compacted: set[str] = set()
        self._tail = Tail(self.cluster, settings, is_sending=self.producer.is_sending)
        self._open = False

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.cluster)
        await self._stack.enter_async_context(self.producer)
        await self._stack.enter_async_context(self._tail)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        await self._stack.aclose()

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """See `Log`. Also refuses a topic that must keep everything and has a retention limit."""
        self._require_open()
        self._compacted.update(spec.name for spec in topics if spec.compacted)
        existed = await self._patiently(lambda: self._topics.create(topics))
        self.cluster.expect(self._settings.topic_prefix + spec.name for spec in topics)
        for spec in topics:
            if self._settings.topic_prefix + spec.name in existed:
                await self._patiently(partial(self._topics.check, spec))
            else:
                await self._topics.wait_known(spec)

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> Awaitable[int]:
        """See `Log`."""
        try:
            self._require_open()
            refuse_unfit(
                topic,
                records,
                compacted=topic in self._compacted,
                record_bytes_max=self._settings.record_bytes_max,
            )
        except StreamsError as refusal:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            future.set_exception(refusal)
            return future
        return self.producer.append(self._settings.topic_prefix + topic, partition, records)

    def reader(self, topic: str, partition: int, *, from_offset: int) -> KafkaReader:
        """See `Log`."""
        self._require_open()
        return KafkaReader(
            self.cluster,
            self._tail,
            self._settings,
            TopicPartition(topic, partition),
            from_offset=from_offset,
        )

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """See `Log`."""
        self._require_open()
        name = self._settings.topic_prefix + topic
        return OffsetRange(
            earliest=await self._patiently(lambda: self._topics.offset(name, partition, at=EARLIEST)),
            next=await self._patiently(lambda: self._topics.offset(name, partition, at=LATEST)),
        )

    async def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """See `Log`."""
        held = await self.offsets(topic, partition)
        goal = min(before_offset, held.next)
        if goal > held.earliest:
            name = self._settings.topic_prefix + topic
            await self._patiently(lambda: self._topics.delete_before(name, partition, before_offset=goal))

    async def ping(self) -> bool:
        """Tell whether a broker answers now, within a second."""
        if not self._open:
            return False
        try:
            async with asyncio.timeout(_PING_S):
                await self.cluster.brokers()
        except (LogUnavailable, TimeoutError):
            return False
        return True

    def _stored(self, lane: Lane, base_offset: int, batch: Batch) -> None:
        self._tail.stored(TopicPartition(lane.name, lane.partition), base_offset, batch)

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        return await patiently(ask, timeout_ms=self._settings.timeout_ms)

    def _require_open(self) -> None:
        if not self._open:
            raise LogUnavailable("the log on Kafka is not open; enter it first, and use it until it is left")
