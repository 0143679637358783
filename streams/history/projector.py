"""The projection: from the `events` of the followed partitions into the history.

Holds the reading, the batching and the positions. Must not decide, and nobody on the way of a decision waits for it.
Keeps two invariants. Every believed event of a followed partition is written, in order, and a crash at any moment
repeats rows that are there already but loses none: the position is written after the rows below it, and reading goes
on from there. And what is held in memory is bounded: a batch that is full stops the reading until the one before it
is written.

Each partition has one task that reads and folds; one further task writes the batches.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

import msgspec
import structlog

from engine.errors import EngineError
from engine.events import WorkflowRemoved
from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.errors import HistoryUnavailable, LogCorrupt, LogUnavailable, OffsetOutOfRange
from streams.history.batch import Batch
from streams.history.feed import DecisionFeed
from streams.history.folding import TAKES_TASKS_AWAY, Folding, Folds
from streams.history.rows import Row
from streams.history.settings import HistorySettings
from streams.history.store import BatchRows, HistoryStore
from streams.partition.chain import Chain, ChainPosition
from streams.partition.handover import Handed, Handover
from streams.ports import Log, LogRecord
from streams.records import DecisionRecord
from streams.topics import EVENTS

DECISIONS_PER_STEP: Final = 50
EVENTS_PER_STEP: Final = 200
STEP_SECONDS: Final = 0.001
"""How long the projection keeps the event loop at a time; decisions are made on the same one."""
POSITION_EVERY_MS: Final = 2_000
"""Between two positions of small batches. What a crash repeats at most, and only in work: the rows are the same."""
WRITING_SHARE_MAX: Final = 0.08
"""Of the time, while batches are not full: a batch of a few rows takes 20 to 50 ms of a core, whatever it holds."""
RETRY_MS_MIN: Final = 100
RETRY_MS_MAX: Final = 5_000

Result = TypeVar("Result")
_Believed: TypeAlias = tuple[LogRecord, DecisionRecord | None, ChainPosition]

_log = structlog.get_logger("streams.history")


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the history is behind: the records not written yet, and the age of the oldest of them that was read.

    `halted` names the partitions that are not projected any more, with the reason.
    """

    records: int
    ms: int
    halted: dict[int, str] = {}


