"""The newest records of one partition, in memory.

Holds what was appended last, for the readers that follow closely, and wakes them. Must not be touched outside
the event loop's thread.
Keeps the invariant that only committed records are in it: a reader never sees what a crash could take back.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from streams.ports import LogRecord

_RECORDS_MAX: Final = 4_096
"""A reader this far behind goes to the file, which gives it thousands at a time."""
_BYTES_MAX: Final = 2 * 1024 * 1024
"""Bounds the memory of a partition with large records."""


class PartitionTail:
    """The last records of a partition, its offsets, and who waits for the next one."""

    def __init__(self, *, earliest: int, next_offset: int, compacted: bool) -> None:
        self.earliest = earliest
        self.next = next_offset
        # A compacted partition keeps nothing here: the file knows which records have been replaced.
        self._compacted = compacted
        self._records: deque[LogRecord] = deque()
        self._bytes = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def extend(self, records: Sequence[LogRecord]) -> None:
        """Take records that have been committed, and wake the readers."""
        self.next = records[-1].offset + 1
        if not self._compacted:
            self._records.extend(records)
            self._bytes += sum(map(_bytes_of, records))
            while len(self._records) > _RECORDS_MAX or (self._bytes > _BYTES_MAX and len(self._records) > 1):
                self._bytes -= _bytes_of(self._records.popleft())
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def read(self, from_offset: int, records_max: int) -> list[LogRecord] | None:
        """Return up to `records_max` records from an offset, or None if the first is only in the file."""
        if not self._records or from_offset < self._records[0].offset:
            return None
        # A reader is nearly always close to the end, and a deque is walked from the side that one begins at.
        behind = self.next - from_offset
        newest_first = list(islice(reversed(self._records), behind))
        newest_first.reverse()
        return newest_first[:records_max]

    def trim(self, before_offset: int) -> None:
        """Forget the records below an offset."""
        self.earliest = max(self.earliest, before_offset)
        while self._records and self._records[0].offset < self.earliest:
            self._bytes -= _bytes_of(self._records.popleft())

    async def wait_appended(self, *, wait_ms: int) -> None:
        """Return at the next commit to this partition, or after `wait_ms`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=wait_ms / 1_000)
        finally:
            self._waiting.discard(waiter)


def _bytes_of(record: LogRecord) -> int:
    return len(record.key or b"") + len(record.value or b"")
