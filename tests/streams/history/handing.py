"""An owner and a projection in one process, for tests.

Holds a log that counts what is read from it, and a crowd whose decisions are appended and handed over. Must not look
into the projection. Keeps the invariant that nothing is handed over that is not in the log.
"""

import asyncio
from collections.abc import Sequence

from streams.history import HistoryStore
from streams.memory import MemoryLog
from streams.ports import Log, LogRecord
from streams.topics import EVENTS
from tests.streams.history.projecting import all_rows
from tests.streams.history.recorded import Crowd, RecordedPartition

TABLES = ("workflow_executions", "task_executions", "workflow_events")


class CountingLog(MemoryLog):
    """A log in memory that counts the records of `events` that were read from it."""

    events_read = 0

    def read_now(self, topic: str, partition: int, *, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        """Read, and count."""
        found = super().read_now(topic, partition, from_offset=from_offset, records_max=records_max)
        if topic == EVENTS:
            self.events_read += len(found)
        return found


async def live_handing_over(recorded: RecordedPartition, crowd: Crowd, log: Log, *, steps: int) -> None:
    """Let the crowd live, appending each decision as it is handed over, in the same step of the event loop."""
    for number in range(steps):
        start = len(recorded.records)
        crowd.live(1)
        new = recorded.new_records(start=start)
        if new:
            appended = log.append(EVENTS, recorded.partition, new)
            assert await appended == start
        if number % 7 == 0:
            await asyncio.sleep(0)


async def everything(store: HistoryStore) -> list[list[tuple[object, ...]]]:
    """Return all rows of all tables, and where each partition's projection stands."""
    found = [await all_rows(store, f"SELECT * FROM {table} FINAL ORDER BY ALL") for table in TABLES]  # noqa: S608 (constants)
    found.append(
        await all_rows(store, "SELECT log_partition, next_offset, chain FROM projection_offsets FINAL ORDER BY ALL")
    )
    return found
