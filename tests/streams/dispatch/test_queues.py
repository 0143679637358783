"""Claims about the poll queues: who gets what, in which order, and that nobody gets it twice."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from engine.ids import TaskId
from engine.json_value import JsonObject
from streams.dispatch import queues as queues_module
from streams.dispatch.affinity import SEEN_LATELY_MS, partition_of_key
from streams.dispatch.queues import POLL_RECORDS_MAX, PollQueues, QueuedTask

SCHEDULED: Final[JsonObject] = {
    "status": "SCHEDULED",
    "pollCount": 0,
    "startTime": 0,
    "firstStartTime": 0,
    "scheduledTime": 999_990,
}


class Ground:
    """Queues, and what was claimed from them."""

    def __init__(self) -> None:
        """Begin empty."""
        self.now_ms = 1_000_000
        self.claims: list[tuple[TaskId, str, int]] = []
        self.queues = PollQueues(now_ms=lambda: self.now_ms, claim=self._claim)

    def _claim(self, task: QueuedTask, worker_id: str, at_ms: int) -> None:
        self.claims.append((task.task_id, worker_id, at_ms))

    def offer(
        self,
        name: str,
        *,
        is_moot: bool = False,
        render: Callable[[], JsonObject | None] | None = None,
        task_type: str = "t",
        **fields: object,
    ) -> None:
        """Offer a task."""
        content = None if is_moot else {**SCHEDULED, "taskId": name}
        self.queues.offer(
            QueuedTask(
                task_id=TaskId(name),
                task_type=task_type,
                render=render or (lambda: content),
                **fields,  # type: ignore[arg-type]  # the struct's fields
            )
        )

    async def poll(self, worker: str = "w", *, count: int = 1, timeout_ms: int = 0, domain: str = "") -> list[str]:
        """Return the ids of polled tasks."""
        polled = await self.queues.poll("t", worker_id=worker, domain=domain, count=count, timeout_ms=timeout_ms)
        return [task["taskId"] for task in polled]


@pytest.fixture
def ground() -> Ground:
    """Empty queues."""
    return Ground()


async def test_the_highest_priority_goes_first_then_the_oldest(ground: Ground) -> None:
    """Whatever the order of the offers."""
    for name, priority in (("a", 0), ("b", 5), ("c", 9), ("d", 5), ("e", 0)):
        ground.offer(name, priority=priority)
    assert await ground.poll(count=3) == ["c", "b", "d"]
    ground.offer("f", priority=7)
    assert await ground.poll(count=10) == ["f", "a", "e"]


async def test_a_task_is_queued_and_handed_out_at_most_once(ground: Ground) -> None:
    """Offered again while it waits, it is there once; offered again later, it is offered again."""
    ground.offer("a")
    ground.offer("a")
    assert await ground.poll(count=10) == ["a"]
    assert await ground.poll(count=10) == []
    ground.offer("a")
    assert await ground.poll(count=10) == ["a"]
    assert ground.claims == [("a", "w", 1_000_000), ("a", "w", 1_000_000)]


async def test_no_task_goes_to_two_of_many_pollers(ground: Ground) -> None:
    """A thousand tasks, fifty pollers, in a random order of events: each task is claimed once."""
    chance = random.Random(7)
    got: Counter[str] = Counter()

    async def work(worker: str) -> None:
        while sum(got.values()) < 1_000:
            got.update(await ground.poll(worker, count=chance.randint(1, 7), timeout_ms=50))

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(work(f"w{number}"))
        for number in range(1_000):
            ground.offer(f"t{number}", priority=chance.randint(0, 3))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
    assert set(got.values()) == {1}
    assert len(ground.claims) == len(got) == 1_000


async def test_a_waiting_poller_is_woken_by_an_offer_and_by_nothing_else(ground: Ground) -> None:
    """One offer wakes one poller, the one that has waited longest; a task of another type or domain wakes nobody."""
    async with asyncio.TaskGroup() as group:
        first = group.create_task(ground.poll("w1", timeout_ms=10_000))
        await asyncio.sleep(0)
        second = group.create_task(ground.poll("w2", timeout_ms=10_000))
        await asyncio.sleep(0)
        ground.offer("other", task_type="u")
        ground.offer("other domain", domain="d")
        await asyncio.sleep(0)
        assert not first.done()
        ground.offer("a")
        assert await first == ["a"]
        assert not second.done()
        ground.offer("b")
        assert await second == ["b"]


async def test_two_offers_in_one_moment_serve_two_pollers(ground: Ground) -> None:
    """A poller that takes both leaves the other one waiting, not lost."""
    async with asyncio.TaskGroup() as group:
        greedy = group.create_task(ground.poll("w1", count=10, timeout_ms=10_000))
        await asyncio.sleep(0)
        modest = group.create_task(ground.poll("w2", timeout_ms=10_000))
        await asyncio.sleep(0)
        ground.offer("a")
        ground.offer("b")
        assert await greedy == ["a", "b"]
        ground.offer("c")
        assert await modest == ["c"]


async def test_an_empty_poll_ends_at_its_time(ground: Ground) -> None:
    """It returns nothing, claims nothing and leaves nobody behind who could take a task."""
    began = asyncio.get_running_loop().time()
    assert await ground.poll(timeout_ms=30) == []
    assert asyncio.get_running_loop().time() - began >= 0.029
    ground.offer("a")
    assert ground.queues.sizes() == {"t": 1}
    assert ground.claims == []


async def test_a_poll_whose_client_has_gone_claims_nothing(ground: Ground) -> None:
    """Cancelled while it waits, or just after it was woken: the task goes to the next poller."""
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(ground.poll("gone", timeout_ms=10_000))
        stays = group.create_task(ground.poll("stays", timeout_ms=10_000))
        await asyncio.sleep(0)
        ground.offer("a")
        gone.cancel()
        assert await stays == ["a"]
    assert ground.claims == [("a", "stays", 1_000_000)]


async def test_a_woken_poller_that_goes_without_others_leaves_the_task_in_the_queue(ground: Ground) -> None:
    """Whoever polls next gets it at once."""
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(ground.poll("gone", timeout_ms=10_000))
        await asyncio.sleep(0)
        ground.offer("a")
        gone.cancel()
    assert await ground.poll("next") == ["a"]


async def test_a_batch_holds_as_many_as_there_are_and_no_more_than_asked(ground: Ground) -> None:
    """It does not wait for more once one is there."""
    for number in range(5):
        ground.offer(f"t{number}")
    assert await ground.poll(count=3, timeout_ms=10_000) == ["t0", "t1", "t2"]
    assert await ground.poll(count=30, timeout_ms=10_000) == ["t3", "t4"]


async def test_a_moot_task_is_passed_over_and_not_claimed(ground: Ground) -> None:
    """It ended while it waited; the poller gets the next one, or waits on."""
    ground.offer("moot", is_moot=True)
    ground.offer("a")
    assert await ground.poll(count=2) == ["a"]
    assert [claim[0] for claim in ground.claims] == ["a"]


async def test_a_retracted_task_is_not_handed_out_unless_it_is_offered_again(ground: Ground) -> None:
    """Its place in the queue is the one of the new offer."""
    for name in ("a", "b", "c"):
        ground.offer(name)
    ground.queues.retract(TaskId("a"))
    ground.queues.retract(TaskId("unknown"))
    assert ground.queues.sizes() == {"t": 2}
    ground.offer("a")
    assert await ground.poll(count=9) == ["b", "c", "a"]


async def test_retracted_tasks_take_no_memory(ground: Ground) -> None:
    """A type that nobody polls, whose tasks time out again and again, does not fill the memory."""
    ground.offer("stays")
    for number in range(20_000):
        ground.offer(f"t{number}")
        ground.queues.retract(TaskId(f"t{number}"))
    (queue,) = ground.queues._queues.values()  # noqa: SLF001 - the memory is what this is about
    assert sum(map(len, queue.heaps.values())) < 1_000
    assert await ground.poll(count=9) == ["stays"]


async def test_queues_of_types_that_were_only_asked_for_are_forgotten(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that polls random types does not fill the memory, and takes nothing from others."""
    monkeypatch.setattr(queues_module, "QUEUES_MAX", 100)
    ground.offer("a")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(ground.queues.poll("u", worker_id="w", domain="", count=1, timeout_ms=10_000))
        await asyncio.sleep(0)
        for number in range(1_000):
            await ground.queues.poll(f"random{number}", worker_id="w", domain="", count=1, timeout_ms=0)
        assert len(ground.queues.sizes()) <= 101
        ground.offer("b", task_type="u")
        assert [task["taskId"] for task in await waiting] == ["b"]
    assert await ground.poll() == ["a"]


