"""Claims about an orderly end under load: a real server process, told to stop."""

import asyncio
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from tests.durability.server import ServerProcess

STOPPED_WITHIN_S = 10.0
"""What supervisors give a process by default before they kill it."""
DEFINITION = {
    "name": "one",
    "version": 1,
    "ownerEmail": "tests@example.com",
    "tasks": [{"name": "work", "taskReferenceName": "work", "type": "SIMPLE"}],
}


class Traffic:
    """Clients and workers that go on until the server refuses them."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """Speak to a server."""
        self._url = url
        self._session = session
        self.started: list[str] = []
        self.taken: list[str] = []
        self.reported: set[str] = set()
        self.is_stopping = False

    async def start(self) -> None:
        """Start workflows one after the other."""
        while not self.is_stopping:
            try:
                async with self._session.post(f"{self._url}/api/workflow/one", json={}) as reply:
                    if reply.status == 200:
                        self.started.append(await reply.text())
            except aiohttp.ClientError:
                return

    async def work(self, *, report: bool = True) -> None:
        """Take tasks by long poll, and report on them."""
        poll = f"{self._url}/api/tasks/poll/batch/work?workerid=w&count=3&timeout=5000"
        while not self.is_stopping:
            try:
                async with self._session.get(poll) as reply:
                    tasks = await reply.json() if reply.status == 200 else []
                for task in tasks:
                    self.taken.append(task["taskId"])
                    if report:
                        await self._report(task)
            except aiohttp.ClientError:
                return

    async def _report(self, task: dict[str, str]) -> None:
        result = {
            "workflowInstanceId": task["workflowInstanceId"],
            "taskId": task["taskId"],
            "status": "COMPLETED",
            "outputData": {},
        }
        async with self._session.post(f"{self._url}/api/tasks", json=result) as reply:
            if reply.status == 200:
                self.reported.add(task["taskId"])


@pytest.mark.slow
async def test_a_server_that_is_told_to_stop_under_load_ends_in_time_and_loses_and_doubles_nothing(
    tmp_path: Path, free_port: int
) -> None:
    """Long polls are open, starts and results are under way: what was answered is there after the next start."""
    arguments = ("--data", str(tmp_path / "data"), "--no-history")
    async with (
        ServerProcess(free_port, tmp_path / "server.log", *arguments) as server,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{server.url}/api/metadata/workflow", json=DEFINITION) as reply:
            assert reply.status in {200, 204}, await reply.text()
        traffic = Traffic(server.url, session)
        idle = f"{server.url}/api/tasks/poll/batch/nothing?workerid=w&timeout=5000"
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(traffic.start()) for _ in range(8)]
            clients += [group.create_task(traffic.work()) for _ in range(4)]
            clients += [group.create_task(traffic.work(report=False)) for _ in range(2)]
            polls = [group.create_task(_status(session, idle)) for _ in range(20)]
            await asyncio.sleep(1.5)  # under load
            began = time.monotonic()
            await asyncio.to_thread(server.kill, signal.SIGTERM)
            took_s = time.monotonic() - began
            traffic.is_stopping = True
            await asyncio.wait(clients)
            statuses = [await poll for poll in polls]
        print(f"stopped in {took_s:.2f} s; {len(traffic.started)} started, {len(traffic.taken)} taken")  # noqa: T201
        assert took_s < STOPPED_WITHIN_S
        assert set(statuses) == {200}
        assert len(traffic.taken) == len(set(traffic.taken))

        await server.start()
        after = Traffic(server.url, session)
        taken_before, started = set(traffic.taken), set(traffic.started)
        for workflow_id in started:
            async with session.get(f"{server.url}/api/workflow/{workflow_id}?includeTasks=true") as reply:
                if reply.status == 404:
                    continue  # ended, and let go of: there is no history here
                (task,) = (await reply.json())["tasks"]
                if task["taskId"] in traffic.reported:
                    assert task["status"] == "COMPLETED"
                elif task["taskId"] in taken_before:
                    assert task["status"] == "IN_PROGRESS"
        async with asyncio.TaskGroup() as group:
            working = group.create_task(after.work())
            await asyncio.sleep(1.0)  # as much as there is
            after.is_stopping = True
            working.cancel()
        assert not set(after.taken) & taken_before


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as reply:
        await reply.read()
        return reply.status
