"""A cursor over one partition of Kafka.

Holds a position and what was fetched from there on. Must not hold up anybody: it asks by itself only what a
broker answers at once, and lets the process's common request wait for news (`streams.kafka.tail`). Keeps the
invariants that its position moves only with records that it keeps until they are returned, so that a read
which is cancelled or fails loses none; and that what it keeps is bounded.

A reader that has records to catch up with fetches them by itself, over the connection that all share. One that
has found nothing joins the tail. When its partition or broker is in trouble, it leaves the tail and asks by
itself again, which tells what the trouble is.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from streams.errors import LogCorrupt, LogUnavailable, OffsetOutOfRange
from streams.kafka import replies
from streams.kafka.cluster import Cluster
from streams.kafka.fetching import Fetched
from streams.kafka.lanes import Batch
from streams.kafka.settings import KafkaSettings
from streams.kafka.tail import Tail
from streams.kafka.unpacking import unpack
from streams.ports import LogRecord
from streams.topics import EVENTS

_FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one answer; a batch that is larger comes nevertheless, alone."""
_AHEAD_BYTES_MAX: Final = 1024 * 1024
"""With this much unread, nothing more is asked for; one more answer may come on top."""
_RETRY_S: Final = 0.05


class KafkaReader:
    """A cursor over one partition. Sees what transactions of others have committed, not what they have undone."""

    def __init__(
        self,
        cluster: Cluster,
        tail: Tail,
        settings: KafkaSettings,
        place: TopicPartition,
        *,
        from_offset: int,
    ) -> None:
        """Stand at an offset of a place, whose topic has no prefix."""
        topic, partition = place
        self.place = TopicPartition(settings.topic_prefix + topic, partition)
        self.position = from_offset
        self._cluster = cluster
        self._tail = tail
        self._topic = topic
        # Whoever follows decisions writes them elsewhere, in batches; who follows commands decides.
        self._is_lazy = topic == EVENTS
        self._timeout_s = settings.timeout_ms / 1_000
        self._buffer: deque[LogRecord] = deque()
        self._buffered_bytes = 0
        self._follows = False
        self._news: asyncio.Future[None] | None = None
        self._trouble_since_s: float | None = None

    @property
    def has_room(self) -> bool:
        """See `Follower`."""
        return self._buffered_bytes < _AHEAD_BYTES_MAX

    @property
    def is_following(self) -> bool:
        """Whether it has caught up, and the tail tells it of news."""
        return self._follows

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`."""
        if not self._buffer:
            await self._fill(wait_ms)
        buffer = self._buffer
        if len(buffer) > records_max:
            return [buffer.popleft() for _ in range(records_max)]
        records = list(buffer)
        buffer.clear()
        had_room = self.has_room
        self._buffered_bytes = 0
        if not had_room:
            self._tail.wake(self)
        return records

    async def close(self) -> None:
        """See `LogReader`."""
        self._tail.leave(self)
        self._follows = False

    def take(self, fetched: Fetched) -> bool:
        """See `Follower`."""
        try:
            self._keep(fetched.data, fetched.aborted)
        except LogCorrupt:
            return False
        self.tell()
        return True

    def take_own(self, base_offset: int, batch: Batch) -> None:
        """See `Follower`."""
        offset = base_offset
        for piece in batch.pieces:
            for record in piece.records:
                self._buffer.append(
                    LogRecord(
                        topic=self._topic,
                        partition=self.place.partition,
                        offset=offset,
                        key=record.key,
                        value=record.value,
                        appended_at_ms=batch.at_ms,
                    )
                )
                offset += 1
        self.position = offset
        self._buffered_bytes += len(batch.data)

    def tell(self) -> None:
        """See `Follower`."""
        if self._buffer and self._news is not None:
            _resolve(self._news)

    def sent_away(self) -> None:
        """See `Follower`."""
        self._tail.leave(self)
        self._follows = False
        if self._news is not None:
            _resolve(self._news)

    async def _fill(self, wait_ms: int) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_ms / 1_000
        while True:
            if self._follows and wait_ms > 0:
                await self._wait_news(deadline_s)
            else:
                await self._fetch_patiently(deadline_s)
            if self._buffer or loop.time() >= deadline_s:
                return

    async def _wait_news(self, deadline_s: float) -> None:
        """Return when the tail has told something, or at the deadline."""
        loop = asyncio.get_running_loop()
        news = self._news = loop.create_future()
        timer = loop.call_at(deadline_s, _resolve, news)
        try:
            await news
        finally:
            timer.cancel()
            self._news = None

    async def _fetch_patiently(self, deadline_s: float) -> None:
        """Fetch what is there, and join the tail if nothing is; bear trouble until the deadline, within the timeout."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                node = await self._cluster.leader(*self.place)
                await self._fetch(node)
        except (LogUnavailable, TimeoutError) as error:
            self._cluster.doubt()
            if self._trouble_since_s is None:
                self._trouble_since_s = loop.time()
            if loop.time() - self._trouble_since_s >= self._timeout_s:
                raise LogUnavailable(f"{self._where} cannot be read: {error!r}") from error
            await asyncio.sleep(min(_RETRY_S, max(0.0, deadline_s - loop.time())))
        else:
            self._trouble_since_s = None
            if not self._buffer and not self._follows and loop.time() < deadline_s:
                self._follows = True
                self._tail.join(self, node=node, lazy=self._is_lazy)

    async def _fetch(self, node: int) -> None:
        """Ask a node for what it has, without a wait."""
        position = self.position
        request = FetchRequest(
            max_wait_time=0,
            min_bytes=1,
            max_bytes=_FETCH_BYTES_MAX,
            isolation_level=READ_COMMITTED,
            topics=[(self.place.topic, [(self.place.partition, position, _FETCH_BYTES_MAX)])],
        )
        response: Any = await self._cluster.ask(request, node=node)
        for _, partitions in response.topics:
            for _, code, *answer in partitions:
                if code == replies.OFFSET_OUT_OF_RANGE and position == self.position:
                    raise OffsetOutOfRange(f"{self._where} does not hold the offset {position} (any more)")
                if code != replies.NONE:
                    raise LogUnavailable(f"{self._where} cannot be read: {replies.name_of(code)}")
                # The last field holds the records, in every version; the undone transactions are before it.
                self._keep(answer[-1], answer[3] or ())

    def _keep(self, data: bytes, aborted: Sequence[tuple[int, int]]) -> None:
        """Put records into the buffer and move on.

        Raises:
            LogCorrupt: there are none before a damaged batch; else the next fetch begins with it.
        """
        before = len(self._buffer)
        add: Callable[[LogRecord], None] = self._buffer.append
        try:
            self.position = unpack(data, aborted, topic=self._topic, place=self.place, position=self.position, add=add)
        except CorruptRecordException as error:
            if len(self._buffer) == before:
                raise LogCorrupt(f"{self._where} holds a damaged batch at {self.position}") from error
            self.position = self._buffer[-1].offset + 1
        if len(self._buffer) > before:
            self._buffered_bytes += len(data)

    @property
    def _where(self) -> str:
        return f"{self._topic}[{self.place.partition}]"


def _resolve(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)