async def test_polled_tasks_say_who_has_them(ground: Ground) -> None:
    """What a poller gets is IN_PROGRESS, for it, since now."""
    ground.offer("a")
    (task,) = await ground.queues.poll("t", worker_id="w7", domain="", count=1, timeout_ms=0)
    assert task["status"] == "IN_PROGRESS"
    assert task["workerId"] == "w7"
    assert task["startTime"] == ground.now_ms


async def test_poll_records_name_the_workers_and_their_number_is_bounded(ground: Ground) -> None:
    """The newest are remembered."""
    for number in range(POLL_RECORDS_MAX + 10):
        ground.now_ms += 1
        await ground.poll(f"w{number}", domain="d")
    found = ground.queues.poll_records("t")
    assert len(found) == POLL_RECORDS_MAX
    assert found[-1] == {
        "queueName": "t",
        "domain": "d",
        "workerId": f"w{POLL_RECORDS_MAX + 9}",
        "lastPollTime": ground.now_ms,
    }
    assert ground.queues.poll_records("other") == []
    assert ground.queues.last_poll_ms("t", "d") == ground.now_ms
    assert ground.queues.last_poll_ms("t", "") == 0


def keyed(ground: Ground, number: int, key: str, *, priority: int = 0) -> None:
    """Offer a task with an affinity key, of a type with eight partitions."""
    ground.offer(f"t{number}", key=key, partitions=8, priority=priority)


