"""Claims about handing out the tasks of a cluster, on a real broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from deploy.kafka.broker import KafkaBroker
from engine.json_value import JsonObject
from streams.command_outlet import CommandOutlet
from streams.dispatch.affinity import winner
from streams.dispatch.claims import Claims
from streams.dispatch.cluster import ClusterPolls
from streams.dispatch.queues import PollQueues
from streams.kafka import KafkaLog, KafkaSettings
from streams.kafka.outlet import KafkaOutlet, OutletRecord
from streams.memory import MemoryTopics
from streams.service import PolledElsewhere
from streams.topics import COMMANDS, engine_topics, task_topic
from tests.streams.node.held_log import HeldLog

TYPE = "encode"


def epoch_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def task(number: int) -> JsonObject:
    """Return a task as its topic carries it."""
    return {
        "taskId": f"wf~{number}",
        "workflowInstanceId": "wf",
        "taskType": TYPE,
        "status": "SCHEDULED",
        "pollCount": 0,
        "startTime": 0,
        "firstStartTime": 0,
        "scheduledTime": epoch_ms(),
    }


@pytest.fixture
def settings(kafka_broker: KafkaBroker) -> KafkaSettings:
    """The broker, under names of this test's own."""
    return KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:12]}.")


async def send(settings: KafkaSettings, *values: bytes) -> None:
    """Put records into the topic of the type."""
    async with KafkaOutlet(settings) as outlet:
        topic = task_topic(TYPE, partitions=1)
        await outlet.send([OutletRecord(topic=topic, key=b"k", value=value) for value in values])


@asynccontextmanager
async def gateway(
    settings: KafkaSettings, log: HeldLog, *, node_urls: frozenset[str] = frozenset()
) -> AsyncGenerator[ClusterPolls]:
    """Run the polls of a node; its claims go into `log`."""
    outlet = CommandOutlet(log, partitions=1)
    queues = PollQueues(now_ms=epoch_ms, claim=Claims(outlet).claim)
    async with KafkaLog(settings) as kafka, asyncio.TaskGroup() as group:
        polls = ClusterPolls(
            queues, settings, log=kafka, now_ms=epoch_ms, url="http://here", node_urls=lambda: node_urls
        )
        running = [group.create_task(outlet.run()), group.create_task(polls.run())]
        try:
            yield polls
        finally:
            for one in running:
                one.cancel()


async def poll(polls: ClusterPolls, *, timeout_ms: int = 20_000) -> list[str]:
    """Return the ids of polled tasks."""
    found = await polls.poll(TYPE, worker_id="w", domain="", count=10, timeout_ms=timeout_ms)
    return [one["taskId"] for one in found]


async def test_a_task_whose_claim_was_lost_is_handed_out_by_the_next_node_and_a_claimed_one_is_not(
    settings: KafkaSettings,
) -> None:
    """Its offset is committed when the claim is durable: before that nobody else would ever miss its worker."""
    await send(settings, b"{no task", msgspec.json.encode(task(1)))
    async with HeldLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=1))
        async with gateway(settings, log) as polls:
            log.hold(COMMANDS)
            assert await poll(polls) == ["wf~1"]
            await log.wait_held(COMMANDS)
        async with gateway(settings, log) as polls:
            assert await poll(polls) == ["wf~1"]
            await log.wait_held(COMMANDS)
            log.release(COMMANDS)
            while (await log.offsets(COMMANDS, 0)).next == 0:
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)  # the claim is told to the feed; it commits at its end too
        await send(settings, msgspec.json.encode(task(2)))
        async with gateway(settings, log) as polls:
            assert await poll(polls) == ["wf~2"]


async def test_all_pollers_of_a_type_are_sent_to_one_node(settings: KafkaSettings) -> None:
    """Nodes that know the same nodes name the same one; a poll that was sent on is answered where it came to."""
    urls = frozenset({"http://here", "http://there", "http://elsewhere"})
    async with HeldLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=1))
        async with gateway(settings, log, node_urls=urls) as polls:
            task_type = next(f"type{n}" for n in range(100) if winner(f"type{n}\0", urls) == "http://there")
            with pytest.raises(PolledElsewhere) as raised:
                await polls.poll(task_type, worker_id="w", domain="", count=1, timeout_ms=0)
            assert raised.value.url == "http://there"
            assert await polls.poll(task_type, worker_id="w", domain="", count=1, timeout_ms=0, here=True) == []
