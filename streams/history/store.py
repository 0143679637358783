"""The history of executions: opened in the background, written by the projection, read by everybody.

Holds the store's life and its three lanes: one thread each for writing, for look-ups by id and for searches. Must not
read the log. Keeps two invariants: the event loop never waits for the engine, and opening never delays whoever opens.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec
import structlog

from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.errors import HistoryUnavailable
from streams.history import reading
from streams.history.clients import Clients, StoreClient, open_clients
from streams.history.lane import Lane
from streams.history.progress import ProjectionWaiters
from streams.history.reading import RecordedEvent
from streams.history.rows import Row
from streams.history.schema import (
    EVENT_COLUMNS,
    EVENTS,
    EXECUTION_COLUMNS,
    EXECUTIONS,
    OFFSET_COLUMNS,
    TASK_COLUMNS,
    TASKS,
    Table,
)
from streams.history.search import pages
from streams.history.settings import HistorySettings
from streams.partition.chain import ChainPosition
from streams.service import SearchFor, SearchPage

OPEN_WAIT_MS: Final = 5_000
"""How long a reader waits for a store that is being opened; that takes 0.3 to 1 s, after a crash up to 4 s."""
REOPEN_AFTER_MS: Final = 1_000
"""A store that could not be opened is tried again at most this often."""
EVENTS_AT_ONCE_MAX: Final = 10_000
_TURNED_AT_ONCE: Final = 500
LOOK_AGAIN_MS: Final = 200
"""Another process may project the partition; of its batches this one hears nothing, so the store is asked again."""

_QUERIES: Final[dict[SearchFor, Callable[..., pages.PageQuery]]] = {
    SearchFor.WORKFLOWS: pages.workflow_query,
    SearchFor.TASKS: pages.task_query,
    SearchFor.WORKFLOWS_BY_TASKS: pages.workflow_by_task_query,
}
REMOVALS: Final = (
    f"DELETE FROM {EVENTS} WHERE workflow_id IN {{ids:Array(String)}} AND event != '{reading.REMOVED}'",  # noqa: S608
    f"DELETE FROM {TASKS} WHERE workflow_id IN {{ids:Array(String)}}",  # noqa: S608 (constants)
    f"DELETE FROM {EXECUTIONS} WHERE workflow_id IN {{ids:Array(String)}}",  # noqa: S608 (constants)
)
"""What leaves nothing of workflows but the event that says so."""

Result = TypeVar("Result")

_log = structlog.get_logger("streams.history")
_encode_chain: Final = msgspec.json.Encoder().encode


class BatchRows(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as rows, and the positions that it reaches."""

    events: Sequence[Row]
    tasks: Sequence[Row]
    executions: Sequence[Row]
    removed: Sequence[WorkflowId] = ()
    chains: dict[int, ChainPosition]