async def test_tasks_of_one_key_meet_one_worker_while_the_workers_stay(ground: Ground) -> None:
    """And everybody's share together is everything."""
    workers = ["w0", "w1", "w2", "w3"]
    met: dict[str, set[str]] = {}
    for worker in workers:
        await ground.poll(worker)
    for number in range(400):
        keyed(ground, number, f"video{number % 40}")
    left = 400
    while left:
        for worker in workers:
            polled = await ground.poll(worker, count=3)
            left -= len(polled)
            for name in polled:
                met.setdefault(f"video{int(name[1:]) % 40}", set()).add(worker)
    assert len(met) == 40
    assert all(len(those) == 1 for those in met.values())
    assert len(set.union(*met.values())) > 1


async def test_a_worker_that_leaves_moves_only_its_share(ground: Ground) -> None:
    """Its keys go to the others once it has not been seen for a while; nobody else's move."""
    workers = ["w0", "w1", "w2", "w3"]

    async def owners() -> dict[int, str]:
        for partition in range(8):
            key = next(f"k{number}" for number in range(1_000) if partition_of_key(f"k{number}", 8) == partition)
            keyed(ground, partition, key)
        return {int(name[1:]): worker for worker in workers for name in await ground.poll(worker, count=9)}

    for worker in workers:
        await ground.poll(worker)
    before = await owners()
    leaving = before[0]
    workers.remove(leaving)
    ground.now_ms += SEEN_LATELY_MS + 1
    for worker in workers:
        await ground.poll(worker)
    after = await owners()
    assert len(after) == 8
    assert {partition for partition in before if before[partition] != after[partition]} == {
        partition for partition, worker in before.items() if worker == leaving
    }


async def test_a_task_without_a_key_goes_to_anybody_although_its_type_has_partitions(ground: Ground) -> None:
    """An input that lacks what the key names does not wait for one certain worker."""
    for worker in ("w0", "w1", "w2"):
        await ground.poll(worker)
    for worker in ("w0", "w1", "w2"):
        ground.offer(f"for {worker}", partitions=8)
        assert await ground.poll(worker) == [f"for {worker}"]


async def test_priority_holds_across_the_partitions_of_a_worker(ground: Ground) -> None:
    """A batch takes the first of all its partitions together, not one partition after the other."""
    await ground.poll("w")
    for number in range(40):
        keyed(ground, number, f"k{number}", priority=number % 4)
    polled = [int(name[1:]) for name in await ground.poll(count=40)]
    assert polled == sorted(range(40), key=lambda number: (-(number % 4), number))


async def test_the_worker_of_a_key_is_woken_wherever_it_stands_in_line(ground: Ground) -> None:
    """Other pollers that wait longer do not keep the task from it."""
    workers = [f"w{number}" for number in range(6)]
    async with asyncio.TaskGroup() as group:
        polls = {worker: group.create_task(ground.poll(worker, timeout_ms=10_000)) for worker in workers}
        await asyncio.sleep(0)
        keyed(ground, 1, "video")
        await asyncio.wait(polls.values(), return_when=asyncio.FIRST_COMPLETED)
        assert [poll.result() for poll in polls.values() if poll.done()] == [["t1"]]
        for poll in polls.values():
            poll.cancel()
