"""The poll queues of a node: tasks that wait for a REST poller.

Holds one queue per task type and domain, with the pollers that wait on it. Must not claim a task in the log: whoever
polls is told through `claim`, and the shell appends the claim. Keeps the invariants that a task is in a queue at most
once, that it goes to one poller, and that among the tasks a poller may take the highest priority goes first, then the
oldest.

How much waits here is bounded by what is open: a queue holds a task's id, not its content, and only of tasks that the
states of this node's workflows (or the feed of a topic, with its own bound) hold already.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from engine.ids import TaskId
from engine.json_value import JsonObject
from streams.dispatch.affinity import SEEN_LATELY_MS, partition_of_key, winner
from streams.references import ReferenceUnresolved, ReferenceValues
from streams.task_wire import claimed

POLL_RECORDS_MAX: Final = 1_000
"""Workers that are remembered per queue: for `polldata`, and to share out partitions."""
QUEUES_MAX: Final = 5_000
"""Queues that exist only because somebody asked for their type.

Beyond it, those where nobody waits for nothing are forgotten.
"""
ANYBODY: Final = -1
"""The partition of tasks without a key: every worker may take them."""
_NO_VALUES: Final = ReferenceValues()
_SLACK: Final = 256
"""Stale entries that a heap may hold over half of it before it is built anew."""


class QueuedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that may be handed out. `render` gives its JSON at that moment, or None if it is moot by then.

    `on_claimed` is called when the claim of whoever took the task is durable.
    """

    task_id: TaskId
    task_type: str
    render: Callable[[], JsonObject | None]
    domain: str = ""
    priority: int = 0
    key: str | None = None
    partitions: int = 1
    on_claimed: Callable[[], None] | None = None


def _ignore(task: QueuedTask, reason: str) -> None:
    """Leave a task that cannot be handed out to its timeouts."""


_Entry: TypeAlias = tuple[int, int, QueuedTask]
"""Priority, negated, and the number of the offer: the smallest goes first. The number is what makes an entry valid."""


class _Waiter(msgspec.Struct, kw_only=True, eq=False):
    worker_id: str
    wake: asyncio.Future[None]


class _Queue:
    """The tasks of one type and domain, and who waits for them."""

    def __init__(self) -> None:
        self.heaps: dict[int, list[_Entry]] = {}
        self.offers: dict[TaskId, int] = {}
        """The tasks that wait, with the number of their offer."""
        self.waiters: deque[_Waiter] = deque()
        self.workers: dict[str, int] = {}
        """When each worker polled last, epoch ms; the newest comes last."""
        self.partitions = 1
        self._entries = 0

    def push(self, partition: int, number: int, task: QueuedTask) -> None:
        self.offers[task.task_id] = number
        heapq.heappush(self.heaps.setdefault(partition, []), (-task.priority, number, task))
        self._entries += 1

    def pop(self, partitions: list[int]) -> QueuedTask | None:
        """Take the first task of these partitions; None if all of them are empty."""
        heads = [(entry[:2], partition) for partition in partitions if (entry := self._head(partition)) is not None]
        if not heads:
            return None
        task = heapq.heappop(self.heaps[min(heads)[1]])[2]
        self._entries -= 1
        del self.offers[task.task_id]
        return task

    def retract(self, task_id: TaskId) -> None:
        """Make a task's entry stale: it is skipped later, or dropped when most entries are."""
        if self.offers.pop(task_id, None) is not None and self._entries > 2 * len(self.offers) + _SLACK:
            for partition, heap in self.heaps.items():
                self.heaps[partition] = [entry for entry in heap if self._is_valid(entry)]
                heapq.heapify(self.heaps[partition])
            self._entries = len(self.offers)

    def partitions_of(self, worker_id: str, now_ms: int) -> list[int]:
        """Return the non-empty partitions that a worker may take from."""
        filled = [partition for partition, heap in self.heaps.items() if heap]
        if self.partitions == 1 or not filled:
            return filled
        lately = self._workers_seen_lately(now_ms)
        return [partition for partition in filled if partition == ANYBODY or winner(partition, lately) == worker_id]

    def _workers_seen_lately(self, now_ms: int) -> list[str]:
        lately: list[str] = []
        for worker, at_ms in reversed(self.workers.items()):
            if now_ms - at_ms > SEEN_LATELY_MS:
                break
            lately.append(worker)
        return lately

    def _head(self, partition: int) -> _Entry | None:
        heap = self.heaps[partition]
        while heap and not self._is_valid(heap[0]):
            heapq.heappop(heap)
            self._entries -= 1
        return heap[0] if heap else None

    def _is_valid(self, entry: _Entry) -> bool:
        return self.offers.get(entry[2].task_id) == entry[1]