class HistoryStore:
    """The history, as `streams.service.History` and more. An async context manager; leaving it waits for what runs."""

    def __init__(self, settings: HistorySettings) -> None:
        self._settings = settings
        self._writes = Lane("writes")
        self._lookups = Lane("lookups")
        self._searches = Lane("searches")
        self._waiters = ProjectionWaiters()
        self._opening: asyncio.Future[Clients] | None = None
        self._opening_failed_at = 0.0

    async def __aenter__(self) -> Self:
        self._begin_opening()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opening, self._opening = self._opening, None
        # 1. No lane has work any more; what was being written is written.
        await self._searches.close()
        await self._lookups.close()
        if opening is not None:
            # 2. Connections are closed where they were opened, behind the last write.
            await asyncio.shield(asyncio.wait((opening,)))
            if not opening.cancelled() and opening.exception() is None:
                await asyncio.shield(self._writes.begin(opening.result().close))
        await self._writes.close()

    @property
    def is_open(self) -> bool:
        """Whether the store can be asked now."""
        opening = self._opening
        return opening is not None and opening.done() and not opening.cancelled() and opening.exception() is None

    async def wait_open(self, *, timeout_ms: int = OPEN_WAIT_MS) -> None:
        """Return when the store can be asked; begin a new attempt if an earlier one failed some time ago.

        Raises:
            HistoryUnavailable: it cannot be opened, or is not open within `timeout_ms`.
        """
        await self._clients(timeout_ms=timeout_ms)

    # What the projection asks for

    async def chain_position(self, partition: int) -> ChainPosition:
        """Return where the projection of a partition goes on.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        return await self._look_up(partial(reading.read_chain, partition=partition))

    async def folds(
        self, workflow_ids: Sequence[WorkflowId], *, before_offset: int
    ) -> dict[WorkflowId, tuple[int, WorkflowState] | None]:
        """Return the first instant and the state of the workflows that have events before an offset of their partition.

        None stands for one that has been removed.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        return await self._look_up(partial(reading.read_folds, workflow_ids=workflow_ids, before_offset=before_offset))

    async def write(self, batch: BatchRows) -> None:
        """Store a batch. What was stored before is stored again without a trace, so a failed call may be repeated.

        Raises:
            HistoryUnavailable: nothing is known about the batch.
        """
        clients = await self._clients()
        try:
            await self._writes.begin(partial(_write, clients.writes, batch, self._settings.rows_max))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A value that does not fit its column. It stays where it is, and the lag shows it.
            raise HistoryUnavailable(f"a batch of {len(batch.events)} events cannot be written: {error}") from error

    def announce(self, written: Iterable[tuple[WorkflowId, int]]) -> None:
        """Wake whoever waits for these workflows to be written up to these event numbers."""
        self._waiters.announce(written)

    # What everybody asks for

    async def state(self, workflow_id: WorkflowId, *, version: int | None = None) -> WorkflowState | None:
        """Return a workflow as the fold of its recorded events; None if the history does not know it.

        With a `version` it is the state after that many events: the workflow as it was then.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        return await self._look_up(partial(reading.read_state, workflow_id=workflow_id, version=version))

    async def events(
        self, workflow_id: WorkflowId, *, start: int = 1, count: int = EVENTS_AT_ONCE_MAX
    ) -> list[RecordedEvent]:
        """Return the events of a workflow from number `start` (the first is 1) on, at most `count`.

        More than `EVENTS_AT_ONCE_MAX` are never returned at once; ask again from the next number.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        limited = min(count, EVENTS_AT_ONCE_MAX)
        return await self._look_up(partial(reading.read_events, workflow_id=workflow_id, start=start, count=limited))

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
        """Return what a query in Conductor's language finds.

        Raises:
            HistoryUnavailable: the store cannot answer; `SearchTooCostly` if the search was stopped at its limit.
            QueryInvalid: the query cannot be understood; says where.
        """
        understood = _QUERIES[what](query=query, free_text=free_text, start=start, size=size, sort=sort)
        return await self._search(understood)

    async def wait_projected(self, workflow_id: WorkflowId, version: int, *, timeout_ms: int) -> bool:
        """Wait until the workflow's event number `version` is written; tell whether it is.

        Raises:
            HistoryUnavailable: the store cannot answer.
        """
        until = time.monotonic() + timeout_ms / 1_000
        asked = 0.0
        while True:
            # 1. Wait first for what this process writes next: the usual case, and it costs no query.
            left_ms = (until - time.monotonic()) * 1_000
            written = 0
            if asked:
                written = await self._waiters.wait_written(workflow_id, timeout_ms=max(min(left_ms, LOOK_AGAIN_MS), 0))
            if written < version:
                # 2. It may have been written before, or elsewhere.
                written = await self._look_up(partial(reading.read_version, workflow_id=workflow_id))
                asked = time.monotonic()
            if written >= version:
                return True
            if time.monotonic() >= until:
                return False

    async def _look_up(self, work: Callable[[StoreClient], Result]) -> Result:
        clients = await self._clients()
        return await self._lookups.begin(partial(work, clients.lookups))

    async def _search(self, page: pages.PageQuery) -> SearchPage:
        clients = await self._clients()
        return await self._searches.begin(partial(pages.read_page, clients.searches, page))

    async def _clients(self, *, timeout_ms: int = OPEN_WAIT_MS) -> Clients:
        opening = self._opening
        if opening is None:
            raise HistoryUnavailable("the history is closed")
        if opening.done() and opening.exception() is not None:
            if (time.monotonic() - self._opening_failed_at) * 1_000 < REOPEN_AFTER_MS:
                raise _unopened(opening.exception())
            opening = self._begin_opening()
        if not opening.done():
            await asyncio.wait((opening,), timeout=timeout_ms / 1_000)
        if not opening.done():
            raise HistoryUnavailable(f"the history was not open within {timeout_ms} ms; ask again later")
        if opening.exception() is not None:
            raise _unopened(opening.exception())
        return opening.result()

    def _begin_opening(self) -> "asyncio.Future[Clients]":
        begun = time.monotonic()
        opening = self._writes.begin(partial(open_clients, self._settings))
        opening.add_done_callback(partial(self._opened, begun))
        self._opening = opening
        return opening

    def _opened(self, begun: float, opening: "asyncio.Future[Clients]") -> None:
        if opening.cancelled():
            return
        took_ms = round((time.monotonic() - begun) * 1_000)
        error = opening.exception()
        if error is None:
            _log.info("history_opened", took_ms=took_ms)
        else:
            self._opening_failed_at = time.monotonic()
            _log.error("history_not_opened", took_ms=took_ms, error=str(error))


def _unopened(error: BaseException | None) -> HistoryUnavailable:
    if isinstance(error, HistoryUnavailable):
        return error
    return HistoryUnavailable(f"the history cannot be opened: {error}")


def _write(client: StoreClient, batch: BatchRows, rows_max: int) -> None:
    # The order is the point: a position is only there when all rows below it are. An insert into several parts of a
    # table can be torn by a crash; then the position is still the old one, and the same rows are written again.
    for table, rows in (
        (EVENT_COLUMNS, batch.events),
        (TASK_COLUMNS, batch.tasks),
        (EXECUTION_COLUMNS, batch.executions),
    ):
        _insert(client, table, rows, rows_max)
    if batch.removed:
        # Before the position, too: until this is done, whoever begins again finds the event and does it again.
        removed = {"ids": list(batch.removed)}
        for statement in REMOVALS:
            client.execute(statement, removed)
    written_at_ms = time.time_ns() // 1_000_000
    positions = [
        (partition, chain.next_offset, _encode_chain(chain).decode(), written_at_ms)
        for partition, chain in sorted(batch.chains.items())
    ]
    _insert(client, OFFSET_COLUMNS, positions, rows_max)


def _insert(client: StoreClient, table: Table, rows: Sequence[Row], rows_max: int) -> None:
    for start in range(0, len(rows), rows_max):
        client.insert(table, _columns(rows[start : start + rows_max]))


def _columns(rows: Sequence[Row]) -> list[list[object]]:
    """Return rows as columns. Bit by bit: turned in one call, ten thousand rows would hold the interpreter for 5 ms."""
    columns: list[list[object]] = [[] for _ in rows[0]]
    for start in range(0, len(rows), _TURNED_AT_ONCE):
        for column, piece in zip(columns, zip(*rows[start : start + _TURNED_AT_ONCE], strict=True), strict=True):
            column.extend(piece)
    return columns
