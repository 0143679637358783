"""A cursor over one partition of Kafka.

Holds a position and a connection of its own to the partition's leader, and asks for records when its caller
does. Must not read ahead of its caller. Keeps the invariant that its position moves only with records that
were returned, so that a read which is cancelled or fails loses none.

A connection of its own, because a broker answers one request of a connection after the other: a read that
waits for news would hold up every other one. Asking only when asked costs no task and no hop between tasks,
and the broker answers at once when there is something.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.errors import LogCorrupt, LogUnavailable, OffsetOutOfRange
from streams.kafka import replies
from streams.kafka.cluster import NETWORK_ERRORS, Cluster, close_connection
from streams.kafka.settings import KafkaSettings
from streams.ports import LogRecord

_FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one answer; a batch that is larger comes nevertheless, alone."""
_RETRY_S: Final = 0.05


class KafkaReader:
    """A cursor over one partition. Sees what transactions of others have committed, not what they have undone."""

    def __init__(
        self,
        cluster: Cluster,
        settings: KafkaSettings,
        place: TopicPartition,
        *,
        from_offset: int,
        closed: Callable[["KafkaReader"], None],
    ) -> None:
        """Stand at an offset of a place, whose topic has no prefix; tell `closed` at the end."""
        topic, partition = place
        self._cluster = cluster
        self._closed = closed
        self._topic = topic
        self._place = TopicPartition(settings.topic_prefix + topic, partition)
        self._timeout_s = settings.timeout_ms / 1_000
        # The connection gives up on a request after the timeout: the broker must have answered before.
        self._wait_ms_max = settings.timeout_ms // 2
        self._position = from_offset
        self._buffer: deque[LogRecord] = deque()
        self._connection: tuple[int, AIOKafkaConnection] | None = None
        self._trouble_since_s: float | None = None

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`."""
        if not self._buffer:
            await self._fill(wait_ms)
        return [self._buffer.popleft() for _ in range(min(records_max, len(self._buffer)))]

    async def close(self) -> None:
        """See `LogReader`."""
        self._closed(self)
        await self._disconnect()

    async def _fill(self, wait_ms: int) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_ms / 1_000
        while True:
            left_s = max(0.0, deadline_s - loop.time())
            try:
                await self._fetch(wait_ms=min(round(left_s * 1_000), self._wait_ms_max))
            except LogUnavailable:
                await self._disconnect()
                self._cluster.doubt()
                if self._trouble_since_s is None:
                    self._trouble_since_s = loop.time()
                if loop.time() - self._trouble_since_s >= self._timeout_s:
                    raise
                await asyncio.sleep(min(_RETRY_S, left_s))
            else:
                self._trouble_since_s = None
            if self._buffer or loop.time() >= deadline_s:
                return

    async def _fetch(self, *, wait_ms: int) -> None:
        request = FetchRequest(
            max_wait_time=wait_ms,
            min_bytes=1,
            max_bytes=_FETCH_BYTES_MAX,
            isolation_level=READ_COMMITTED,
            topics=[(self._place.topic, [(self._place.partition, self._position, _FETCH_BYTES_MAX)])],
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                response: Any = await connection.send(request)
        except NETWORK_ERRORS as error:
            raise LogUnavailable(f"{self._where} cannot be read: {error!r}") from error
        except asyncio.CancelledError:
            # The broker holds the request until its wait is over, and the next one would queue behind it.
            await self._disconnect()
            raise
        for _, partitions in response.topics:
            for _, code, *answer in partitions:
                self._take(code, answer)

    def _take(self, code: int, answer: list[Any]) -> None:
        if code == replies.OFFSET_OUT_OF_RANGE:
            raise OffsetOutOfRange(f"{self._where} does not hold the offset {self._position} (any more)")
        if code != replies.NONE:
            raise LogUnavailable(f"{self._where} cannot be read: {replies.name_of(code)}")
        # The last field holds the records, in every version; the undone transactions are third from version 5
        # on.
        records = PartitionRecords(
            self._place,
            MemoryRecords(answer[-1]),
            answer[3],
            self._position,
            None,
            None,
            True,  # noqa: FBT003  check the checksums: this log is the truth
            READ_COMMITTED,
        )
        try:
            for record in records:
                self._buffer.append(
                    LogRecord(
                        topic=self._topic,
                        partition=self._place.partition,
                        offset=record.offset,
                        key=record.key,
                        value=record.value,
                        appended_at_ms=record.timestamp,
                    )
                )
        except CorruptRecordException as error:
            # The records before the damaged batch are returned first; the next fetch begins with it.
            if not self._buffer:
                raise LogCorrupt(f"{self._where} holds a damaged batch at {self._position}") from error
        self._position = records.next_fetch_offset

    async def _connected(self) -> AIOKafkaConnection:
        node = await self._cluster.leader(self._place.topic, self._place.partition)
        if self._connection is not None:
            known, connection = self._connection
            if known == node and connection.connected():
                return connection
            await self._disconnect()
        connection = await self._cluster.connect(node)
        self._connection = (node, connection)
        return connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_connection(connection[1])

    @property
    def _where(self) -> str:
        return f"{self._topic}[{self._place.partition}]"
