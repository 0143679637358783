"""Tasks handed out through a consumer group, on a real broker."""

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka import KafkaLog, KafkaOutlet, KafkaSettings, KafkaTaskFeed, OutletRecord
from streams.ports import LogRecord
from streams.topics import task_topic

TASK_TYPE = "encode"


async def offer(settings: KafkaSettings, values: Sequence[str], *, partitions: int = 1) -> None:
    """Send tasks, each with its value as key."""
    topic = task_topic(TASK_TYPE, partitions=partitions)
    async with KafkaOutlet(settings) as outlet:
        await outlet.send([OutletRecord(topic=topic, key=value.encode(), value=value.encode()) for value in values])


async def take(feed: KafkaTaskFeed, count: int) -> list[LogRecord]:
    """Read until `count` tasks have come."""
    found: list[LogRecord] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await feed.read(records_max=count - len(found), wait_ms=1_000)
    return found


def values_of(records: Sequence[LogRecord]) -> list[str]:
    """Return what was sent."""
    return [(record.value or b"").decode() for record in records]


async def test_tasks_that_were_offered_before_anybody_polled_are_read(settings: KafkaSettings) -> None:
    """A new group begins at the beginning."""
    await offer(settings, ["a", "b", "c"])
    async with KafkaTaskFeed(settings, task_type=TASK_TYPE) as feed:
        found = await take(feed, 3)
    assert values_of(found) == ["a", "b", "c"]
    assert {record.topic for record in found} == {"tasks.encode"}


async def test_a_task_that_was_not_handed_out_is_read_again(settings: KafkaSettings) -> None:
    """Only what stands before the first task still in hand is committed, in whatever order tasks went out."""
    await offer(settings, ["a", "b", "c", "d", "e"])
    async with KafkaTaskFeed(settings, task_type=TASK_TYPE) as feed:
        first, second, _third, fourth, fifth = await take(feed, 5)
        for record in (second, first, fifth, fourth):
            feed.handed_out(record)
    async with KafkaTaskFeed(settings, task_type=TASK_TYPE) as feed:
        again = await take(feed, 3)
        for record in again:
            feed.handed_out(record)
    assert values_of(again) == ["c", "d", "e"]
    await offer(settings, ["f"])
    async with KafkaTaskFeed(settings, task_type=TASK_TYPE) as feed:
        assert values_of(await take(feed, 1)) == ["f"]


async def test_what_was_handed_out_is_committed_while_the_feed_is_open(settings: KafkaSettings) -> None:
    """A second member takes over from the first without seeing what that has handed out; the rest is withdrawn."""
    withdrawn: list[frozenset[int]] = []
    await offer(settings, ["a", "b"])
    async with KafkaTaskFeed(settings, task_type=TASK_TYPE, withdraw=withdrawn.append) as first:
        handed, _kept = await take(first, 2)
        first.handed_out(handed)
        async with KafkaTaskFeed(settings, task_type=TASK_TYPE) as second:
            # With one partition, one of the two members has it after the group has come to rest.
            found: list[LogRecord] = []
            async with asyncio.timeout(20):
                while not found:
                    for feed in (first, second):
                        found += await feed.read(records_max=10, wait_ms=200)
    assert values_of(found) == ["b"]
    assert withdrawn[0] == frozenset({0})


async def test_two_members_share_the_partitions_of_a_type(settings: KafkaSettings) -> None:
    """Together they read everything, each task once."""
    async with (
        KafkaTaskFeed(settings, task_type=TASK_TYPE, partitions=4) as first,
        KafkaTaskFeed(settings, task_type=TASK_TYPE, partitions=4) as second,
    ):
        feeds = (first, second)
        values = [str(number) for number in range(60)]
        by_feed: dict[int, list[str]] = {0: [], 1: []}
        # Both are members before anything is offered.
        while await _members(settings, first.group) < 2:
            for feed in feeds:
                await feed.read(records_max=1, wait_ms=100)
        await offer(settings, values, partitions=4)
        async with asyncio.timeout(20):
            while sum(map(len, by_feed.values())) < len(values):
                for position, feed in enumerate(feeds):
                    records = await feed.read(records_max=100, wait_ms=100)
                    by_feed[position] += values_of(records)
                    for record in records:
                        feed.handed_out(record)
    assert sorted(by_feed[0] + by_feed[1], key=int) == values
    assert by_feed[0]
    assert by_feed[1]


async def test_domains_are_topics_and_groups_of_their_own(settings: KafkaSettings) -> None:
    """A task for a domain is not seen by those who poll without one."""
    async with KafkaOutlet(settings) as outlet:
        topic = task_topic(TASK_TYPE, domain="gpu")
        await outlet.send([OutletRecord(topic=topic, key=b"k", value=b"for the domain")])
    async with (
        KafkaTaskFeed(settings, task_type=TASK_TYPE) as plain,
        KafkaTaskFeed(settings, task_type=TASK_TYPE, domain="gpu") as domain,
    ):
        assert values_of(await take(domain, 1)) == ["for the domain"]
        assert not await plain.read(records_max=1, wait_ms=500)
    assert plain.group == f"{settings.topic_prefix}workers.encode"
    assert domain.group == f"{settings.topic_prefix}workers.encode.gpu"


async def _members(settings: KafkaSettings, group: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
        return len(answer.groups[0][5]) if answer.groups[0][2] == "Stable" else 0
    finally:
        await admin.close()


async def test_tasks_that_this_process_offers_arrive_by_the_log_that_all_share(settings: KafkaSettings) -> None:
    """Each once and in order, from before and after the feed has caught up, through one producer and one tail."""
    sent = [str(number) for number in range(50)]
    topic = task_topic(TASK_TYPE)
    async with KafkaLog(settings) as log, KafkaOutlet(settings, log=log) as outlet:
        await outlet.send([OutletRecord(topic=topic, key=b"k", value=value.encode()) for value in sent[:10]])
        async with KafkaTaskFeed(settings, task_type=TASK_TYPE, log=log) as feed:
            found = await take(feed, 10)
            for value in sent[10:]:
                await outlet.send([OutletRecord(topic=topic, key=b"k", value=value.encode())])
                found += await take(feed, 1)
            for record in found:
                feed.handed_out(record)
        async with KafkaTaskFeed(settings, task_type=TASK_TYPE, log=log) as feed:
            assert not await feed.read(records_max=1, wait_ms=1_000)
    assert values_of(found) == sent
