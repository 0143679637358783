"""A process that projects an embedded log until it is killed: its one argument is the directory.

Holds no more than the composition. Says `open` on its standard output when the history is open, and `done` when all
is written.
"""

import asyncio
import sys
from pathlib import Path

from streams.embedded import SqliteLog
from streams.history import HistorySettings, HistoryStore, Projector
from streams.topics import EVENTS

ROWS_MAX = 150
"""Small batches, so that a kill falls between any two inserts."""


async def project(directory: Path) -> None:
    """Project partition 0."""
    settings = HistorySettings(
        directory=directory / "history", rows_max=ROWS_MAX, linger_ms=1, linger_ms_max=2, cached_tasks_max=500
    )
    async with SqliteLog(directory / "log") as log, HistoryStore(settings) as store, asyncio.TaskGroup() as group:
        projector = Projector(log=log, store=store, settings=settings)
        projector.follow(0)
        running = group.create_task(projector.run())
        await store.wait_open(timeout_ms=30_000)
        print("open", flush=True)  # noqa: T201 (the parent waits for it)
        until = (await log.offsets(EVENTS, 0)).next
        while (projector.position(0) or 0) < until:
            await asyncio.sleep(0.01)
        print("done", flush=True)  # noqa: T201 (likewise)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(project(Path(sys.argv[1])))
