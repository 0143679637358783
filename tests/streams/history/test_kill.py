"""Claims about a projection that is killed: nothing is missing afterwards, and nothing is there twice.

The log is the embedded one, the engine writes into a directory, and the process gets SIGKILL.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.events import TaskScheduled
from engine.ids import WorkflowId
from streams.embedded import SqliteLog
from streams.history import HistorySettings, HistoryStore
from streams.topics import EVENTS, engine_topics
from tests.streams.history.handing import everything
from tests.streams.history.projecting import all_rows, projected, wait_written
from tests.streams.history.recorded import Crowd, RecordedPartition
from tests.streams.history.test_projection import believed_events

KILLS = 10
OWNER_KILLS = 4
ROOT = Path(__file__).parents[3]


def project_until_killed(directory: Path, chance: random.Random) -> str:
    """Let a process project, kill it after a random while, and return the last that it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.streams.history.project_forever", str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said = line.strip()
            if said == "open":
                # Not for anything to happen: the instant of the kill is the input of this test.
                time.sleep(chance.uniform(0.05, 0.5))
                break
        process.kill()
        process.wait()
        return said


def project_to_the_end(directory: Path) -> None:
    """Let a process project all that there is."""
    subprocess.run(
        [sys.executable, "-m", "tests.streams.history.project_forever", str(directory)],
        cwd=ROOT,
        check=True,
        timeout=200,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Killed ten times in the middle of its batches, the projection ends with exactly the rows of the log."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=40)
    crowd.live(9_000)
    async with SqliteLog(tmp_path / "log") as log:
        await log.create_topics(engine_topics(partitions=1))
        await log.append(EVENTS, 0, recorded.new_records())
    chance = random.Random(41)
    for _ in range(KILLS):
        said = await asyncio.to_thread(project_until_killed, tmp_path, chance)
        assert said == "open", "the log was too short to be killed ten times in it"
    await asyncio.to_thread(project_to_the_end, tmp_path)

    async with HistoryStore(HistorySettings(directory=tmp_path / "history")) as store:
        await store.wait_open(timeout_ms=30_000)
        events = believed_events(recorded)
        counted = await all_rows(store, "SELECT workflow_id, count() FROM workflow_events FINAL GROUP BY workflow_id")
        assert sorted(counted) == sorted((name, len(listed)) for name, listed in events.items())
        for name in crowd.ids[::10]:
            found = await store.events(WorkflowId(name))
            assert [item.event for item in found] == events[name]
            assert await store.state(WorkflowId(name)) == recorded.state(name)
        rows = await all_rows(store, "SELECT workflow_id, status, event_version FROM workflow_executions FINAL")
        wanted = [(name, recorded.state(name).status.value, recorded.state(name).version) for name in crowd.ids]
        assert sorted(rows) == sorted(wanted)
        tasks = await all_rows(store, "SELECT workflow_id, seq FROM task_executions FINAL")
        assert Counter(tasks) == Counter(
            (name, event.seq) for name, listed in events.items() for event in listed if isinstance(event, TaskScheduled)
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_owner_that_is_killed_leaves_the_history_of_its_log(tmp_path: Path) -> None:
    """Killed again and again while it decides and hands over, and begun anew, it ends with just the rows of its log."""
    chance = random.Random(43)
    for seed in range(OWNER_KILLS):
        said = await asyncio.to_thread(own_until_killed, tmp_path, seed, chance.uniform(0.1, 0.6))
        assert said == "deciding"
    await asyncio.to_thread(project_to_the_end, tmp_path)
    histories = []
    for name in ("history", "anew"):
        settings = HistorySettings(directory=tmp_path / name)
        async with SqliteLog(tmp_path / "log") as log, HistoryStore(settings) as store:
            await store.wait_open(timeout_ms=30_000)
            async with projected(log, store, settings) as projector:
                await wait_written(projector, 0, (await log.offsets(EVENTS, 0)).next)
            histories.append((await everything(store))[:3])

    assert len(histories[0][2]) > 500
    assert histories[0] == histories[1]


def own_until_killed(directory: Path, seed: int, after_s: float) -> str:
    """Let a process own and project, kill it after a while, and return what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.streams.history.own_forever", str(directory), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said = line.strip()
            if said == "deciding":
                # Not for anything to happen: the instant of the kill is the input of this test.
                time.sleep(after_s)
                break
        process.kill()
        process.wait()
        return said
