"""How the embedded log does what the port asks: memory for the newest, file for the rest, one commit for many."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

import pytest

from streams.embedded import EmbeddedAssignment, SqliteLog
from streams.embedded.store import Run, Store
from streams.ports import NewRecord
from streams.topics import TopicSpec

EVENTS = TopicSpec(name="events", partitions=4, keep_forever=True)
LATEST = TopicSpec(name="latest", partitions=1, compacted=True)


async def test_a_reader_far_behind_gets_from_the_file_what_memory_has_no_more(tmp_path: Path) -> None:
    """Where file and memory meet nothing is lost or doubled, also while records are being added."""
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        for start in range(0, 12_000, 500):
            await log.append(
                "events", 0, [NewRecord(key=b"k", value=str(start + number).encode()) for number in range(500)]
            )
        reader = log.reader("events", 0, from_offset=0)
        values: list[bytes | None] = []
        pending: list[Awaitable[int]] = []
        while batch := await reader.read(records_max=700, wait_ms=0):
            values += [one.value for one in batch]
            if len(pending) < 20:
                number = 12_000 + len(pending)
                pending.append(log.append("events", 0, [NewRecord(key=b"k", value=str(number).encode())]))
        await asyncio.gather(*pending)
        while batch := await reader.read(records_max=700, wait_ms=0):
            values += [one.value for one in batch]
    assert len(pending) > 10
    assert values == [str(number).encode() for number in range(12_000 + len(pending))]


async def test_a_reader_that_keeps_up_never_asks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was just committed is served from memory, without another thread."""

    def no_file(*_: object) -> None:
        raise AssertionError("the file was asked for what memory has")

    monkeypatch.setattr("streams.embedded.log._Reading.read", no_file)
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        reader = log.reader("events", 0, from_offset=0)
        for number in range(1_000):
            await log.append("events", 0, [NewRecord(key=b"k", value=str(number).encode())])
            (found,) = await reader.read(records_max=10, wait_ms=1_000)
            assert found.value == str(number).encode()


async def test_appends_queued_during_a_commit_go_into_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand appends to four partitions take a few transactions, not a thousand."""
    commits: list[int] = []
    insert = Store.insert

    def counting(store: Store, runs: list[Run], *, appended_at_ms: int) -> None:
        commits.append(sum(len(run.records) for run in runs))
        insert(store, runs, appended_at_ms=appended_at_ms)

    monkeypatch.setattr(Store, "insert", counting)
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        await asyncio.gather(
            *(log.append("events", number % 4, [NewRecord(key=b"k", value=b"v")]) for number in range(1_000))
        )
    assert sum(commits) == 1_000
    assert len(commits) < 100


async def test_a_replaced_record_is_deleted_from_the_file(tmp_path: Path) -> None:
    """A compacted topic is as large as what it still says, however often a key was written."""
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([LATEST])
        for round_number in range(50):
            await log.append(
                "latest",
                0,
                [NewRecord(key=str(key).encode(), value=bytes([round_number]) * 2_000) for key in range(20)],
            )
    assert (tmp_path / "log.sqlite3").stat().st_size < 500_000


def rows(directory: Path) -> list[tuple[int]]:
    """Return the offsets in the table of the only partition."""
    with closing(sqlite3.connect(directory / "log.sqlite3")) as connection:
        return connection.execute("SELECT log_offset FROM records_1 ORDER BY log_offset").fetchall()


async def test_an_old_tombstone_goes_and_the_next_offset_stays(tmp_path: Path) -> None:
    """After a day a tombstone has been seen by all; the last record of all stays, because it tells the next offset."""
    day_ms = 24 * 3_600 * 1_000
    store = Store(tmp_path / "log.sqlite3")
    store.create([LATEST])
    (place,) = store.places()
    forgotten = [NewRecord(key=str(key).encode(), value=None) for key in range(3)]
    store.insert([Run(partition_id=place.partition_id, compacted=True, first=0, records=forgotten)], appended_at_ms=1)
    store.sweep_tombstones(place.partition_id, now_ms=day_ms)
    assert rows(tmp_path) == [(0,), (1,), (2,)]
    store.sweep_tombstones(place.partition_id, now_ms=day_ms + 2)
    assert rows(tmp_path) == [(2,)]
    assert store.next_offset(place.partition_id) == 3
    store.close()


async def test_the_embedded_assignment_assigns_everything_until_it_is_cancelled() -> None:
    """One process owns all partitions, and is told to stop at the end."""
    told: list[tuple[str, frozenset[int]]] = []

    class Owner:
        async def on_assigned(self, partitions: frozenset[int]) -> None:
            told.append(("assigned", partitions))
            began.set()

        async def on_revoked(self, partitions: frozenset[int]) -> None:
            told.append(("revoked", partitions))

    began = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(EmbeddedAssignment(partitions=3).run(Owner()))
        await began.wait()
        running.cancel()
    assert told == [("assigned", frozenset({0, 1, 2})), ("revoked", frozenset({0, 1, 2}))]
