"""A cursor over one partition of the embedded log.

Holds the choice between memory and file: the newest records come from memory, older ones from the file. Must
not write. Keeps the invariant that it only gives what was committed, in order, each record once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from streams.embedded.tail import PartitionTail
from streams.errors import OffsetOutOfRange
from streams.ports import LogRecord

FileRead = Callable[[int, int], Awaitable[Sequence[LogRecord]]]
"""Reads the file from an offset, at most so many records."""


class SqliteReader:
    """A cursor over one partition."""

    def __init__(self, tail: PartitionTail, *, name: str, from_offset: int, read_file: FileRead) -> None:
        """Stand at `from_offset`. `name` is the partition's, for messages."""
        self._tail = tail
        self._name = name
        self._position = from_offset
        self._read_file = read_file

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_ms / 1_000
        while True:
            found = await self._read_now(records_max)
            if found:
                self._position = found[-1].offset + 1
                return found
            left_ms = round((deadline_s - loop.time()) * 1_000)
            if left_ms <= 0:
                return ()
            await self._tail.wait_appended(wait_ms=left_ms)

    async def close(self) -> None:
        """See `LogReader`."""

    async def _read_now(self, records_max: int) -> Sequence[LogRecord]:
        tail = self._tail
        if not tail.earliest <= self._position <= tail.next:
            raise OffsetOutOfRange(
                f"{self._name} can be read from {tail.earliest} to {tail.next}; {self._position} was asked"
            )
        if self._position == tail.next:
            return ()
        found = tail.read(self._position, records_max)
        if found is not None:
            return found
        committed = tail.next
        stored = await self._read_file(self._position, records_max)
        if not stored:
            # A compacted partition whose records up to here have all been replaced or swept.
            self._position = committed
        return stored
