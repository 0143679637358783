"""Where the projection of a partition gets its decisions from: the owner in this process, else the log.

Holds the choice. Must not judge, fold or write. Keeps the invariant that what comes from the owner is what the log says
at the same place: a turn is taken only where it follows, by sequence number and hash, on what the projection has read;
whatever does not is left, and the log is read there.
"""

from collections.abc import Sequence
from typing import Final

from streams.partition.chain import Chain
from streams.partition.handover import Handed, Handover
from streams.ports import Log, LogReader, LogRecord
from streams.topics import EVENTS

READ_RECORDS_MAX: Final = 500
READ_WAIT_MS: Final = 1_000
TELLS_WITHIN_MS: Final = 100
"""An owner tells of a turn a moment after the log has taken it. A log that ends before the history is asked sooner."""
LOOK_AGAIN_MS: Final = 5_000
"""An owner that has told nothing for so long may have been superseded without knowing: the log is asked."""


class DecisionFeed:
    """The decisions of one partition, in order. Not shared between callers."""

    def __init__(self, log: Log, partition: int, handover: Handover) -> None:
        """Begin with neither: the first `read` tells from where."""
        self._log = log
        self._partition = partition
        self._handover = handover
        self._reader: LogReader | None = None

    async def read(self, chain: Chain) -> Handed | Sequence[LogRecord]:
        """Return what follows where the chain stands, empty if there is nothing yet. May be cancelled and repeated.

        Raises:
            LogUnavailable: the log cannot be reached.
            OffsetOutOfRange: the log does not hold what would follow.
        """
        handover = self._handover
        offset = chain.next_offset
        handed = handover.take(offset)
        if handed is not None and _follows(handed, chain):
            await self.close()
            return handed
        until = handover.first_offset
        if not handover.is_open or offset < until:
            records_max = min(until - offset, READ_RECORDS_MAX) if handover.is_open else READ_RECORDS_MAX
            return await self._read_log(offset, records_max, READ_WAIT_MS)
        # Of all that the owner has told nothing is left. Ahead of it is whoever has read what the log has just taken.
        told = handover.next_offset
        await self.close()
        if handover.next_offset == told:
            await handover.wait_news(timeout_ms=TELLS_WITHIN_MS if offset > told else LOOK_AGAIN_MS)
        if handover.next_offset == told and (offset > told or await self._is_behind(offset)):
            return await self._read_log(offset, READ_RECORDS_MAX, READ_WAIT_MS)
        return ()

    async def close(self) -> None:
        """Release the cursor over the log: while the owner hands over, nothing is fetched. Idempotent."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def _is_behind(self, offset: int) -> bool:
        return (await self._log.offsets(EVENTS, self._partition)).next > offset

    async def _read_log(self, offset: int, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        if self._reader is None:
            self._reader = self._log.reader(EVENTS, self._partition, from_offset=offset)
        return await self._reader.read(records_max=records_max, wait_ms=wait_ms)


def _follows(handed: Handed, chain: Chain) -> bool:
    first = handed.decided[0].record
    return first.epoch == chain.epoch and first.sequence == chain.sequence + 1 and first.previous == chain.hash
