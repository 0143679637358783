"""Many workers for few slots, while servers are killed under them; and what the log says about it afterwards.

Holds the workload and the measurement. Must not give up: what is not acknowledged is sent again. Keeps the measurement
independent of the engine: it looks at the instants of events, and folds nothing.
"""

import asyncio
import random

import aiohttp
import msgspec

from engine.events import Event, SlotAwaited, SlotObtained, TaskEnded
from engine.ids import TaskId, task_id
from engine.limiter.events import SlotFreed, SlotGranted
from streams.partition.chain import Chain
from streams.ports import Log
from streams.records import DecisionRecord
from streams.topics import EVENTS
from tests.durability.server import ServerProcess

LIMIT = 5
TASK_DEF = {
    "name": "scarce", "retryCount": 20, "retryDelaySeconds": 0, "responseTimeoutSeconds": 2,
    "concurrentExecLimit": LIMIT,
}  # fmt: skip
"""A short response timeout: an attempt whose worker was not told of it ends soon, and its slot is free again."""
WORKFLOW = {
    "name": "scarce_flow",
    "version": 1,
    "schemaVersion": 2,
    "tasks": [{"name": "scarce", "taskReferenceName": f"scarce_{n}", "type": "SIMPLE"} for n in range(2)],
}


class ScarceWork:
    """Starts workflows and works on them."""

    def __init__(self, *servers: ServerProcess, seed: int) -> None:
        """Talk to any of the servers."""
        self.started: list[str] = []
        self._servers = servers
        self._random = random.Random(seed)

    async def begin(self, count: int) -> None:
        """Register the definitions and start so many workflows."""
        async with aiohttp.ClientSession() as session:
            await self._ask(session, "POST", "/api/metadata/taskdefs", json=[TASK_DEF])
            await self._ask(session, "PUT", "/api/metadata/workflow", json=[WORKFLOW])
            for number in range(count):
                body = {"name": "scarce_flow", "version": 1, "priority": number % 3}
                self.started.append(await self._ask(session, "POST", "/api/workflow", json=body))

    async def work(self, worker_id: str) -> None:
        """Take one task at a time, hold it for a moment, complete it; until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                found = await self._ask(
                    session, "GET", f"/api/tasks/poll/batch/scarce?count=1&timeout=100&workerid={worker_id}"
                )
                for task in msgspec.json.decode(found or b"[]"):
                    await asyncio.sleep(self._random.uniform(0.01, 0.1))  # the work
                    body = {key: task[key] for key in ("taskId", "workflowInstanceId")}
                    await self._ask(session, "POST", "/api/tasks", json={**body, "status": "COMPLETED"})

    async def wait_all_ended(self) -> list[str]:
        """Wait until every workflow has ended, and return the statuses."""
        async with aiohttp.ClientSession() as session:
            while True:
                found = [
                    msgspec.json.decode(await self._ask(session, "GET", f"/api/workflow/{workflow_id}"))["status"]
                    for workflow_id in self.started
                ]
                if "RUNNING" not in found:
                    return found
                await asyncio.sleep(0.2)

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, **body: object) -> str:
        while True:
            url = self._random.choice(self._servers).url
            try:
                async with session.request(method, url + path, **body) as reply:  # type: ignore[arg-type]  # json only
                    text = await reply.text()
                    if reply.status < 300:
                        return text
                    assert reply.status in {404, 502, 503}, f"{method} {path}: {reply.status} {text}"
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


class Usage(msgspec.Struct, kw_only=True):
    """What the log says: when each attempt could begin and when it ended, and what the limiter gave."""

    began_ms: dict[TaskId, int] = {}
    ended_ms: dict[TaskId, int] = {}
    asked: set[TaskId] = set()
    held_most: int = 0
    successor: dict[TaskId, TaskId] = {}
    """Who was given the slot that somebody gave back, in the same decision."""

    def at_once(self) -> int:
        """Return how many attempts were under way at the same instant, at most."""
        steps = [(at_ms, 1) for at_ms in self.began_ms.values()]
        steps += [(self.ended_ms[holder], -1) for holder in self.began_ms]
        now = most = 0
        for _, step in sorted(steps):  # of one instant, ends come first
            now += step
            most = max(most, now)
        return most

    def latencies_ms(self) -> list[int]:
        """Return how long each freed slot stood empty, from the end of one attempt to the release of the next."""
        return sorted(
            self.began_ms[after] - self.ended_ms[before]
            for before, after in self.successor.items()
            if before in self.ended_ms and after in self.began_ms
        )


async def usage_of(log: Log, partitions: int) -> Usage:
    """Read the whole log."""
    usage = Usage()
    for partition in range(partitions):
        chain = Chain(partition)
        offsets = await log.offsets(EVENTS, partition)
        reader = log.reader(EVENTS, partition, from_offset=0)
        held: set[TaskId] = set()
        while chain.next_offset < offsets.next:
            for record in await reader.read(records_max=1_000, wait_ms=1_000):
                entry = chain.read(record)
                if isinstance(entry, DecisionRecord):
                    for event in entry.events:
                        _note(usage, entry, event)
                    _note_limiter(usage, entry, held)
        await reader.close()
    return usage


def _note(usage: Usage, decision: DecisionRecord, event: Event) -> None:
    match event:
        case SlotAwaited():
            usage.asked.add(task_id(decision.workflow_id, event.seq))
        case SlotObtained():
            usage.began_ms[task_id(decision.workflow_id, event.seq)] = event.at_ms
        case TaskEnded():
            usage.ended_ms[task_id(decision.workflow_id, event.seq)] = event.at_ms
        case _:
            pass


def _note_limiter(usage: Usage, decision: DecisionRecord, held: set[TaskId]) -> None:
    freed: TaskId | None = None
    for event in decision.limiter_events:
        if isinstance(event, SlotFreed):
            held.discard(event.holder)
            freed = event.holder
        elif isinstance(event, SlotGranted):
            held.add(event.holder)
            usage.held_most = max(usage.held_most, len(held))
            if freed is not None:
                usage.successor[freed] = event.holder
