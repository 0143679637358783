"""The thread that commits.

Holds the queue between the event loop and the file, and the group commit: all that is queued while one commit
runs goes into the next. Must not be asked for records. Keeps two invariants: per partition, appends are
stored in the order of the calls; and after an append that failed, no later one is stored until the caller has
been told, so that no hole can open behind its back.

A thread that waits for the interpreter's lock only asks for it after the switch interval, and every short
release by a busy event loop sets that clock back: with the default of 5 ms the committing thread starved for
seconds beside a busy loop. (Measured, 64 callers that compute 150 us each: 2,100 appends/s with 5 ms, 5,200
with 50 us.) So the interval is lowered for the process.
"""

import asyncio
import contextlib
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from streams.appendable import record_bytes
from streams.embedded.schema import meaning_of
from streams.embedded.store import Place, Run, Store
from streams.errors import LogUnavailable, StoreFull, StreamsError
from streams.ports import NewRecord

_T = TypeVar("_T")

_GROUP_RECORDS_MAX: Final = 10_000
"""Records of one commit: some tens of milliseconds; what is left waits for the next."""
_GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
_SWITCH_S: Final = 0.00005
"""See the module's docstring."""
_SWEEP_S: Final = 3_600.0
"""Tombstones are kept for a day; once an hour is often enough to look."""
_JOIN_S_MAX: Final = 30.0
"""A commit that takes longer than this at the end of the process has a disk that does not answer."""


class Lane:
    """The line of appends to one partition.

    `turn` belongs to the loop: it stamps appends, and moves on when the loop has learnt of a failure. The
    rest belongs to the thread: `next` is the next offset as of the `opening` of the file; appends stamped
    `refused` or lower are not tried, because of `refusal`.
    """

    __slots__ = ("next", "opening", "place", "refusal", "refused", "turn")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.turn = 0
        self.next = place.next
        self.opening = 0
        self.refused = -1
        self.refusal: StreamsError | None = None


class Append:
    """An append on its way. In the end it has either `first`, the offset of its first record, or `error`."""

    __slots__ = ("appended_at_ms", "error", "first", "future", "lane", "records", "turn")

    def __init__(self, lane: Lane, records: Sequence[NewRecord], future: asyncio.Future[int]) -> None:
        self.lane = lane
        self.records = records
        self.future = future
        self.turn = lane.turn
        self.first = -1
        self.appended_at_ms = 0
        self.error: StreamsError | None = None


class _Operation(msgspec.Struct, frozen=True):
    """Something other than an append, done between two commits, and how to tell that it could not be done."""

    run: Callable[[Store], None]
    fail: Callable[[StreamsError], None]


