"""The history of one node: the store, the projection into it, and how far it is.

Holds the composition only. Must not be waited for by any decision. Keeps the invariant that the partitions which this
node owns are the ones that it projects.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

from engine.ids import WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState
from streams.errors import HistoryUnavailable
from streams.history import HistorySettings, HistoryStore, Projector
from streams.partition.handover import Handover
from streams.ports import Log
from streams.service import History, SearchFor, SearchPage
from streams.settings import NodeSettings


class NodeHistory(Protocol):
    """The history parts of a running node."""

    @property
    def store(self) -> History:
        """What answers questions about executions."""
        ...

    async def run(self) -> None:
        """Project until cancelled."""
        ...

    def own(self, partition: int, *, owned: bool) -> None:
        """Follow a partition while this node owns it."""
        ...

    def handover(self, partition: int) -> Handover | None:
        """Return what the owner of a partition in this process hands its acknowledged decisions to, if to anything."""
        ...

    def projected(self, partition: int) -> int:
        """Return the first `events` offset that is not in the history yet; 0 while that is not known."""
        ...

    async def health(self) -> JsonObject:
        """Return whether the history can answer, and how far it is behind."""
        ...


class ProjectedHistory:
    """A history that is kept."""

    def __init__(self, log: Log, store: HistoryStore, settings: HistorySettings) -> None:
        """Project from `log` into `store`."""
        self.store = store
        self._projector = Projector(log=log, store=store, settings=settings)

    async def run(self) -> None:
        """See `NodeHistory`."""
        await self._projector.run()

    def own(self, partition: int, *, owned: bool) -> None:
        """See `NodeHistory`."""
        if owned:
            self._projector.follow(partition)
        else:
            self._projector.unfollow(partition)

    def handover(self, partition: int) -> Handover | None:
        """See `NodeHistory`."""
        return self._projector.handover(partition)

    def projected(self, partition: int) -> int:
        """See `NodeHistory`."""
        return self._projector.position(partition) or 0

    async def health(self) -> JsonObject:
        """See `NodeHistory`."""
        lag = await self._projector.lag()
        return {
            "answers": self.store.is_open,
            "lagRecords": lag.records,
            "lagMs": lag.ms,
            "halted": {str(partition): why for partition, why in lag.halted.items()},
        }


class NoHistory:
    """A history that is not kept (`--no-history`): what has ended is forgotten, and searches say so."""

    @property
    def store(self) -> History:
        """See `NodeHistory`."""
        return self

    async def run(self) -> None:
        """See `NodeHistory`. There is nothing to project."""
        await asyncio.get_running_loop().create_future()

    def own(self, partition: int, *, owned: bool) -> None:
        """See `NodeHistory`. There is nothing to follow."""

    def handover(self, partition: int) -> Handover | None:
        """See `NodeHistory`. Nobody would take it."""
        del partition
        return None

    def projected(self, partition: int) -> int:
        """See `NodeHistory`. Nothing has to be waited for: ended workflows are forgotten after their grace."""
        del partition
        return sys.maxsize

    async def health(self) -> JsonObject:
        """See `NodeHistory`."""
        return {"answers": False, "kept": False}

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """See `History`: nothing is known."""
        del workflow_id
        return None

    async def search(
        self,
        *,
        query: str,
        free_text: str,
        start: int,
        size: int,
        sort: str,
        what: SearchFor = SearchFor.WORKFLOWS,
    ) -> SearchPage:
        """See `History`: there is nothing to search."""
        del query, free_text, start, size, sort, what
        message = "this server keeps no history: it was started with --no-history"
        raise HistoryUnavailable(message)

    async def wait_projected(self, workflow_id: WorkflowId, version: int, *, timeout_ms: int) -> bool:
        """See `History`: it never will be."""
        del workflow_id, version, timeout_ms
        return False


@asynccontextmanager
async def open_history(settings: NodeSettings, log: Log) -> AsyncGenerator[NodeHistory]:
    """Open the history that the settings name: a ClickHouse server, the engine in this process, or none."""
    if not settings.history:
        yield NoHistory()
        return
    if settings.clickhouse:
        history_settings = HistorySettings(url=settings.clickhouse)
    else:
        history_settings = HistorySettings(directory=settings.data_dir / "history")
    async with HistoryStore(history_settings) as store:
        yield ProjectedHistory(log, store, history_settings)
