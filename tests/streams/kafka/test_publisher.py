"""Claims about records that workflows publish to a real Kafka."""

import asyncio
import uuid
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from deploy.kafka.broker import KafkaBroker
from engine.definitions import WorkflowDef
from engine.json_value import JsonObject
from engine.status import WorkflowStatus
from streams.kafka import KafkaLog, KafkaSettings
from streams.kafka.publisher import KafkaPublisher
from streams.node import open_node
from streams.publishing.messages import KafkaMessage, SinkFailed, SinkRefused
from streams.settings import NodeSettings
from streams.topics import INTERNAL_EVENTS, TopicSpec, partition_of
from tests.streams.node.test_node import ended, start

WITHIN_S = 30


async def made(broker: KafkaBroker, *, partitions: int = 1) -> str:
    """Return the name of a new topic."""
    name = f"t{uuid.uuid4().hex[:12]}"
    async with KafkaLog(KafkaSettings(bootstrap=broker.bootstrap)) as log:
        await log.create_topics([TopicSpec(name=name, partitions=partitions)])
    return name


async def read(broker: KafkaBroker, topic: str, count: int) -> list[ConsumerRecord]:
    """Return so many records of a topic, as any consumer sees them."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def of_one_task(kind: str, task_input: JsonObject, **fields: object) -> WorkflowDef:
    """Return a workflow of one task."""
    task = {"name": "t", "taskReferenceName": "t", "type": kind, "inputParameters": task_input}
    return msgspec.convert({"name": "publishing", "tasks": [{**task, **fields}]}, WorkflowDef)


async def test_record_of_a_kafka_publish_task_is_read_by_a_consumer(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """From a node on the embedded log: topic, key, value, headers and the id of the attempt."""
    topic = await made(kafka_broker, partitions=3)
    request = {"topic": topic, "key": "k", "value": {"n": "${workflow.input.n}"}, "headers": {"x": "y"}}
    settings = NodeSettings(
        data_dir=tmp_path, url="http://127.0.0.1:0", history=False, event_kafka=kafka_broker.bootstrap
    )
    async with open_node(settings) as node:
        await node.definitions.put_workflow(of_one_task("KAFKA_PUBLISH", {"kafka_request": request}))
        workflow_id = (await start(node, "publishing", input={"n": 7})).workflow_id
        async with asyncio.timeout(WITHIN_S):
            state = await ended(node, workflow_id)
    assert (state.status, state.output) == (WorkflowStatus.COMPLETED, {})
    (record,) = await read(kafka_broker, topic, 1)
    assert (record.key, record.value) == (b"k", b'{"n":7}')
    assert dict(record.headers) == {"x": b"y", "podium-message-id": f"{workflow_id}~1".encode()}
    assert record.partition == partition_of(b"k", 3)


async def test_event_and_status_of_a_workflow_are_read_by_a_consumer(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """From a node on Kafka, which publishes to its own cluster: the message is the task's output."""
    topic = await made(kafka_broker)
    definition = msgspec.structs.replace(
        of_one_task("EVENT", {"n": 1}, sink=f"kafka:{topic}"),
        workflow_status_listener_enabled=True,
        workflow_status_listener_sink=f"kafka:{topic}",
    )
    prefix = f"p{uuid.uuid4().hex[:12]}."
    settings = NodeSettings(
        data_dir=tmp_path,
        url="http://127.0.0.1:0",
        history=False,
        kafka=kafka_broker.bootstrap,
        topic_prefix=prefix,
        partitions=2,
    )
    async with open_node(settings) as node:
        async with asyncio.timeout(WITHIN_S):
            await node.wait_up()
        await node.definitions.put_workflow(definition)
        async with asyncio.timeout(WITHIN_S):
            state = await ended(node, (await start(node, "publishing")).workflow_id)
        found = await read(kafka_broker, topic, 3)
    assert state.status is WorkflowStatus.COMPLETED
    assert {record.key for record in found} == {state.workflow_id.encode()}
    contents = [msgspec.json.decode(record.value) for record in found]
    assert [content for content in contents if "event_produced" in content] == [state.output]
    told = [content for content in contents if "messageId" in content]
    assert [content["event"] for content in told] == ["started", "completed"]
    ids = [dict(record.headers)["podium-message-id"].decode() for record in found]
    assert len(set(ids)) == 3
    assert f"{state.workflow_id}~1" in ids
    assert {content["messageId"] for content in told} < set(ids)


async def test_internal_queue_is_a_topic_that_anybody_may_read(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """On a cluster, `events.internal` under the prefix of the installation."""
    prefix = f"p{uuid.uuid4().hex[:12]}."
    settings = NodeSettings(
        data_dir=tmp_path,
        url="http://127.0.0.1:0",
        history=False,
        kafka=kafka_broker.bootstrap,
        topic_prefix=prefix,
        partitions=2,
    )
    async with open_node(settings) as node:
        async with asyncio.timeout(WITHIN_S):
            await node.wait_up()
        await node.definitions.put_workflow(of_one_task("EVENT", {"n": 1}, sink="conductor:q"))
        async with asyncio.timeout(WITHIN_S):
            state = await ended(node, (await start(node, "publishing")).workflow_id)
        (record,) = await read(kafka_broker, prefix + INTERNAL_EVENTS, 1)
    event = msgspec.json.decode(record.value)
    assert (event["event"], event["messageId"]) == ("conductor:publishing:q", f"{state.workflow_id}~1")
    assert event["payload"] == state.output


async def test_topic_that_does_not_exist_is_told_within_the_given_time(kafka_broker: KafkaBroker) -> None:
    """Podium makes no topics of others; another attempt may find it."""
    publisher = KafkaPublisher(KafkaSettings(bootstrap=kafka_broker.bootstrap))
    try:
        with pytest.raises(SinkFailed, match="nowhere"):
            await publisher.publish(
                KafkaMessage(topic="nowhere", key=None, value=b"1"), find_ms=1_500, acknowledge_ms=1_000
            )
    finally:
        await publisher.close()


async def test_record_above_the_limit_is_refused_for_good(kafka_broker: KafkaBroker) -> None:
    """And the next one is taken."""
    topic = await made(kafka_broker)
    publisher = KafkaPublisher(KafkaSettings(bootstrap=kafka_broker.bootstrap))
    try:
        with pytest.raises(SinkRefused):
            await publisher.publish(
                KafkaMessage(topic=topic, key=None, value=b"x" * 1_100_000), find_ms=5_000, acknowledge_ms=5_000
            )
        await publisher.publish(KafkaMessage(topic=topic, key=None, value=b"1"), find_ms=5_000, acknowledge_ms=5_000)
    finally:
        await publisher.close()
    (record,) = await read(kafka_broker, topic, 1)
    assert record.value == b"1"


async def test_brokers_that_are_not_there_are_told_within_the_given_time() -> None:
    """A publisher that could not begin begins anew with the next record."""
    publisher = KafkaPublisher(KafkaSettings(bootstrap="127.0.0.1:9"))
    try:
        for _ in range(2):
            with pytest.raises(SinkFailed):
                await publisher.publish(
                    KafkaMessage(topic="t", key=None, value=b"1"), find_ms=2_000, acknowledge_ms=1_000
                )
    finally:
        await publisher.close()
