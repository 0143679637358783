"""What the embedded log survives: kills, a second process, a full disk, a damaged file."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded import SqliteLog
from streams.embedded.log import FILE_NAME
from streams.embedded.store import Run, Store
from streams.errors import LogUnavailable, StoreFull, StoreLocked
from streams.ports import NewRecord, OffsetRange
from streams.topics import TopicSpec

EVENTS = TopicSpec(name="events", partitions=2, keep_forever=True)
ROOT = Path(__file__).parents[3]
KILLS = 20


def start_writer(directory: Path, name: str) -> "subprocess.Popen[str]":
    """Start the process that appends until it is killed."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("writer_process.py")), str(directory), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def names_in(directory: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in directory.iterdir())


async def read_values(log: SqliteLog, partition: int) -> dict[int, str]:
    """Return all values of a partition by offset."""
    held = await log.offsets("events", partition)
    reader = log.reader("events", partition, from_offset=held.earliest)
    found: dict[int, str] = {}
    while batch := await reader.read(records_max=10_000, wait_ms=0):
        found.update({one.offset: (one.value or b"").decode() for one in batch})
    return found


async def test_kill_9_in_the_midst_of_appends_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After each of twenty kills every acknowledged record is at its offset, and offsets have no gap."""
    chance = random.Random(20)
    acknowledged: dict[int, str] = {}
    for kill in range(KILLS):
        writer = start_writer(tmp_path, f"run{kill}")
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 400)):
            offset, value = writer.stdout.readline().split()
            acknowledged[int(offset)] = value
        writer.send_signal(signal.SIGKILL)
        for line in writer.communicate(timeout=10)[0].splitlines(keepends=True):
            if line.endswith("\n"):
                offset, value = line.split()
                acknowledged[int(offset)] = value
        async with SqliteLog(tmp_path) as log:
            stored = await read_values(log, 0)
        assert list(stored) == list(range(len(stored)))
        assert {offset: stored[offset] for offset in acknowledged} == acknowledged


async def test_a_second_process_on_the_directory_is_refused_by_name(tmp_path: Path) -> None:
    """The refusal names the directory and the process that has it, and the first process does not notice."""
    writer = start_writer(tmp_path, "first")
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StoreLocked, match=rf"{tmp_path} is in use by process {writer.pid}"):
            await SqliteLog(tmp_path).__aenter__()
        assert writer.stdout.readline()
    finally:
        writer.kill()
        writer.communicate()
    async with SqliteLog(tmp_path) as log:
        assert (await log.offsets("events", 0)).next > 0


async def test_the_same_process_cannot_open_the_directory_twice(tmp_path: Path) -> None:
    """Two logs of one process would not know of each other's offsets."""
    async with SqliteLog(tmp_path):
        with pytest.raises(StoreLocked):
            await SqliteLog(tmp_path).__aenter__()
    async with SqliteLog(tmp_path):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted)],  # noqa: S607  wherever mount is
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.skip(f"a small file system can only be mounted by root: {mount.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)  # noqa: S607  likewise


async def test_a_full_disk_stores_nothing_in_part_and_the_log_goes_on_when_there_is_space(small_disk: Path) -> None:
    """Appends fail with StoreFull, reads go on, and freed space heals it without a restart."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_500_000)
    batch = [NewRecord(key=b"k", value=b"x" * 30_000) for _ in range(3)]
    stored = 0

    async def append_until_refused() -> None:
        nonlocal stored
        while stored < 100:
            assert await log.append("events", 0, batch) == 3 * stored
            stored += 1

    async with SqliteLog(small_disk / "data") as log:
        await log.create_topics([EVENTS])
        await log.append("events", 1, [NewRecord(key=b"k", value=b"other")])
        with pytest.raises(StoreFull, match="full"):
            await append_until_refused()
        assert stored > 0
        outcomes = await asyncio.gather(*(log.append("events", 0, batch) for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreFull] * 5
        assert await log.offsets("events", 0) == OffsetRange(earliest=0, next=3 * stored)
        assert len(await read_values(log, 0)) == 3 * stored

        ballast.unlink()

        assert await log.append("events", 0, batch) == 3 * stored
        assert len(await read_values(log, 0)) == 3 * stored + 3
    async with SqliteLog(small_disk / "data") as log:
        assert len(await read_values(log, 0)) == 3 * stored + 3
        assert await read_values(log, 1) == {0: "other"}


async def test_no_append_in_flight_is_stored_behind_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called before the failure was told, it fails too, although there is space again; called after, it is stored."""
    entered, go_on = threading.Event(), threading.Event()
    insert = Store.insert

    def full_once(store: Store, runs: list[Run], *, appended_at_ms: int) -> None:
        monkeypatch.setattr(Store, "insert", insert)
        entered.set()
        go_on.wait(timeout=10)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        monkeypatch.setattr(Store, "insert", full_once)
        first = log.append("events", 0, [NewRecord(key=b"k", value=b"first")])
        await asyncio.to_thread(entered.wait, 10)
        second = log.append("events", 0, [NewRecord(key=b"k", value=b"second")])
        elsewhere = log.append("events", 1, [NewRecord(key=b"k", value=b"elsewhere")])
        go_on.set()
        with pytest.raises(StoreFull, match="disk"):
            await first
        with pytest.raises(StoreFull, match="before it"):
            await second
        assert await elsewhere == 0
        assert await log.append("events", 0, [NewRecord(key=b"k", value=b"third")]) == 0
        assert await read_values(log, 0) == {0: "third"}


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    """Nothing is deleted or made anew: somebody may want to look at it."""
    (tmp_path / FILE_NAME).write_bytes(b"this was a log once" * 1_000)
    with pytest.raises(LogUnavailable, match=f"{FILE_NAME} cannot be used: SQLITE_NOTADB"):
        await SqliteLog(tmp_path).__aenter__()
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"this was a log once")
    # The directory is free again.
    (tmp_path / FILE_NAME).unlink()
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])


async def test_a_damaged_page_fails_the_read_with_its_reason_and_appends_go_on(tmp_path: Path) -> None:
    """A read that meets damage says so; it does not pass over it."""
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [NewRecord(key=b"k", value=b"x" * 2_000) for _ in range(2_000)])
        await log.append("events", 1, [NewRecord(key=b"k", value=b"y")])
    path = tmp_path / FILE_NAME
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2 // 4_096 * 4_096
    damaged[middle : middle + 4_096] = b"\xff" * 4_096
    path.write_bytes(damaged)
    async with SqliteLog(tmp_path) as log:
        with pytest.raises(LogUnavailable, match="SQLITE_CORRUPT"):
            await read_values(log, 0)
        assert await log.append("events", 1, [NewRecord(key=b"k", value=b"z")]) == 1
        assert await read_values(log, 1) == {0: "y", 1: "z"}


async def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what it does not know."""
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogUnavailable, match="format 99"):
        await SqliteLog(tmp_path).__aenter__()


async def test_a_log_that_was_closed_leaves_no_write_ahead_log(tmp_path: Path) -> None:
    """The file alone can be copied as a backup when nobody has it open."""
    async with SqliteLog(tmp_path) as log:
        await log.create_topics([EVENTS])
        await log.append("events", 0, [NewRecord(key=b"k", value=b"x" * 1_000) for _ in range(1_000)])
    assert names_in(tmp_path) == ["lock", FILE_NAME]
