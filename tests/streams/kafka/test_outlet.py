"""Records for many topics in one turn, on a real broker."""

import asyncio

import pytest

from streams.errors import RecordTooLarge
from streams.kafka import KafkaLog, KafkaOutlet, KafkaSettings, OutletRecord
from streams.topics import OUTCOMES, TopicSpec, partition_of, task_topic


async def values_in(log: KafkaLog, topic: str, partition: int, count: int) -> list[bytes | None]:
    """Return the first values of a partition."""
    reader = log.reader(topic, partition, from_offset=0)
    found: list[bytes | None] = []
    while len(found) < count:
        batch = await reader.read(records_max=count, wait_ms=5_000)
        assert batch, f"{count} records were expected in {topic}[{partition}], {len(found)} came"
        found += [record.value for record in batch]
    return found


async def test_one_turn_reaches_topics_that_did_not_exist(settings: KafkaSettings) -> None:
    """Topics are made at their first use, and the awaitable resolves when everything is durable in all of them."""
    topics = [task_topic(f"type-{number}") for number in range(5)]
    async with KafkaOutlet(settings) as outlet, KafkaLog(settings) as log:
        await outlet.send(
            [OutletRecord(topic=topic, key=b"k", value=topic.name.encode()) for topic in topics for _ in range(3)]
        )
        for topic in topics:
            assert (await log.offsets(topic.name, 0)).next == 3
            assert await values_in(log, topic.name, 0, 3) == [topic.name.encode()] * 3


async def test_turns_in_flight_keep_their_order_in_a_topic_that_exists(settings: KafkaSettings) -> None:
    """Calls that are not waited for are stored as they were made."""
    topic = task_topic("ordered")
    async with KafkaOutlet(settings) as outlet, KafkaLog(settings) as log:
        await outlet.send([OutletRecord(topic=topic, key=b"k", value=b"0")])
        await asyncio.gather(
            *(
                outlet.send([OutletRecord(topic=topic, key=b"k", value=str(number).encode())])
                for number in range(1, 100)
            )
        )
        values = await values_in(log, topic.name, 0, 100)
    assert values == [str(number).encode() for number in range(100)]


async def test_a_key_finds_its_partition_and_records_without_key_take_turns(settings: KafkaSettings) -> None:
    """Equal keys meet in the partition that any Kafka producer would choose; without key, all partitions get some."""
    topic = task_topic("spread", partitions=3)
    keys = [f"video-{number}".encode() for number in range(20)]
    async with KafkaOutlet(settings) as outlet, KafkaLog(settings) as log:
        await outlet.send([OutletRecord(topic=topic, key=key, value=key) for key in keys])
        await outlet.send([OutletRecord(topic=topic, key=None, value=b"any") for _ in range(6)])
        for partition in range(3):
            expected = [key for key in keys if partition_of(key, 3) == partition]
            assert await values_in(log, topic.name, partition, len(expected) + 2) == [*expected, b"any", b"any"]


async def test_the_number_of_partitions_that_a_topic_has_counts(settings: KafkaSettings) -> None:
    """An operator made the topic with more partitions than its declaration says: it is used as it is."""
    async with KafkaLog(settings) as log, KafkaOutlet(settings) as outlet:
        await log.create_topics([TopicSpec(name=OUTCOMES, partitions=2)])
        topic = TopicSpec(name=OUTCOMES, partitions=1)
        await outlet.send([OutletRecord(topic=topic, key=None, value=b"v") for _ in range(4)])
        assert [(await log.offsets(OUTCOMES, partition)).next for partition in range(2)] == [2, 2]


async def test_a_record_above_the_limit_sends_nothing(settings: KafkaSettings) -> None:
    """The whole turn is refused before anything leaves."""
    topic = task_topic("large")
    small = OutletRecord(topic=topic, key=b"k", value=b"small")
    async with KafkaOutlet(settings) as outlet, KafkaLog(settings) as log:
        await outlet.send([small])
        with pytest.raises(RecordTooLarge):
            await outlet.send([small, OutletRecord(topic=topic, key=b"k", value=b"x" * 1_000_001)])
        assert (await log.offsets(topic.name, 0)).next == 1
