"""Claims about watching workflows for decisions."""

import asyncio

import pytest

from engine.ids import WorkflowId
from streams.service import NotOwner
from streams.watches import Watches, Watching

A, B, AWAY = WorkflowId("a"), WorkflowId("b"), WorkflowId("away")


class Partition:
    """A partition of which only the watchers matter here."""

    def __init__(self) -> None:
        """Begin with no watcher."""
        self.watches = Watches()

    async def owner_of(self, workflow_id: WorkflowId) -> "Partition":
        """Own everything but one workflow."""
        if workflow_id == AWAY:
            raise NotOwner(workflow_id, "http://127.0.0.1:1")
        return self


async def test_a_watched_workflow_is_named_at_once_and_after_each_decision() -> None:
    """At once, because it may have changed before the watch began."""
    partition = Partition()
    with Watching(partition.owner_of) as watching:
        await watching.add(A)
        assert await watching.next() == A
        asyncio.get_running_loop().call_soon(partition.watches.decided, [B, A])
        assert await watching.next() == A


async def test_decisions_between_two_looks_are_told_of_once() -> None:
    """Who looks reads the newest state: one look serves them all."""
    partition = Partition()
    with Watching(partition.owner_of) as watching:
        await watching.add(A)
        await watching.add(B)
        partition.watches.decided([A, A, B])
        assert [await watching.next(), await watching.next()] == [A, B]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await watching.next()


async def test_a_watch_that_is_over_leaves_nothing_behind() -> None:
    """Also one that ends by an error, and one whose caller was cancelled."""
    partition = Partition()
    with pytest.raises(NotOwner), Watching(partition.owner_of) as watching:
        await watching.add(A)
        await watching.add(A)
        assert partition.watches
        await watching.add(AWAY)
    assert not partition.watches


async def test_watchers_are_told_when_the_partition_leaves() -> None:
    """They would wait for ever otherwise: nothing is decided here any more."""
    partition = Partition()
    with Watching(partition.owner_of) as watching:
        await watching.add(A)
        await watching.next()
        partition.watches.leave()
        assert await watching.next() == A
