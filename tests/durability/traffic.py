"""Clients and workers that go on while the server is killed under them.

Holds what they were told: which starts and which results were acknowledged. Must not give up: like real ones they ask
again. Keeps the ledger that the audit is held against.
"""

import asyncio
import random
from collections import Counter

import aiohttp

from tests.durability.server import ServerProcess

WORKFLOW = {
    "name": "killed",
    "version": 1,
    "schemaVersion": 2,
    "tasks": [
        {"name": "first", "taskReferenceName": "first_ref", "type": "SIMPLE",
         "inputParameters": {"number": "${workflow.input.number}"}},
        {"name": "fork", "taskReferenceName": "fork_ref", "type": "FORK_JOIN",
         "forkTasks": [
             [{"name": "left", "taskReferenceName": "left_ref", "type": "SIMPLE"}],
             [{"name": "right", "taskReferenceName": "right_ref", "type": "SIMPLE"}],
         ]},
        {"name": "join", "taskReferenceName": "join_ref", "type": "JOIN", "joinOn": ["left_ref", "right_ref"]},
        {"name": "pause", "taskReferenceName": "wait_ref", "type": "WAIT", "inputParameters": {"duration": "1 second"}},
        {"name": "last", "taskReferenceName": "last_ref", "type": "SIMPLE",
         "inputParameters": {"number": "${first_ref.output.number}"}},
    ],
    "outputParameters": {"number": "${last_ref.output.number}"},
}  # fmt: skip
TASK_TYPES = ("first", "left", "right", "last")
TASK_DEFS = [
    {"name": name, "retryCount": 10, "retryDelaySeconds": 0, "responseTimeoutSeconds": 3} for name in TASK_TYPES
]
"""A short response timeout: a task that was handed out when the server died comes back soon."""


class Traffic:
    """One run: starts `count` workflows and works on them."""

    def __init__(self, *servers: ServerProcess, count: int, seed: int) -> None:
        self.started: list[str] = []
        """Ids of the starts that were acknowledged."""
        self.acknowledged: Counter[str] = Counter()
        """Acknowledgements of COMPLETED results, by task id."""
        self.count = count
        self._servers = servers
        self._random = random.Random(seed)

    async def register(self) -> None:
        """Register the definitions."""
        async with aiohttp.ClientSession() as session:
            await self._until_done(session, "POST", "/api/metadata/taskdefs", json=TASK_DEFS)
            await self._until_done(session, "PUT", "/api/metadata/workflow", json=[WORKFLOW])

    async def start_all(self, *, every_s: float) -> None:
        """Start the workflows, one after the other; only what was acknowledged counts."""
        async with aiohttp.ClientSession() as session:
            while len(self.started) < self.count:
                body = {"name": "killed", "version": 1, "input": {"number": len(self.started)}}
                reply = await self._try(session, "POST", "/api/workflow", json=body)
                if reply is not None:
                    self.started.append(reply)
                await asyncio.sleep(every_s)

    async def work(self, worker_id: str) -> None:
        """Poll and complete tasks until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                for task_type in TASK_TYPES:
                    await self._work_once(session, worker_id, task_type)

    async def wait_all_ended(self) -> dict[str, dict[str, object]]:
        """Wait until every acknowledged workflow has ended, and return them by id."""
        ended: dict[str, dict[str, object]] = {}
        async with aiohttp.ClientSession() as session:
            while len(ended) < len(self.started):
                for workflow_id in self.started:
                    if workflow_id in ended:
                        continue
                    workflow = await self._get(session, workflow_id)
                    if workflow["status"] not in {"RUNNING", "PAUSED"}:
                        ended[workflow_id] = workflow
                await asyncio.sleep(0.1)
        return ended

    async def _get(self, session: aiohttp.ClientSession, workflow_id: str) -> dict[str, object]:
        while True:
            try:
                async with session.get(f"{self._server()}/api/workflow/{workflow_id}") as reply:
                    if reply.status == 200:
                        found: dict[str, object] = await reply.json()
                        return found
                    assert reply.status == 503, f"{workflow_id}: {reply.status} {await reply.text()}"
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

    async def _work_once(self, session: aiohttp.ClientSession, worker_id: str, task_type: str) -> None:
        path = f"/api/tasks/poll/batch/{task_type}?count=10&timeout=50&workerid={worker_id}"
        try:
            async with session.get(self._server() + path) as reply:
                tasks = await reply.json() if reply.status == 200 else []
        except (aiohttp.ClientError, ValueError):
            await asyncio.sleep(0.05)
            return
        for task in tasks:
            result = {
                "workflowInstanceId": task["workflowInstanceId"],
                "taskId": task["taskId"],
                "workerId": worker_id,
                "status": "COMPLETED",
                "outputData": {"number": task["inputData"].get("number"), "worker": worker_id},
            }
            for _ in range(3):
                if await self._try(session, "POST", "/api/tasks", json=result) is not None:
                    self.acknowledged[task["taskId"]] += 1
                    break
                await asyncio.sleep(0.1)

    async def _until_done(self, session: aiohttp.ClientSession, method: str, path: str, *, json: object) -> None:
        while await self._try(session, method, path, json=json) is None:
            await asyncio.sleep(0.05)

    async def _try(self, session: aiohttp.ClientSession, method: str, path: str, *, json: object) -> str | None:
        """Return the body of a successful answer, or None if there was none."""
        try:
            async with session.request(method, self._server() + path, json=json) as reply:
                text = await reply.text()
                if reply.status == 200:
                    return text
                assert reply.status == 503, f"{method} {path}: {reply.status} {text}"
        except aiohttp.ClientError:
            pass
        return None

    def _server(self) -> str:
        return self._random.choice(self._servers).url
