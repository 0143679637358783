"""The log port over `MemoryTopics`.

Holds the waiting that the synchronous topics do not know: readers that wake when something is appended. Must
not hold records of its own. Keeps the invariant that an append has happened, completely, when the call
returns.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self

from streams.errors import LogUnavailable, StreamsError
from streams.memory.topics import MemoryTopics
from streams.ports import LogRecord, NewRecord, OffsetRange
from streams.topics import TopicSpec


class MemoryLog:
    """A `Log` that forgets everything with the process, unless the topics it is given outlive it."""

    def __init__(self, topics: MemoryTopics | None = None) -> None:
        """Serve the given topics, or new ones stamped by the system's clock."""
        self._topics = topics if topics is not None else MemoryTopics(now_ms=_system_ms)
        self._waiting: dict[tuple[str, int], set[asyncio.Future[None]]] = {}
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """See `Log`."""
        self._topics.create(topics)

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> Awaitable[int]:
        """See `Log`."""
        future = asyncio.get_running_loop().create_future()
        try:
            self._require_open()
            future.set_result(self._topics.append_now(topic, partition, records))
        except StreamsError as refusal:
            future.set_exception(refusal)
        else:
            for waiter in self._waiting.pop((topic, partition), ()):
                if not waiter.done():
                    waiter.set_result(None)
        return future

    def reader(self, topic: str, partition: int, *, from_offset: int) -> "MemoryReader":
        """See `Log`."""
        return MemoryReader(self, topic, partition, from_offset)

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """See `Log`."""
        self._require_open()
        return self._topics.range(topic, partition)

    async def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """See `Log`."""
        self._require_open()
        self._topics.trim(topic, partition, before_offset=before_offset)

    async def ping(self) -> bool:
        """Tell whether the log can be used now."""
        return self._open

    def read_now(self, topic: str, partition: int, *, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        """Return what is there, without waiting. For the readers of this log."""
        self._require_open()
        return self._topics.read_now(topic, partition, from_offset=from_offset, records_max=records_max)

    async def wait_appended(self, topic: str, partition: int, *, wait_ms: int) -> None:
        """Return at the next append to the partition, or after `wait_ms`. For the readers of this log."""
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault((topic, partition), set())
        waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=wait_ms / 1_000)
        finally:
            waiters.discard(waiter)

    def _require_open(self) -> None:
        if not self._open:
            raise LogUnavailable("the log in memory is not open; enter it first, and use it only until it is left")


class MemoryReader:
    """A cursor over one partition in memory."""

    def __init__(self, log: MemoryLog, topic: str, partition: int, from_offset: int) -> None:
        self._log = log
        self._topic = topic
        self._partition = partition
        self._position = from_offset

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`."""
        found = self._read_now(records_max)
        if not found and wait_ms > 0:
            await self._log.wait_appended(self._topic, self._partition, wait_ms=wait_ms)
            found = self._read_now(records_max)
        return found

    async def close(self) -> None:
        """See `LogReader`."""

    def _read_now(self, records_max: int) -> Sequence[LogRecord]:
        found = self._log.read_now(self._topic, self._partition, from_offset=self._position, records_max=records_max)
        if found:
            self._position = found[-1].offset + 1
        return found


def _system_ms() -> int:
    return time.time_ns() // 1_000_000