class PollQueues:
    """The queues of one node. One event loop, no locks."""

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        claim: Callable[[QueuedTask, str, int], None],
        references: ReferenceValues = _NO_VALUES,
        refuse: Callable[[QueuedTask, str], None] = _ignore,
    ) -> None:
        """Begin empty. `claim(task, worker_id, at_ms)` is called, without waiting, for each task handed out.

        `references` knows the values that inputs only name; `refuse(task, reason)` is called, without waiting, for each
        task that needs one which is not known.
        """
        self._now_ms = now_ms
        self._claim = claim
        self._references = references
        self._refuse = refuse
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._queue_of: dict[TaskId, _Queue] = {}
        self._offers = 0

    def offer(self, task: QueuedTask) -> None:
        """Queue a task, or hand it to a poller that waits. A task that is queued already is not queued again."""
        if task.task_id in self._queue_of:
            return
        queue = self._queue(task.task_type, task.domain)
        partition = ANYBODY
        if task.key is not None and task.partitions > 1:
            queue.partitions = max(queue.partitions, task.partitions)
            partition = partition_of_key(task.key, task.partitions)
        self._offers += 1
        self._queue_of[task.task_id] = queue
        queue.push(partition, self._offers, task)
        self._wake(queue, 1 if partition == ANYBODY else len(queue.waiters))

    def retract(self, task_id: TaskId) -> None:
        """Let a task that has ended otherwise not be handed out."""
        queue = self._queue_of.pop(task_id, None)
        if queue is not None:
            queue.retract(task_id)

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
        return {_name(*key): len(queue.offers) for key, queue in self._queues.items()}

    def last_poll_ms(self, task_type: str, domain: str) -> int:
        """Return when a worker last polled a queue, epoch ms; 0 if none has since this node began."""
        queue = self._queues.get((task_type, domain))
        return next(reversed(queue.workers.values()), 0) if queue is not None else 0

    def poll_records(self, task_type: str | None = None) -> list[JsonObject]:
        """Return who polled last and when, as Conductor's PollData."""
        return [
            {"queueName": kind, "domain": domain, "workerId": worker_id, "lastPollTime": at_ms}
            for (kind, domain), queue in self._queues.items()
            if task_type is None or kind == task_type
            for worker_id, at_ms in queue.workers.items()
        ]

    def _take(self, queue: _Queue, worker_id: str, count: int) -> list[JsonObject]:
        now_ms = self._now_ms()
        partitions = queue.partitions_of(worker_id, now_ms)
        taken: list[JsonObject] = []
        while len(taken) < count and (task := queue.pop(partitions)) is not None:
            del self._queue_of[task.task_id]
            rendered = task.render()
            if rendered is None:
                continue
            try:
                complete = self._references.complete(rendered)
            except ReferenceUnresolved as error:
                self._refuse(task, str(error))
                continue
            taken.append(claimed(complete, worker_id, now_ms))
            self._claim(task, worker_id, now_ms)
        return taken

    def _queue(self, task_type: str, domain: str) -> _Queue:
        key = (task_type, domain)
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= QUEUES_MAX:
                self._queues = {key: held for key, held in self._queues.items() if held.offers or held.waiters}
            queue = self._queues[key] = _Queue()
        return queue

    def _seen(self, queue: _Queue, worker_id: str) -> None:
        queue.workers.pop(worker_id, None)
        queue.workers[worker_id] = self._now_ms()
        if len(queue.workers) > POLL_RECORDS_MAX:
            del queue.workers[next(iter(queue.workers))]

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
