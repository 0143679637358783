"""Claims about a history on a ClickHouse server: it is the same history.

The server is a small HTTP endpoint over the real engine, in a process of its own; a real server is used where
`CLICKHOUSE_URL` names one.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.errors import HistoryUnavailable
from streams.history import HistorySettings, HistoryStore
from streams.service import SearchFor
from streams.topics import EVENTS
from tests.streams.history.projecting import memory_log, projected, wait_written
from tests.streams.history.recorded import Crowd, RecordedPartition

ROOT = Path(__file__).parents[3]


class Endpoint:
    """A server that can be stopped and started again."""

    def __init__(self, directory: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._directory = directory
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.streams.history.endpoint", str(self._directory), str(self._port)], cwd=ROOT
        )
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def endpoint(tmp_path: Path, free_port: int) -> Iterator[Endpoint]:
    """A server over an empty directory."""
    server = Endpoint(tmp_path / "server", free_port)
    server.start()
    yield server
    server.kill()


def server_settings(endpoint: Endpoint, database: str = "podium_test") -> HistorySettings:
    """Return how to reach the server."""
    return HistorySettings(
        url=os.environ.get("CLICKHOUSE_URL", endpoint.url), database=database, linger_ms=5, linger_ms_max=10
    )


async def test_a_server_and_the_engine_in_process_give_the_same_answers(tmp_path: Path, endpoint: Endpoint) -> None:
    """States, events and searches are equal, whichever way the history is kept."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=50)
    crowd.live(400)
    answers: list[list[Any]] = []
    for settings in (
        HistorySettings(directory=tmp_path / "here", linger_ms=5, linger_ms_max=10),
        server_settings(endpoint),
    ):
        async with memory_log(recorded.new_records()) as log, HistoryStore(settings) as store:
            async with projected(log, store, settings) as projector:
                await wait_written(projector, 0, len(recorded.records))
            answers.append(
                [
                    [await store.state(WorkflowId(name)) for name in crowd.ids[:20]],
                    await store.events(WorkflowId(crowd.ids[0])),
                    await store.search(
                        query="correlationId IN ('back\\\\slash', '100%_sure', 'Łódź') AND input = '*O\\'H*'",
                        free_text="ann",
                        start=0,
                        size=10,
                        sort="updateTime:ASC",
                    ),
                    await store.search(
                        what=SearchFor.TASKS,
                        query="status = COMPLETED",
                        free_text="",
                        start=2,
                        size=5,
                        sort="taskId:DESC",
                    ),
                    await store.search(
                        what=SearchFor.WORKFLOWS_BY_TASKS,
                        query="taskType = second",
                        free_text='"disk full"',
                        start=0,
                        size=5,
                        sort="",
                    ),
                ]
            )
    assert answers[0] == answers[1]
    assert answers[0][2].total > 0


async def answered(store: HistoryStore) -> WorkflowState | None:
    """Ask until there is an answer."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.state(WorkflowId("nobody"))
            except HistoryUnavailable:
                await asyncio.sleep(0.1)


async def test_an_outage_of_the_server_is_waited_out(endpoint: Endpoint) -> None:
    """While the server is away reads say so at once, and the projection goes on when it is back, without a gap."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=51)
    crowd.live(200)
    values = recorded.new_records()
    settings = server_settings(endpoint)
    async with (
        memory_log(values[:50]) as log,
        HistoryStore(settings) as store,
        projected(log, store, settings) as projector,
    ):
        await wait_written(projector, 0, 50)
        await asyncio.to_thread(endpoint.kill)
        await log.append(EVENTS, 0, values[50:])
        with pytest.raises(HistoryUnavailable):
            await store.state(WorkflowId(crowd.ids[0]))
        assert (await projector.lag()).records > 0
        await asyncio.to_thread(endpoint.start)
        await wait_written(projector, 0, len(values))

        for name in crowd.ids:
            assert await store.state(WorkflowId(name)) == recorded.state(name)


async def test_a_server_that_is_not_there_yet_is_found_when_it_comes(tmp_path: Path, free_port: int) -> None:
    """Opening fails with the reason, and a later question opens the store anew."""
    server = Endpoint(tmp_path / "late", free_port)
    settings = server_settings(server)
    async with HistoryStore(settings) as store:
        with pytest.raises(HistoryUnavailable):
            await store.wait_open(timeout_ms=20_000)
        assert not store.is_open
        await asyncio.to_thread(server.start)
        try:
            assert await answered(store) is None
        finally:
            await asyncio.to_thread(server.kill)
