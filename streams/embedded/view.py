"""Looking into the embedded log of a server that runs.

Holds a log that can only be read: SQLite lets any process read what has been committed while another one writes. Must
not take the directory's lock, nor write a byte of ours. Keeps the invariant that it shows only what was durable when it
was asked.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.embedded.log import FILE_NAME
from streams.embedded.schema import meaning_of
from streams.embedded.store import Place, ReadStore
from streams.errors import LogUnavailable
from streams.ports import LogRecord, OffsetRange


class SqliteView:
    """A `ReadableLog` over the file of a data directory, whoever uses it."""

    def __init__(self, directory: Path) -> None:
        """Open nothing yet."""
        self._path = directory / FILE_NAME

    async def __aenter__(self) -> Self:
        """See that there is a log.

        Raises:
            LogUnavailable: the directory holds none.
        """
        if not self._path.is_file():
            message = f"there is no log in {self._path.parent}: name the server's directory with --data"
            raise LogUnavailable(message)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: every look opens and closes the file."""

    def reader(self, topic: str, partition: int, *, from_offset: int) -> "ViewReader":
        """See `ReadableLog`."""
        return ViewReader(self, topic, partition, from_offset)

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """See `ReadableLog`."""
        place = await asyncio.to_thread(self._place, topic, partition)
        return OffsetRange(earliest=place.earliest, next=place.next)

    async def read(self, topic: str, partition: int, *, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        """Return what is there at and after an offset, at once."""
        return await asyncio.to_thread(self._read, topic, partition, from_offset, records_max)

    def _place(self, topic: str, partition: int) -> Place:
        with _Look(self._path) as store:
            return self._found(store, topic, partition)

    def _read(self, topic: str, partition: int, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        with _Look(self._path) as store:
            place = self._found(store, topic, partition)
            if from_offset >= place.next:
                return ()
            return store.read(place, from_offset=from_offset, records_max=records_max)

    def _found(self, store: ReadStore, topic: str, partition: int) -> Place:
        for place in store.places():
            if (place.topic, place.partition) == (topic, partition):
                return place
        message = f"the log in {self._path.parent} has no partition {partition} of {topic}"
        raise LogUnavailable(message)


class ViewReader:
    """A cursor that asks the file each time."""

    def __init__(self, view: SqliteView, topic: str, partition: int, from_offset: int) -> None:
        """Stand at `from_offset`."""
        self._view = view
        self._topic = topic
        self._partition = partition
        self._position = from_offset

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`, but for waiting: what is not there yet is not waited for."""
        del wait_ms
        found = await self._view.read(self._topic, self._partition, from_offset=self._position, records_max=records_max)
        if found:
            self._position = found[-1].offset + 1
        return found

    async def close(self) -> None:
        """See `LogReader`."""


class _Look:
    """One look into the file, its errors translated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: ReadStore | None = None

    def __enter__(self) -> ReadStore:
        self._store = ReadStore(self._path)
        return self._store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()
        if isinstance(error, sqlite3.Error):
            raise meaning_of(error, self._path) from error
