"""A log in memory whose appends a test holds back, or lets fail.

Holds what waits for the test. Must not change what is appended. Keeps the invariant of the port: per partition, what
was appended first is there first.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence

from streams.errors import StreamsError
from streams.memory import MemoryLog, MemoryTopics
from streams.memory.log import MemoryReader
from streams.ports import NewRecord


class HeldLog(MemoryLog):
    """A `Log` that keeps appends to some topics until it is told to let them go."""

    def __init__(self, topics: MemoryTopics | None = None) -> None:
        """Hold nothing back yet."""
        super().__init__(topics)
        self._held: dict[str, deque[tuple[int, Sequence[NewRecord], asyncio.Future[int]]]] = {}
        self._failing: dict[str, StreamsError] = {}
        self._arrived = asyncio.Event()
        self.may_close = asyncio.Event()
        """Cleared, it keeps readers from closing, as a connection that is slow to end."""
        self.may_close.set()

    def hold(self, topic: str) -> None:
        """Keep every append to a topic from now on."""
        self._held.setdefault(topic, deque())

    def fail(self, topic: str, error: StreamsError) -> None:
        """Refuse every append to a topic from now on."""
        self._failing[topic] = error

    def heal(self, topic: str) -> None:
        """Refuse no more."""
        self._failing.pop(topic, None)

    def held(self, topic: str) -> int:
        """Return how many appends to a topic wait."""
        return len(self._held.get(topic, ()))

    async def wait_held(self, topic: str, count: int = 1) -> None:
        """Return when so many appends to a topic wait."""
        while self.held(topic) < count:
            self._arrived.clear()
            await self._arrived.wait()

    def let_go(self, topic: str, count: int | None = None) -> None:
        """Store the oldest appends that wait, all of them if no number is given; others go on waiting."""
        waiting = self._held[topic]
        for _ in range(len(waiting) if count is None else count):
            partition, records, told = waiting.popleft()
            stored = super().append(topic, partition, records)
            assert isinstance(stored, asyncio.Future)
            if not told.done():
                told.set_result(stored.result())

    def release(self, topic: str) -> None:
        """Store what waits, and keep nothing any more."""
        self.let_go(topic)
        del self._held[topic]

    def lose(self, topic: str, error: StreamsError) -> None:
        """Refuse what waits, and keep nothing any more."""
        for _, _, told in self._held.pop(topic):
            if not told.done():
                told.set_exception(error)

    def reader(self, topic: str, partition: int, *, from_offset: int) -> MemoryReader:
        """See `Log`."""
        return _SlowReader(self, topic, partition, from_offset)

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> Awaitable[int]:
        """See `Log`."""
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if topic in self._failing:
            told.set_exception(self._failing[topic])
            return told
        if topic not in self._held:
            return super().append(topic, partition, records)
        self._held[topic].append((partition, records, told))
        self._arrived.set()
        return told


class _SlowReader(MemoryReader):
    def __init__(self, log: HeldLog, topic: str, partition: int, from_offset: int) -> None:
        super().__init__(log, topic, partition, from_offset)
        self._may_close = log.may_close

    async def close(self) -> None:
        await self._may_close.wait()
