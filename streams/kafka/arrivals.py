"""The records of some partitions of one topic, as they arrive, for one caller.

Holds a reader and a task per partition, and what they have read and nobody has taken yet. Must not know why
these partitions. Keeps the invariant that of a partition that was ended nothing is taken any more; and that
what waits here is bounded.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

import structlog

from streams.errors import OffsetOutOfRange, StreamsError
from streams.kafka.log import KafkaLog
from streams.ports import LogRecord

_READ_RECORDS_MAX: Final = 500
_READ_WAIT_MS: Final = 1_000
_WAITING_MAX: Final = 1_000
"""Records that wait to be taken; the read that passes this is the last one until they are."""
_AGAIN_AFTER_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Arrivals:
    """What arrives in partitions of one topic, in the order of each. One caller takes."""

    def __init__(self, log: KafkaLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._waiting: deque[LogRecord] = deque()
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    def begin(self, partition: int, *, from_offset: int, group: asyncio.TaskGroup) -> None:
        """Read a partition, which is not being read, in a task of the group."""
        self._reading[partition] = group.create_task(
            self._read(partition, from_offset), name=f"{self._topic}-{partition}"
        )

    def end(self, partitions: Iterable[int]) -> None:
        """Read these no more, and forget what was not taken of them."""
        ended = frozenset(partitions)
        for partition in ended:
            task = self._reading.pop(partition, None)
            if task is not None:
                task.cancel()
        self._waiting = deque(record for record in self._waiting if record.partition not in ended)
        self._room.set()

    def end_all(self) -> None:
        """Read nothing more."""
        self.end(tuple(self._reading))

    def take(self, records_max: int) -> list[LogRecord]:
        """Return what has arrived, up to a number."""
        taken = [self._waiting.popleft() for _ in range(min(records_max, len(self._waiting)))]
        if taken:
            self._room.set()
        return taken

    def wake(self) -> None:
        """End the present wait: something else has changed."""
        self._news.set()

    async def wait(self, *, until_s: float) -> None:
        """Return when something arrives, or was woken, since the wait before; or at a time of the loop's clock."""
        loop = asyncio.get_running_loop()
        timer = loop.call_at(until_s, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
        self._news.clear()

    async def _read(self, partition: int, from_offset: int) -> None:
        """Read a partition until cancelled, whatever trouble the log is in meanwhile."""
        position = from_offset

        async def read_on() -> None:
            nonlocal position
            reader = self._log.reader(self._topic, partition, from_offset=position)
            try:
                while True:
                    records = await reader.read(records_max=_READ_RECORDS_MAX, wait_ms=_READ_WAIT_MS)
                    if records:
                        position = records[-1].offset + 1
                        self._waiting.extend(records)
                        self._news.set()
                        await self._wait_room()
            finally:
                await reader.close()

        while True:
            try:
                try:
                    await read_on()
                except OffsetOutOfRange as error:
                    # What retention took is stepped over: nobody was given it, and no wait brings it back.
                    position = (await self._log.offsets(self._topic, partition)).earliest
                    _log.warning("tasks_gone", topic=self._topic, partition=partition, reason=str(error))
            except StreamsError as error:
                _log.warning("tasks_unreadable", topic=self._topic, partition=partition, reason=str(error))
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def _wait_room(self) -> None:
        while len(self._waiting) >= _WAITING_MAX:
            self._room.clear()
            await self._room.wait()
