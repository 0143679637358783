"""The log port over one SQLite file.

Holds the event loop's side: who appends, who reads, who waits. Must not call SQLite itself: commits happen in
the committing thread, reads in a reading thread. Keeps the invariant that an append is acknowledged, and
shown to readers, after its transaction is durable.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streams.appendable import refuse_unfit
from streams.embedded.committer import Append, Committer, Lane
from streams.embedded.directory import LockedDirectory
from streams.embedded.reader import SqliteReader
from streams.embedded.schema import meaning_of
from streams.embedded.store import Place, ReadStore, Store
from streams.embedded.tail import PartitionTail
from streams.errors import LogUnavailable, StreamsError
from streams.ports import LogRecord, NewRecord, OffsetRange
from streams.topics import TopicSpec

FILE_NAME: Final = "log.sqlite3"
RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Key and value of one record. Nothing here needs the limit of a broker, but a commit should stay short."""


class SqliteLog:
    """A `Log` in one file of a data directory, for one process at a time."""

    def __init__(self, directory: Path, *, record_bytes_max: int = RECORD_BYTES_MAX) -> None:
        """Open nothing yet.

        Args:
            directory: Made if it is missing. Holds the file, its write-ahead log and the lock.
            record_bytes_max: Above this, a record (key and value) is refused.
        """
        self._directory = LockedDirectory(directory)
        self._path = directory / FILE_NAME
        self._record_bytes_max = record_bytes_max
        self._committer: Committer | None = None
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._tails: dict[tuple[str, int], PartitionTail] = {}
        self._reading = _Reading(self._path)

    async def __aenter__(self) -> Self:
        """Lock the directory and open the file.

        Raises:
            StoreLocked: another process uses the directory.
            LogUnavailable: the directory or the file cannot be used; the message says why.
            StoreFull: there is no space to make the file.
        """
        self._directory.acquire()
        committer = Committer(self._path, settle=self._settle)
        try:
            self._adopt(await committer.start())
        except BaseException:
            await committer.stop()
            self._directory.release()
            raise
        self._committer = committer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is queued, close the file, unlock the directory: so the next process finds it whole."""
        committer, self._committer = self._committer, None
        if committer is not None:
            await self._reading.close()
            await committer.stop()
            self._directory.release()

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """See `Log`."""
        committer = self._opened()
        await committer.operate(lambda store: store.create(topics))
        self._adopt(await committer.operate(lambda store: store.places()))

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> Awaitable[int]:
        """See `Log`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            committer = self._opened()
            lane = self._lanes.get((topic, partition))
            if lane is None:
                raise _no_partition(topic, partition)
            refuse_unfit(topic, records, compacted=lane.place.compacted, record_bytes_max=self._record_bytes_max)
        except StreamsError as refusal:
            future.set_exception(refusal)
        else:
            committer.append(Append(lane, records, future))
        return future

    def reader(self, topic: str, partition: int, *, from_offset: int) -> SqliteReader:
        """See `Log`."""
        self._opened()
        tail = self._tail(topic, partition)
        place = self._lanes[topic, partition].place

        async def read_file(offset: int, records_max: int) -> Sequence[LogRecord]:
            self._opened()
            return await self._reading.read(place, offset, records_max)

        return SqliteReader(tail, name=f"{topic}[{partition}]", from_offset=from_offset, read_file=read_file)

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """See `Log`."""
        self._opened()
        tail = self._tail(topic, partition)
        return OffsetRange(earliest=tail.earliest, next=tail.next)

    async def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """See `Log`."""
        committer = self._opened()
        tail = self._tail(topic, partition)
        partition_id = self._lanes[topic, partition].place.partition_id
        goal = min(before_offset, tail.next)
        while (earliest := tail.earliest) < goal:
            # Some at a time, so that appends in between wait for a short transaction only.
            reached = await committer.operate(
                lambda store, earliest=earliest: store.trim(  # type: ignore[misc]  # mypy cannot infer the default's type
                    partition_id, earliest=earliest, before_offset=goal
                )
            )
            tail.trim(reached)

    async def ping(self) -> bool:
        """Tell whether the file can be used now: it answers a question behind everything queued."""
        if self._committer is None:
            return False
        try:
            await self._committer.operate(_nothing)
        except StreamsError:
            return False
        return True

    def _adopt(self, places: Sequence[Place]) -> None:
        for place in places:
            name = (place.topic, place.partition)
            if name not in self._lanes:
                self._lanes[name] = Lane(place)
                self._tails[name] = PartitionTail(
                    earliest=place.earliest, next_offset=place.next, compacted=place.compacted
                )

    def _settle(self, group: Sequence[Append]) -> None:
        # 1. Show the records, 2. wake those who wait for the append: who was told that it is there must find
        # it.
        for append in group:
            place = append.lane.place
            if append.error is None:
                self._tails[place.topic, place.partition].extend(_log_records(append))
            else:
                append.lane.turn = max(append.lane.turn, append.turn + 1)
        for append in group:
            if append.future.done():
                continue  # its caller was cancelled
            if append.error is None:
                append.future.set_result(append.first)
            else:
                append.future.set_exception(append.error)

    def _opened(self) -> Committer:
        if self._committer is None:
            raise LogUnavailable(
                f"the log in {self._directory.path} is not open; enter it first, and use it until it is left"
            )
        return self._committer

    def _tail(self, topic: str, partition: int) -> PartitionTail:
        tail = self._tails.get((topic, partition))
        if tail is None:
            raise _no_partition(topic, partition)
        return tail


class _Reading:
    """The reading thread and its connection, opened at the first read that memory cannot serve."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor: ThreadPoolExecutor | None = None
        self._store: ReadStore | None = None

    async def read(self, place: Place, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        """Read the file in the thread.

        Raises:
            LogUnavailable: the file cannot be read.
            OffsetOutOfRange: see `ReadStore.read`.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="podium-log-read")
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._read, place, from_offset, records_max
        )

    async def close(self) -> None:
        """End the thread and close the connection."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.get_running_loop().run_in_executor(executor, self._drop)
            executor.shutdown()

    def _read(self, place: Place, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        try:
            if self._store is None:
                self._store = ReadStore(self._path)
            return self._store.read(place, from_offset=from_offset, records_max=records_max)
        except sqlite3.Error as error:
            self._drop()
            raise meaning_of(error, self._path) from error

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


def _log_records(append: Append) -> list[LogRecord]:
    place = append.lane.place
    return [
        LogRecord(
            topic=place.topic,
            partition=place.partition,
            offset=offset,
            key=record.key,
            value=record.value,
            appended_at_ms=append.appended_at_ms,
        )
        for offset, record in enumerate(append.records, start=append.first)
    ]


def _nothing(store: Store) -> None:
    """Ask nothing of the store: that it was there to be asked is the answer."""


def _no_partition(topic: str, partition: int) -> LogUnavailable:
    return LogUnavailable(f"there is no partition {partition} of topic {topic}; create the topic first")