class Projector:
    """Projects the partitions that it is told to follow. `run` until cancelled."""

    def __init__(self, *, log: Log, store: HistoryStore, settings: HistorySettings) -> None:
        self._log = log
        self._store = store
        self._settings = settings
        self._changes: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()
        self._following: dict[int, asyncio.Task[None]] = {}
        self._handovers: dict[int, Handover] = {}
        self._pending = Batch(1)
        self._writing: Batch | None = None
        self._written_number = 0
        self._has_rows = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_full = asyncio.Event()
        self._rows_since = 0.0
        self._write_began = 0.0
        self._write_seconds = 0.0
        self._positions: dict[int, int] = {}
        self._halted: dict[int, str] = {}
        self._reached: dict[int, ChainPosition] = {}
        self._recorded_at = 0.0
        self._step_began = 0.0

    def follow(self, partition: int) -> None:
        """Begin to project a partition, from where its projection stopped. Does not wait. Twice is once."""
        self._changes.put_nowait((partition, True))

    def unfollow(self, partition: int) -> None:
        """Stop projecting a partition. Does not wait; what is still written of it is what the next one writes too."""
        self._changes.put_nowait((partition, False))

    def handover(self, partition: int) -> Handover:
        """Return what an owner in this process may hand a partition's acknowledged decisions to."""
        if partition not in self._handovers:
            self._handovers[partition] = Handover(decisions_max=self._settings.handed_decisions_max)
        return self._handovers[partition]

    def position(self, partition: int) -> int | None:
        """Return the offset up to which (exclusive) a followed partition is written; None while that is not known."""
        return self._positions.get(partition)

    async def lag(self) -> Lag:
        """Return how far the history is behind the log, over all followed partitions.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        records = 0
        for partition, position in list(self._positions.items()):
            records += max((await self._log.offsets(EVENTS, partition)).next - position, 0)
        appended = [
            at_ms
            for batch in (self._writing, self._pending)
            if batch is not None
            for at_ms in batch.first_appended_at_ms.values()
        ]
        ms = max(time.time_ns() // 1_000_000 - min(appended), 0) if appended and records else 0
        return Lag(records=records, ms=ms, halted=dict(self._halted))

    async def run(self) -> None:
        """Follow what is asked for until cancelled. What is not written then is written after the next start."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_batches(), name="history-writes")
            while True:
                partition, wanted = await self._changes.get()
                running = self._following.pop(partition, None)
                if wanted and running is not None and not running.done():
                    self._following[partition] = running
                elif wanted:
                    self._halted.pop(partition, None)
                    self._following[partition] = group.create_task(
                        self._follow(partition), name=f"history-reads-{partition}"
                    )
                elif running is not None:
                    running.cancel()
                    await asyncio.wait((running,))
                    self._pending.forget_partition(partition)
                    self._positions.pop(partition, None)

    # Reading and folding

    async def _follow(self, partition: int) -> None:
        """Project a partition for as long as its log can be believed."""
        try:
            position = await self._retried(
                partial(self._store.chain_position, partition), "history_unavailable", partition=partition
            )
            self._positions[partition] = position.next_offset
            feed = DecisionFeed(self._log, partition, self.handover(partition))
            try:
                await self._read(feed, Chain(partition, position), Folds(partition))
            finally:
                await feed.close()
        except (LogCorrupt, OffsetOutOfRange, EngineError) as error:
            # Only this partition is in doubt. Its owner has halted for the same reason, or the history is not of this
            # log.
            self._halted[partition] = str(error)
            _log.error("projection_halted", partition=partition, error=str(error))
        except Exception as error:  # noqa: BLE001 (a defect here must not stop the decisions of this process)
            self._halted[partition] = f"{type(error).__name__}: {error}"
            _log.exception("projection_failed", partition=partition)

    async def _read(self, feed: DecisionFeed, chain: Chain, folds: Folds) -> None:
        weight_max = self._settings.cached_tasks_max
        while True:
            found = await self._retried(partial(feed.read, chain), "log_unavailable", partition=chain.partition)
            if isinstance(found, Handed):
                await self._take_handed(found, chain, folds)
            elif found:
                await self._take(found, chain, folds)
            folds.drop_written(written=self._written_number, weight_max=weight_max // max(len(self._following), 1))

    async def _take(self, records: Sequence[LogRecord], chain: Chain, folds: Folds) -> None:
        """Judge and fold records, and add what they change to the batch that is pending."""
        # 1. What is to be believed, and where the chain stands after it. A record that adds nothing yet, because it
        # is a part or a late word, does not move the position: it is judged again after a stop.
        believed: list[_Believed] = []
        broken: LogCorrupt | None = None
        for record in records:
            try:
                entry = chain.read(record)
            except LogCorrupt as error:
                broken = error
                break
            if entry is not None:
                decision = entry if isinstance(entry, DecisionRecord) else None
                believed.append((record, decision, chain.position))
            await self._breathe()
        # 2. The states that are not kept: all that was recorded before these records.
        found = await self._found(
            folds.missing(decision for _, decision, _ in believed if decision is not None),
            partition=chain.partition,
            before_offset=records[0].offset,
        )
        # 3. Decision by decision, whole ones only with their position.
        for record, decision, position in believed:
            await self._has_room.wait()
            if decision is not None and decision.events and self._is_to_be_kept(decision, found):
                await self._fold(record.offset, decision, folds, found)
            self._pending.first_appended_at_ms.setdefault(chain.partition, record.appended_at_ms)
            self._pending.chains[chain.partition] = position
            self._note_pending()
        if broken is not None:
            raise broken

    async def _take_handed(self, handed: Handed, chain: Chain, folds: Folds) -> None:
        """Add to the batch that is pending what the owner has decided and folded: no decoding, hashing and folding."""
        partition = chain.partition
        chain.stand_at(handed.position)
        found = await self._found(
            folds.missing(item.record for item in handed.decided),
            partition=partition,
            before_offset=handed.first_offset,
        )
        now_ms = time.time_ns() // 1_000_000
        for start in range(0, len(handed.decided), DECISIONS_PER_STEP):
            await self._has_room.wait()
            for number, item in enumerate(handed.decided[start : start + DECISIONS_PER_STEP], start):
                decision = item.record
                if not decision.events or not self._is_to_be_kept(decision, found):
                    continue
                offset = handed.first_offset + number
                if item.state is None or any(type(event) in TAKES_TASKS_AWAY for event in decision.events):
                    await self._fold(offset, decision, folds, found)
                    continue
                folding = folds.begin(decision, position=offset, found=found)
                self._pending.events.extend(folding.take(item.state))
                self._add(folding, decision, folds)
            self._pending.first_appended_at_ms.setdefault(partition, now_ms)
            if start + DECISIONS_PER_STEP >= len(handed.decided):
                self._pending.chains[partition] = handed.position
            self._note_pending()
            await self._breathe()

    def _is_to_be_kept(
        self, decision: DecisionRecord, found: Mapping[WorkflowId, tuple[int, WorkflowState] | None]
    ) -> bool:
        """Tell whether a decision is about a workflow that had not been removed before; note one that removes it."""
        if isinstance(decision.events[-1], WorkflowRemoved):
            self._pending.removed.add(decision.workflow_id)
        return found.get(decision.workflow_id, decision) is not None

    async def _found(
        self, missing: Sequence[WorkflowId], *, partition: int, before_offset: int
    ) -> dict[WorkflowId, tuple[int, WorkflowState] | None]:
        """Return the states that are not kept, as the store has them: all that was recorded before an offset."""
        if not missing:
            return {}
        return await self._retried(
            partial(self._store.folds, missing, before_offset=before_offset), "history_unavailable", partition=partition
        )

    async def _fold(
        self,
        offset: int,
        decision: DecisionRecord,
        folds: Folds,
        found: dict[WorkflowId, tuple[int, WorkflowState] | None],
    ) -> None:
        folding = folds.begin(decision, position=offset, found=found)
        for start in range(0, len(decision.events), EVENTS_PER_STEP):
            rows = folding.apply(decision.events[start : start + EVENTS_PER_STEP])
            self._pending.events.extend(rows)
            await self._breathe()
        self._add(folding, decision, folds)

    def _add(self, folding: Folding, decision: DecisionRecord, folds: Folds) -> None:
        created_at_ms, state = folding.add_to(self._pending)
        folds.keep(decision.workflow_id, created_at_ms, state, batch=self._pending)

    def _note_pending(self) -> None:
        count = self._pending.row_count
        if count:
            if not self._has_rows.is_set():
                self._rows_since = time.monotonic()
                self._has_rows.set()
        elif self._writing is None:
            # Nothing to write, so the position is only remembered: reading these records again would add nothing
            # either.
            self._settle(self._pending)
            self._pending.first_appended_at_ms.clear()
        if count >= self._settings.rows_max:
            self._is_full.set()
            self._has_room.clear()

    # Writing

    async def _write_batches(self) -> None:
        while True:
            await self._has_rows.wait()
            await _wait_for(self._is_full, timeout_ms=self._linger_ms())
            began = time.monotonic()
            batch, self._pending = self._pending, Batch(self._pending.number + 1)
            self._writing = batch
            self._has_rows.clear()
            self._is_full.clear()
            self._has_room.set()
            rows = BatchRows(
                events=batch.events,
                tasks=await self._gathered(batch.task_rows()),
                executions=await self._gathered(batch.execution_rows()),
                removed=sorted(batch.removed),
                chains=self._positions_due(batch),
            )
            await self._retried(partial(self._store.write, rows), "history_unavailable")
            self._write_began, self._write_seconds = began, time.monotonic() - began
            self._writing = None
            self._written_number = batch.number
            self._settle(batch)
            self._note_pending()
            self._store.announce(
                (workflow_id, touched.state.version) for workflow_id, touched in batch.workflows.items()
            )

    def _positions_due(self, batch: Batch) -> dict[int, ChainPosition]:
        """Return the positions to write with a batch: all that were reached since some were written, or none yet.

        A position costs an insert like any other table, and one that is a little old only repeats rows.
        """
        self._reached.update(batch.chains)
        now = time.monotonic()
        if batch.row_count < self._settings.rows_max and (now - self._recorded_at) * 1_000 < POSITION_EVERY_MS:
            return {}
        self._recorded_at = now
        due, self._reached = self._reached, {}
        return due

    def _linger_ms(self) -> float:
        """Return how long the pending batch waits for more: so long that writing takes a small share of the time."""
        settings = self._settings
        earliest = max(
            self._rows_since + settings.linger_ms / 1_000,
            self._write_began + self._write_seconds / WRITING_SHARE_MAX,
        )
        latest = self._rows_since + settings.linger_ms_max / 1_000
        return (min(earliest, latest) - time.monotonic()) * 1_000

    async def _gathered(self, rows: Iterator[Row]) -> list[Row]:
        gathered: list[Row] = []
        for row in rows:
            gathered.append(row)
            await self._breathe()
        return gathered

    def _settle(self, batch: Batch) -> None:
        for partition, chain in batch.chains.items():
            if partition in self._following:
                self._positions[partition] = chain.next_offset

    async def _breathe(self) -> None:
        """Let others have the event loop, if the projection has had it for a while."""
        now = time.perf_counter()
        if now - self._step_began > STEP_SECONDS:
            await asyncio.sleep(0)
            self._step_began = time.perf_counter()

    async def _retried(self, attempt: Callable[[], Awaitable[Result]], event: str, **known: object) -> Result:
        """Return what an attempt returns, however often the store or the log has to be asked."""
        wait_ms = RETRY_MS_MIN
        while True:
            try:
                return await attempt()
            except (HistoryUnavailable, LogUnavailable) as error:
                _log.warning(event, error=str(error), retry_in_ms=wait_ms, **known)
                await asyncio.sleep(wait_ms / 1_000)
                wait_ms = min(wait_ms * 2, RETRY_MS_MAX)


async def _wait_for(event: asyncio.Event, *, timeout_ms: float) -> None:
    if timeout_ms <= 0:
        return
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            await event.wait()
    except TimeoutError:
        return
