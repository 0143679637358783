"""The SQLite file: its settings, its tables, and what its errors mean.

Holds everything that is written in SQL about the shape of the file. Must not hold records nor know threads.
Keeps the invariant that a file is only opened by a program that knows its version.

One table per partition, keyed by offset: every insert goes to the right edge of its own tree, so pages are
filled and a commit writes few of them. (Measured, 96 records of 1 KB over 8 partitions: 188,000 records/s,
against 122,000 in one table keyed by partition and offset, and 48,000 in one WITHOUT ROWID.)
"""

import sqlite3
from pathlib import Path
from typing import Final

from streams.errors import LogUnavailable, StoreFull, StreamsError

SCHEMA_VERSION: Final = 1
"""Stored as `user_version`. A change of the tables raises it and brings a migration."""

_STATEMENTS_CACHED: Final = 1_024
"""Insert statements differ by partition and by number of rows: some for each, prepared once."""
_WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a time in which it had to grow beyond."""
_BUSY_MS: Final = 2_000
"""How long a reader waits for a checkpoint. Nobody else opens the file: the directory is locked."""

_SCHEMA: Final = (
    """CREATE TABLE topics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL, compacted INTEGER NOT
        NULL
    ) STRICT""",
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL REFERENCES topics (id), number INTEGER NOT NULL,
        earliest INTEGER NOT NULL DEFAULT 0, UNIQUE (topic_id, number)
    ) STRICT""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing, make its tables if it is new, and return the connection.

    `synchronous=FULL` in WAL mode syncs the log at every commit: a committed transaction survives a loss of
    power.

    Raises:
        LogUnavailable: the file is damaged, of a later version, or cannot be opened.
        StoreFull: there is no space to make it.
    """
    try:
        connection = _connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise meaning_of(error, path) from error
    if version not in (0, SCHEMA_VERSION):
        connection.close()
        raise LogUnavailable(
            f"{path} has the format {version}, this program knows {SCHEMA_VERSION}; use the program that "
            "wrote it, or a newer one"
        )
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading only; it sees every commit that was acknowledged.

    Raises:
        LogUnavailable: the file is damaged or cannot be opened.
    """
    try:
        connection = _connect(path)
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error as error:
        raise meaning_of(error, path) from error
    return connection


def table_statements(partition_id: int, *, compacted: bool) -> tuple[str, ...]:
    """Return the statements that make the table of one partition."""
    key = "key BLOB NOT NULL UNIQUE" if compacted else "key BLOB"
    table = f"""CREATE TABLE records_{partition_id} (
        log_offset INTEGER PRIMARY KEY, appended_at_ms INTEGER NOT NULL, {key}, value BLOB
    ) STRICT"""
    if not compacted:
        return (table,)
    return (
        table,
        f"""CREATE INDEX tombstones_{partition_id} ON records_{partition_id} (appended_at_ms)
            WHERE value IS NULL""",
    )


def meaning_of(error: sqlite3.Error, path: Path) -> StreamsError:
    """Return the error of the port that an error of SQLite stands for."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name == "SQLITE_FULL":
        return StoreFull(f"the disk under {path} is full; nothing was stored, free some space")
    return LogUnavailable(f"{path} cannot be used: {name}: {error}")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        isolation_level=None,  # transactions are begun and ended by this package, never behind its back
        check_same_thread=False,  # opened in one thread and used in one other, never in two at a time
        cached_statements=_STATEMENTS_CACHED,
    )
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return connection