class Committer:
    """Owns the writing connection and the thread that uses it."""

    def __init__(self, path: Path, *, settle: Callable[[Sequence[Append]], None]) -> None:
        """Start nothing yet.

        Args:
            path: The file.
            settle: Called in the event loop with every append that was stored or refused, in the order of the
                calls.
        """
        self._path = path
        self._settle = settle
        self._queue: queue.SimpleQueue[Append | _Operation | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="podium-log-commit", daemon=True)
        self._store: Store | None = None
        self._opening = 0
        self._sweep_at_s = 0.0

    async def start(self) -> list[Place]:
        """Open the file, making it if needed, and return the partitions in it.

        Raises:
            LogUnavailable, StoreFull: see `open_writer`.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._thread.start()
        return await self.operate(Store.places)

    async def stop(self) -> None:
        """Commit what is queued, close the file and end the thread. Idempotent."""
        if self._thread.is_alive():
            self._queue.put(None)
            await self._loop.run_in_executor(None, self._thread.join, _JOIN_S_MAX)

    def append(self, append: Append) -> None:
        """Queue an append; `settle` tells what became of it."""
        self._queue.put(append)

    async def operate(self, run: Callable[[Store], _T]) -> _T:
        """Run something on the store, after everything queued before, and return its result.

        Raises:
            LogUnavailable, StoreFull: the file cannot be used.
            StreamsError: what `run` raises.
        """
        done: asyncio.Future[_T] = self._loop.create_future()

        def perform(store: Store) -> None:
            result = run(store)
            self._tell(lambda: None if done.done() else done.set_result(result))

        def fail(error: StreamsError) -> None:
            self._tell(lambda: None if done.done() else done.set_exception(error))

        self._queue.put(_Operation(perform, fail))
        return await done

    # What follows runs in the thread.

    def _work(self) -> None:
        while True:
            group: list[Append] = []
            for item in self._take():
                if isinstance(item, Append):
                    group.append(item)
                    continue
                self._commit(group)
                group = []
                if item is None:
                    if self._store is not None:
                        self._store.close()
                    return
                self._operate(item)
            self._commit(group)
            self._sweep()

    def _take(self) -> list[Append | _Operation | None]:
        """Wait for something in the queue, and return all of it, up to what one commit may hold."""
        taken = [self._queue.get()]
        records = size = 0
        while records < _GROUP_RECORDS_MAX and size < _GROUP_BYTES_MAX:
            last = taken[-1]
            if isinstance(last, Append):
                records += len(last.records)
                size += sum(map(record_bytes, last.records))
            try:
                taken.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return taken

    def _commit(self, group: list[Append]) -> None:
        if not group:
            return
        tried = [append for append in group if not self._refused(append)]
        try:
            if tried:
                self._insert(tried)
        except sqlite3.Error as error:
            self._refuse(tried, meaning_of(error, self._path))
        except StreamsError as error:
            self._refuse(tried, error)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for ever for an append
            self._refuse(tried, LogUnavailable(f"{self._path} cannot be used: {error!r}"))
        self._tell(lambda: self._settle(group))

    def _refused(self, append: Append) -> bool:
        lane = append.lane
        if append.turn > lane.refused or lane.refusal is None:
            return False
        append.error = type(lane.refusal)(f"not tried, because an append before it was not stored: {lane.refusal}")
        return True

    def _insert(self, tried: list[Append]) -> None:
        store = self._opened()
        now_ms = time.time_ns() // 1_000_000
        records: dict[Lane, list[NewRecord]] = {}
        for append in tried:
            lane = append.lane
            if lane not in records:
                records[lane] = []
                if lane.opening != self._opening:
                    lane.next = store.next_offset(lane.place.partition_id)
                    lane.opening = self._opening
            append.first = lane.next + len(records[lane])
            append.appended_at_ms = now_ms
            records[lane] += append.records
        store.insert(
            [
                Run(
                    partition_id=lane.place.partition_id,
                    compacted=lane.place.compacted,
                    first=lane.next,
                    records=taken,
                )
                for lane, taken in records.items()
            ],
            appended_at_ms=now_ms,
        )
        for lane, taken in records.items():
            lane.next += len(taken)

    def _refuse(self, tried: list[Append], error: StreamsError) -> None:
        for append in tried:
            append.error = type(error)(str(error))
            append.lane.refused = append.turn
            append.lane.refusal = error
        self._distrust(error)

    def _distrust(self, error: StreamsError) -> None:
        """After anything but a full disk, open the file anew before it is used again."""
        if self._store is not None and not isinstance(error, StoreFull):
            self._store.close()
            self._store = None

    def _operate(self, operation: _Operation) -> None:
        try:
            operation.run(self._opened())
        except sqlite3.Error as error:
            failure = meaning_of(error, self._path)
            self._distrust(failure)
            operation.fail(failure)
        except StreamsError as error:
            operation.fail(error)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store(self._path)
            self._opening += 1
        return self._store

    def _sweep(self) -> None:
        if self._store is None or time.monotonic() < self._sweep_at_s:
            return
        self._sweep_at_s = time.monotonic() + _SWEEP_S
        try:
            for place in self._store.places():
                if place.compacted:
                    self._store.sweep_tombstones(place.partition_id, now_ms=time.time_ns() // 1_000_000)
        except sqlite3.Error as error:
            self._distrust(meaning_of(error, self._path))

    def _tell(self, callback: Callable[[], object]) -> None:
        # The loop is closed only when its program was torn down without leaving the log: then nobody waits
        # any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)
