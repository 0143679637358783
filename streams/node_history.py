"""The history of one node: the store, the projection into it, and how far it is.

Holds the composition only. Must not be waited for by any decision. Keeps the invariant that the partitions which this
node owns are the ones that it projects.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.json_value import JsonObject
from streams.history import HistorySettings, HistoryStore, Projector
from streams.ports import Log
from streams.settings import NodeSettings


class NodeHistory:
    """The history parts of a running node."""

    def __init__(self, log: Log, store: HistoryStore, settings: HistorySettings) -> None:
        """Project from `log` into `store`."""
        self.store = store
        self._projector = Projector(log=log, store=store, settings=settings)

    async def run(self) -> None:
        """Project until cancelled."""
        await self._projector.run()

    def own(self, partition: int, *, owned: bool) -> None:
        """Follow a partition while this node owns it."""
        if owned:
            self._projector.follow(partition)
        else:
            self._projector.unfollow(partition)

    def projected(self, partition: int) -> int:
        """Return the first `events` offset that is not in the history yet; 0 while that is not known."""
        return self._projector.position(partition) or 0

    async def health(self) -> JsonObject:
        """Return whether the history can answer, and how far it is behind."""
        lag = await self._projector.lag()
        return {
            "answers": self.store.is_open,
            "lagRecords": lag.records,
            "lagMs": lag.ms,
            "halted": {str(partition): why for partition, why in lag.halted.items()},
        }


@asynccontextmanager
async def open_history(settings: NodeSettings, log: Log) -> AsyncIterator[NodeHistory]:
    """Open the history that the settings name: a ClickHouse server, else the engine in this process."""
    if settings.clickhouse:
        history_settings = HistorySettings(url=settings.clickhouse)
    else:
        history_settings = HistorySettings(directory=settings.data_dir / "history")
    async with HistoryStore(history_settings) as store:
        yield NodeHistory(log, store, history_settings)
