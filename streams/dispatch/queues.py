"""The poll queues of a node: tasks that wait for a REST poller.

Holds one queue per task type and domain, with the pollers that wait on it. Must not claim a task in the log: whoever
polls is told through `on_claimed`, and the shell appends the claim. Keeps the invariants that a task is in a queue at
most once, that it goes to one poller, and that among the tasks that wait the highest priority goes first, then the
oldest.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engine.ids import TaskId
from engine.json_value import JsonObject
from streams.dispatch.affinity import SEEN_LATELY_MS, partition_of_key, winner
from streams.task_wire import claimed

POLL_RECORDS_MAX: Final = 10_000
"""Workers that are remembered for `polldata`, over all queues."""


class QueuedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that may be handed out. `render` gives its JSON at that moment, or None if it is moot by then."""

    task_id: TaskId
    task_type: str
    render: Callable[[], JsonObject | None]
    domain: str = ""
    priority: int = 0
    key: str | None = None
    partitions: int = 1


class _Waiter(msgspec.Struct, kw_only=True, eq=False):
    worker_id: str
    wake: asyncio.Future[None]


class _Queue:
    """The tasks of one type and domain, and who waits for them."""

    def __init__(self) -> None:
        self.heaps: dict[int, list[tuple[int, int, QueuedTask]]] = {}
        self.waiters: deque[_Waiter] = deque()
        self.workers: dict[str, int] = {}
        """When each worker polled last, epoch ms."""
        self.partitions = 1

    def __len__(self) -> int:
        return sum(map(len, self.heaps.values()))

    def partitions_of(self, worker_id: str, now_ms: int) -> list[int]:
        """Return the non-empty partitions that a worker may take from."""
        filled = [partition for partition, heap in self.heaps.items() if heap]
        if self.partitions == 1 or not filled:
            return filled
        lately = [worker for worker, at_ms in self.workers.items() if now_ms - at_ms <= SEEN_LATELY_MS]
        return [partition for partition in filled if winner(partition, lately) == worker_id]


class PollQueues:
    """The queues of one node. One event loop, no locks."""

    def __init__(self, *, now_ms: Callable[[], int], on_claimed: Callable[[TaskId, str, int], None]) -> None:
        """Begin empty. `on_claimed(task_id, worker_id, at_ms)` is called, without waiting, for each task handed out."""
        self._now_ms = now_ms
        self._on_claimed = on_claimed
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._queued: set[TaskId] = set()
        self._order = 0

    def offer(self, task: QueuedTask) -> None:
        """Queue a task, or hand it to a poller that waits. A task that is queued already is not queued again."""
        if task.task_id in self._queued:
            return
        queue = self._queue(task.task_type, task.domain)
        partition = 0
        if task.key is not None and task.partitions > 1:
            queue.partitions = max(queue.partitions, task.partitions)
            partition = partition_of_key(task.key, task.partitions)
        self._order += 1
        self._queued.add(task.task_id)
        heapq.heappush(queue.heaps.setdefault(partition, []), (-task.priority, self._order, task))
        self._wake(queue, 1 if queue.partitions == 1 else len(queue.waiters))

    def retract(self, task_id: TaskId) -> None:
        """Let a task that has ended otherwise not be handed out. Costs nothing: its place in the heap is skipped later."""
        self._queued.discard(task_id)

    async def poll(
        self, task_type: str, *, worker_id: str, domain: str, count: int, timeout_ms: int, here: bool = True
    ) -> list[JsonObject]:
        """Return up to `count` tasks as soon as one is there, or none after `timeout_ms`. See `TaskPolls.poll`."""
        del here  # these queues are here
        queue = self._queue(task_type, domain)
        self._seen(queue, worker_id)
        taken = self._take(queue, worker_id, count)
        if taken or timeout_ms <= 0:
            return taken
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_ms / 1000
        while not taken:
            waiter = _Waiter(worker_id=worker_id, wake=loop.create_future())
            queue.waiters.append(waiter)
            timer = loop.call_at(ends_at, _resolve, waiter.wake)
            try:
                await waiter.wake
            except asyncio.CancelledError:
                self._leave(queue, waiter)
                self._wake(queue, 1)  # what this poller was woken for belongs to the next one
                raise
            finally:
                timer.cancel()
            self._leave(queue, waiter)
            taken = self._take(queue, worker_id, count)
            if loop.time() >= ends_at:
                break
        return taken

    def sizes(self) -> dict[str, int]:
        """Return how many tasks wait per queue, named `[domain:]type`."""
        return {_name(*key): self._live(queue) for key, queue in self._queues.items()}

    def poll_records(self, task_type: str | None = None) -> list[JsonObject]:
        """Return who polled last and when, as Conductor's PollData."""
        return [
            {"queueName": kind, "domain": domain, "workerId": worker_id, "lastPollTime": at_ms}
            for (kind, domain), queue in self._queues.items()
            if task_type is None or kind == task_type
            for worker_id, at_ms in queue.workers.items()
        ]

    def polled_types(self) -> list[tuple[str, str]]:
        """Return the types and domains that somebody has polled."""
        return [key for key, queue in self._queues.items() if queue.workers]

    def clear(self) -> None:
        """Forget every task; the pollers stay."""
        self._queued.clear()
        for queue in self._queues.values():
            queue.heaps.clear()

    def _take(self, queue: _Queue, worker_id: str, count: int) -> list[JsonObject]:
        now_ms = self._now_ms()
        taken: list[JsonObject] = []
        for partition in sorted(queue.partitions_of(worker_id, now_ms), key=lambda number: queue.heaps[number][0][:2]):
            heap = queue.heaps[partition]
            while heap and len(taken) < count:
                task = heapq.heappop(heap)[2]
                if task.task_id not in self._queued:
                    continue
                self._queued.discard(task.task_id)
                rendered = task.render()
                if rendered is not None:
                    taken.append(claimed(rendered, worker_id, now_ms))
                    self._on_claimed(task.task_id, worker_id, now_ms)
        return taken

    def _queue(self, task_type: str, domain: str) -> _Queue:
        key = (task_type, domain)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
        return queue

    def _seen(self, queue: _Queue, worker_id: str) -> None:
        queue.workers.pop(worker_id, None)
        queue.workers[worker_id] = self._now_ms()
        if len(queue.workers) > POLL_RECORDS_MAX:
            del queue.workers[next(iter(queue.workers))]

    def _live(self, queue: _Queue) -> int:
        return sum(1 for heap in queue.heaps.values() for item in heap if item[2].task_id in self._queued)

    @staticmethod
    def _wake(queue: _Queue, pollers: int) -> None:
        for waiter in list(queue.waiters):
            if not pollers:
                return
            if not waiter.wake.done():
                waiter.wake.set_result(None)
                pollers -= 1

    @staticmethod
    def _leave(queue: _Queue, waiter: _Waiter) -> None:
        if waiter in queue.waiters:
            queue.waiters.remove(waiter)


def _resolve(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)


def _name(task_type: str, domain: str) -> str:
    return f"{domain}:{task_type}" if domain else task_type
