"""What is done to the SQLite file, call by call.

Holds the reads and writes of topics and records as synchronous calls. Must not be used by two threads at a
time, nor start one. Keeps the invariant that a call either did everything or left the file as it was.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.embedded.schema import open_reader, open_writer, table_statements
from streams.errors import OffsetOutOfRange, TopicMismatch
from streams.ports import LogRecord, NewRecord
from streams.topics import TopicSpec

TRIM_RECORDS_MAX: Final = 10_000
"""Records that one transaction of a trim deletes: appends wait a few milliseconds for it, no longer."""
_ROWS_MAX: Final = 512
"""Rows of one INSERT: four parameters each, far below SQLite's 32,766."""
_READ_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of one read: a reader that asks for thousands of large records gets fewer."""
_TOMBSTONE_MS: Final = 24 * 3_600 * 1_000
"""How long a tombstone can be read before it goes, as long as Kafka's `delete.retention.ms`."""
_TOMBSTONES_MAX: Final = 10_000


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A partition in the file."""

    partition_id: int
    topic: str
    partition: int
    compacted: bool
    earliest: int
    next: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records for one partition. `first` is the offset of the first."""

    partition_id: int
    compacted: bool
    first: int
    records: Sequence[NewRecord]


class Store:
    """The writing side of the file."""

    def __init__(self, path: Path) -> None:
        self._connection = open_writer(path)

    def places(self) -> list[Place]:
        """Return every partition with the offsets that it holds."""
        return _places(self._connection)

    def next_offset(self, partition_id: int) -> int:
        """Return the offset after the last record, which is never swept; a trim notes where it ended."""
        return _next_offset(self._connection, partition_id)

    def create(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing, all or nothing.

        Raises:
            TopicMismatch: a topic exists with another partition count or cleanup policy.
        """
        with _Transaction(self._connection):
            for spec in topics:
                self._create(spec)

    def _create(self, spec: TopicSpec) -> None:
        known = self._connection.execute(
            "SELECT partitions, compacted FROM topics WHERE name = ?", (spec.name,)
        ).fetchone()
        if known is not None:
            if known != (spec.partitions, int(spec.compacted)):
                raise TopicMismatch(
                    f"topic {spec.name} has {known[0]} partitions and compacted={bool(known[1])}; expected "
                    f"{spec.partitions} and compacted={spec.compacted}"
                )
            return
        topic_id = self._connection.execute(
            "INSERT INTO topics (name, partitions, compacted) VALUES (?, ?, ?)",
            (spec.name, spec.partitions, int(spec.compacted)),
        ).lastrowid
        for number in range(spec.partitions):
            (partition_id,) = self._connection.execute(
                "INSERT INTO partitions (topic_id, number) VALUES (?, ?) RETURNING id", (topic_id, number)
            ).fetchone()
            for statement in table_statements(partition_id, compacted=spec.compacted):
                self._connection.execute(statement)

    def insert(self, runs: Sequence[Run], *, appended_at_ms: int) -> None:
        """Insert runs of records in one durable transaction.

        In a compacted table a row replaces the older row of its key.
        """
        statements = [statement for run in runs for statement in _inserts(run, appended_at_ms)]
        if len(statements) == 1:
            # A single statement is a transaction by itself: two calls into SQLite fewer.
            self._connection.execute(*statements[0])
            return
        with _Transaction(self._connection):
            for text, values in statements:
                self._connection.execute(text, values)

    def trim(self, partition_id: int, *, earliest: int, before_offset: int) -> int:
        """Delete some of the records from `earliest` up to an offset, and return the offset it came to."""
        reached = min(before_offset, earliest + TRIM_RECORDS_MAX)
        with _Transaction(self._connection):
            self._connection.execute(
                f"DELETE FROM records_{partition_id} WHERE log_offset < ?",  # noqa: S608  an integer of ours
                (reached,),
            )
            self._connection.execute("UPDATE partitions SET earliest = ? WHERE id = ?", (reached, partition_id))
        return reached

    def sweep_tombstones(self, partition_id: int, *, now_ms: int) -> None:
        """Delete old tombstones of a compacted partition, but not its last record: that tells the next offset."""
        self._connection.execute(
            f"""DELETE FROM records_{partition_id} WHERE log_offset IN (
                SELECT log_offset FROM records_{partition_id}
                WHERE value IS NULL AND appended_at_ms < ? LIMIT ?
            ) AND log_offset < (SELECT max(log_offset) FROM records_{partition_id})""",  # noqa: S608  an integer
            (now_ms - _TOMBSTONE_MS, _TOMBSTONES_MAX),
        )

    def close(self) -> None:
        """Move everything into the main file, cut the write-ahead log, and close."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # Only tidiness is lost: what is in the write-ahead log is as durable, and the next opening finds
            # it.
            pass
        finally:
            self._connection.close()


class ReadStore:
    """The reading side of the file: a connection of its own, so that a long read delays no commit."""

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path)

    def places(self) -> list[Place]:
        """Return every partition with the offsets that it holds."""
        return _places(self._connection)

    def read(self, place: Place, *, from_offset: int, records_max: int) -> list[LogRecord]:
        """Return the records at and after an offset, up to `records_max` or some megabytes.

        Raises:
            OffsetOutOfRange: the partition was trimmed beyond the offset.
        """
        rows = self._connection.execute(
            f"""SELECT log_offset, appended_at_ms, key, value FROM records_{place.partition_id}
                WHERE log_offset >= ? ORDER BY log_offset LIMIT ?""",  # noqa: S608  an integer of ours
            (from_offset, records_max),
        )
        found: list[LogRecord] = []
        size = 0
        for offset, appended_at_ms, key, value in rows:
            found.append(
                LogRecord(
                    topic=place.topic,
                    partition=place.partition,
                    offset=offset,
                    key=key,
                    value=value,
                    appended_at_ms=appended_at_ms,
                )
            )
            size += len(key or b"") + len(value or b"")
            if size >= _READ_BYTES_MAX:
                break
        rows.close()
        if not found or found[0].offset != from_offset:
            # A gap is compaction, or a trim that came between the caller's check and this read.
            self._require_kept(place, from_offset)
        return found

    def _require_kept(self, place: Place, offset: int) -> None:
        earliest = self._connection.execute(
            "SELECT earliest FROM partitions WHERE id = ?", (place.partition_id,)
        ).fetchone()[0]
        if offset < earliest:
            raise OffsetOutOfRange(
                f"{place.topic}[{place.partition}] can be read from {earliest}; {offset} was asked for"
            )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Transaction:
    """A transaction that is committed when its block ends well, and undone when it does not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            # After an error SQLite has sometimes undone the transaction itself, and a commit may fail and
            # leave it open.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _inserts(run: Run, appended_at_ms: int) -> Iterator[tuple[str, list[object]]]:
    # Each step into SQLite gives up the interpreter lock and must win it back, so rows go in few statements;
    # their numbers are powers of two, so that the statements are few as well and stay prepared.
    verb = "INSERT OR REPLACE" if run.compacted else "INSERT"
    total = len(run.records)
    start = 0
    while start < total:
        count = min(_ROWS_MAX, 1 << ((total - start).bit_length() - 1))
        values: list[object] = []
        for position in range(start, start + count):
            record = run.records[position]
            values += (run.first + position, appended_at_ms, record.key, record.value)
        yield f"{verb} INTO records_{run.partition_id} VALUES {','.join(['(?,?,?,?)'] * count)}", values
        start += count


def _places(connection: sqlite3.Connection) -> list[Place]:
    rows = connection.execute(
        """SELECT p.id, t.name, p.number, t.compacted, p.earliest
           FROM partitions p JOIN topics t ON t.id = p.topic_id ORDER BY p.id"""
    ).fetchall()
    return [
        Place(
            partition_id=partition_id,
            topic=topic,
            partition=number,
            compacted=bool(compacted),
            earliest=earliest,
            next=_next_offset(connection, partition_id),
        )
        for partition_id, topic, number, compacted, earliest in rows
    ]


def _next_offset(connection: sqlite3.Connection, partition_id: int) -> int:
    next_offset: int = connection.execute(
        f"""SELECT coalesce((SELECT max(log_offset) + 1 FROM records_{partition_id}),
                            (SELECT earliest FROM partitions WHERE id = ?))""",  # noqa: S608  an integer of ours
        (partition_id,),
    ).fetchone()[0]
    return next_offset
