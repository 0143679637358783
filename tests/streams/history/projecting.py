"""Running a projection in a test.

Holds a context that projects the partitions of a log until it is left, and the waiting for it. Must not look into the
projection.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from streams.history import HistorySettings, HistoryStore, Projector
from streams.history.clients import StoreClient
from streams.memory import MemoryLog
from streams.ports import Log, NewRecord
from streams.topics import EVENTS, engine_topics


@asynccontextmanager
async def projected(
    log: Log, store: HistoryStore, settings: HistorySettings, *, partitions: Sequence[int] = (0,)
) -> AsyncIterator[Projector]:
    """Project while the context is open."""
    projector = Projector(log=log, store=store, settings=settings)
    for partition in partitions:
        projector.follow(partition)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(projector.run())
        try:
            yield projector
        finally:
            running.cancel()


@asynccontextmanager
async def memory_log(*partitions: Sequence[NewRecord]) -> AsyncIterator[MemoryLog]:
    """Yield a log whose partitions of `events` hold these records."""
    async with MemoryLog() as log:
        await log.create_topics(engine_topics(partitions=len(partitions)))
        for number, records in enumerate(partitions):
            if records:
                await log.append(EVENTS, number, records)
        yield log


async def wait_written(
    projector: Projector, partition: int, offset: int, *, halted: AbstractSet[int] = frozenset()
) -> None:
    """Return when everything below an offset is written, and just these partitions are halted."""
    async with asyncio.timeout(60):
        while True:
            found = (await projector.lag()).halted
            assert set(found) <= halted, found
            if (projector.position(partition) or 0) >= offset and set(found) == halted:
                return
            await asyncio.sleep(0.002)


async def forget_positions(store: HistoryStore) -> None:
    """Let the next projection begin from the first record."""
    await store.wait_open()

    def forget(client: StoreClient) -> None:
        client.execute("TRUNCATE TABLE projection_offsets")

    await store._look_up(forget)  # noqa: SLF001 (likewise)


async def all_rows(store: HistoryStore, query: str) -> list[tuple[object, ...]]:
    """Return what a query of the test's own finds."""
    await store.wait_open()

    def read(client: StoreClient) -> list[tuple[object, ...]]:
        return [tuple(row) for row in client.rows(query)]

    return await store._look_up(read)  # noqa: SLF001 (the tests see what no caller needs to)
