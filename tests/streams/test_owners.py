"""Claims about the directory of owners."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from streams import owners
from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.owners import OwnerDirectory
from streams.ports import NewRecord
from streams.topics import OWNERS, engine_topics
from tests.streams.node.held_log import HeldLog


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of four partitions."""
    async with HeldLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=4))
        yield log


async def wait_url(directory: OwnerDirectory, partition: int, url: str) -> None:
    """Return when the directory names an owner."""
    async with asyncio.timeout(5):
        while directory.url(partition) != url:
            await asyncio.sleep(0)


async def test_what_one_node_announces_the_others_learn(log: HeldLog) -> None:
    """Also what was announced before they began to follow, and whatever a stranger wrote into the topic."""
    first, second = OwnerDirectory(log), OwnerDirectory(log)
    await first.announce(0, "http://a", 5)
    await log.append(OWNERS, 0, [NewRecord(key=b"x", value=b"{"), NewRecord(key=b"y", value=None)])
    async with asyncio.TaskGroup() as group:
        following = [group.create_task(directory.run()) for directory in (first, second)]
        await wait_url(second, 0, "http://a")
        await first.announce(1, "http://b", 7)
        for directory in (first, second):
            await wait_url(directory, 1, "http://b")
            assert directory.urls() == {"http://a", "http://b"}
            assert directory.url(2) is None
        for task in following:
            task.cancel()


async def test_an_older_claim_does_not_hide_a_newer_one(log: HeldLog) -> None:
    """A former owner may say late that it has the partition: the present one repeats itself, and all learn it."""
    owner, former = OwnerDirectory(log), OwnerDirectory(log)
    async with asyncio.TaskGroup() as group:
        following = [group.create_task(owner.run())]
        await owner.announce(0, "http://new", 9)
        await wait_url(owner, 0, "http://new")
        await former.announce(0, "http://old", 3)
        while (await log.offsets(OWNERS, 0)).next < 3:
            await asyncio.sleep(0)
        assert owner.url(0) == "http://new"
        newcomer = OwnerDirectory(log)
        following.append(group.create_task(newcomer.run()))
        await wait_url(newcomer, 0, "http://new")
        await former.announce(0, "http://newest", 12)
        for directory in (owner, newcomer):
            await wait_url(directory, 0, "http://newest")
        for task in following:
            task.cancel()
    assert (await log.offsets(OWNERS, 0)).next == 4


async def test_a_log_that_is_away_is_followed_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known stays known meanwhile; an announcement says that nobody may have heard it."""
    monkeypatch.setattr(owners, "AGAIN_AFTER_S", 0.0)
    topics = MemoryTopics()
    log = HeldLog(topics)
    directory = OwnerDirectory(log)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(directory.run())
        with pytest.raises(LogUnavailable):
            await directory.announce(0, "http://a", 1)
        async with log:
            await log.create_topics(engine_topics(partitions=1))
            await directory.announce(0, "http://a", 1)
            await wait_url(directory, 0, "http://a")
        for _ in range(20):
            await asyncio.sleep(0)
        assert directory.url(0) == "http://a"
        async with log:
            await directory.announce(0, "http://b", 2)
            await wait_url(directory, 0, "http://b")
            following.cancel()
