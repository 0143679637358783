"""A process that owns a partition of an embedded log and projects it, until it is killed.

Arguments: the directory and a seed. Holds no more than the composition. Says `deciding` on its standard output when it
has recovered and the history is open.
"""

import asyncio
import sys
from pathlib import Path

from streams.embedded import SqliteLog
from streams.history import HistorySettings, HistoryStore, Projector
from streams.topics import EVENTS, engine_topics
from tests.streams.history.recorded import Crowd, RecordedPartition

STEPS_PER_APPEND = 5


async def own(directory: Path, seed: int) -> None:
    """Own partition 0: read the log, claim, then decide for ever, handing over what the log has acknowledged."""
    settings = HistorySettings(
        directory=directory / "history", rows_max=150, linger_ms=1, linger_ms_max=2, handed_decisions_max=60
    )
    async with SqliteLog(directory / "log") as log, HistoryStore(settings) as store, asyncio.TaskGroup() as group:
        await log.create_topics(engine_topics(partitions=1))
        projector = Projector(log=log, store=store, settings=settings)
        projector.follow(0)
        group.create_task(projector.run())
        await store.wait_open(timeout_ms=30_000)
        recorded = RecordedPartition()
        recorded.go_on_from(await _values(log), owner=f"owner-{seed}")
        written = len(recorded.records) - 1
        crowd = Crowd(recorded, seed=seed)
        crowd.go_on()
        print("deciding", flush=True)  # noqa: T201 (the parent waits for it)
        handover = projector.handover(0)
        while True:
            # What is decided here is only handed over when the log has it: a kill may come at any moment between.
            new = recorded.new_records(start=written)
            if await log.append(EVENTS, 0, new) != written:
                message = "somebody else writes"
                raise AssertionError(message)
            written += len(new)
            if not handover.is_open:
                handover.open(written)
            for turn, position in recorded.take_turns():
                handover.offer(turn, position)
            crowd.live(STEPS_PER_APPEND)


async def _values(log: SqliteLog) -> list[bytes]:
    until = (await log.offsets(EVENTS, 0)).next
    reader = log.reader(EVENTS, 0, from_offset=0)
    values: list[bytes] = []
    while len(values) < until:
        values.extend(record.value or b"" for record in await reader.read(records_max=5_000, wait_ms=100))
    await reader.close()
    return values


if __name__ == "__main__":
    asyncio.run(own(Path(sys.argv[1]), int(sys.argv[2])))
