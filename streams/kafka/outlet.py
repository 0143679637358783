"""Records for many topics in one turn: tasks, outcomes, what could not be read.

Holds which topics are known to exist, and makes those that are not. Must not know what it sends. Keeps the
invariant that its awaitable resolves only when every record is durable.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from streams.appendable import refuse_unfit
from streams.errors import LogUnavailable, StreamsError
from streams.kafka.admin import Topics, patiently
from streams.kafka.cluster import Cluster
from streams.kafka.log import KafkaLog
from streams.kafka.producer import Producer
from streams.kafka.settings import KafkaSettings
from streams.ports import NewRecord
from streams.topics import TopicSpec, partition_of


class OutletRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record for a topic. Its partition follows from the key; without key, partitions take turns."""

    topic: TopicSpec
    key: bytes | None
    value: bytes | None


class KafkaOutlet:
    """Produces to topics that need not exist yet. An async context manager."""

    def __init__(self, settings: KafkaSettings, *, log: KafkaLog | None = None) -> None:
        """Share the producer of an open `log`, so that its appends and these go in the same requests; or have one."""
        self._settings = settings
        self._stack = AsyncExitStack()
        self._is_shared = log is not None
        self._cluster = Cluster(settings) if log is None else log.cluster
        self._producer = Producer(self._cluster, settings) if log is None else log.producer
        self._topics = Topics(self._cluster, settings)
        self._tasks = asyncio.TaskGroup()
        self._making: dict[str, asyncio.Future[None]] = {}
        self._turns: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        if not self._is_shared:
            await self._stack.enter_async_context(self._cluster)
            await self._stack.enter_async_context(self._producer)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is outstanding, within the timeout."""
        # The group is not told of an error in the block: it would wrap it.
        await self._tasks.__aexit__(None, None, None)
        await self._stack.aclose()

    def send(self, records: Sequence[OutletRecord]) -> Awaitable[object]:
        """Send records; the awaitable resolves when all are durable.

        Records of one partition keep the order of the calls, except for a topic that is being made. An
        operator may give a topic another number of partitions than its declaration says; the topic's own
        number counts.

        Raises (when awaited):
            LogUnavailable: nothing is known about some of the records, the others may be in the log.
            RecordTooLarge: a record is above the limit; nothing was sent.
        """
        try:
            for record in records:
                refuse_unfit(
                    record.topic.name,
                    [NewRecord(key=record.key, value=record.value)],
                    compacted=record.topic.compacted,
                    record_bytes_max=self._settings.record_bytes_max,
                )
        except StreamsError as refusal:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(refusal)
            return refused
        missing = {record.topic.name: record.topic for record in records if self._count(record.topic) is None}
        if not missing:
            return self._produce(records)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.create_task(self._make_and_produce(list(missing.values()), records, sent))
        return sent

    def _produce(self, records: Sequence[OutletRecord]) -> Awaitable[object]:
        batches: dict[tuple[str, int], list[NewRecord]] = {}
        for record in records:
            name = self._settings.topic_prefix + record.topic.name
            batches.setdefault((name, self._partition(name, record)), []).append(
                NewRecord(key=record.key, value=record.value)
            )
        return asyncio.gather(
            *(self._producer.append(name, partition, batch) for (name, partition), batch in batches.items())
        )

    async def _make_and_produce(
        self, topics: Sequence[TopicSpec], records: Sequence[OutletRecord], sent: asyncio.Future[None]
    ) -> None:
        try:
            for spec in topics:
                await self._made(spec)
            await self._produce(records)
        except StreamsError as error:
            if not sent.done():
                sent.set_exception(error)
        else:
            if not sent.done():
                sent.set_result(None)

    async def _made(self, spec: TopicSpec) -> None:
        """Make a topic, once for all that wait for it."""
        making = self._making.get(spec.name)
        if making is not None:
            await asyncio.wait((making,))
            making.result()
            return
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._making[spec.name] = made
        try:
            await patiently(lambda: self._topics.create([spec]), timeout_ms=self._settings.timeout_ms)
            await self._topics.wait_known(spec)
        except BaseException as error:
            made.set_exception(LogUnavailable(f"topic {spec.name} could not be made: {error}"))
            made.exception()  # nobody else may be waiting
            raise
        else:
            made.set_result(None)
        finally:
            del self._making[spec.name]

    def _partition(self, name: str, record: OutletRecord) -> int:
        count = self._cluster.partitions_known(name)
        if count is None:
            raise LogUnavailable(f"topic {name} is not known to the cluster any more")
        if record.key is not None:
            return partition_of(record.key, count)
        turn = self._turns[name] = self._turns.get(name, -1) + 1
        return turn % count

    def _count(self, spec: TopicSpec) -> int | None:
        return self._cluster.partitions_known(self._settings.topic_prefix + spec.name)
