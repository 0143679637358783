"""Claims about the broker that tests, benchmarks and developers share.

Must not test Podium itself. Keeps the ground for every other test that says "on a real Kafka".
"""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.kafka.broker import KafkaBroker

_REPOSITORY_ROOT = Path(__file__).parents[2]


async def _create_topic(bootstrap: str, *, replicas: int = 1) -> str:
    topic = f"test-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replicas)])
    finally:
        await admin.close()
    return topic


async def _produce(bootstrap: str, topic: str, value: bytes) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=20_000)
    await producer.start()
    try:
        record = await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()
    return int(record.offset)


async def _first_value(bootstrap: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), timeout=30)
    finally:
        await consumer.stop()
    value: bytes | None = record.value
    return value


async def test_broker_returns_the_record_that_was_produced(kafka_broker: KafkaBroker) -> None:
    """What a producer appends with acks=all, a consumer reads back."""
    topic = await _create_topic(kafka_broker.bootstrap)

    offset = await _produce(kafka_broker.bootstrap, topic, b"first")

    assert offset == 0
    assert await _first_value(kafka_broker.bootstrap, topic) == b"first"


async def test_broker_does_not_create_a_topic_that_nobody_declared(kafka_broker: KafkaBroker) -> None:
    """A misspelt topic is an error of its producer, not a new topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([f"undeclared-{uuid.uuid4()}"])
        assert described[0]["error_code"] == UnknownTopicOrPartitionError.errno
    finally:
        await admin.close()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("kafka_available")
async def test_broker_killed_and_started_again_keeps_port_and_records(tmp_path: Path) -> None:
    """After SIGKILL a broker comes back where its clients look for it, with what it had acknowledged."""
    async with KafkaBroker(tmp_path) as broker:
        bootstrap = broker.bootstrap
        topic = await _create_topic(bootstrap)
        await _produce(bootstrap, topic, b"acknowledged")

        await asyncio.to_thread(broker.kill)
        assert broker.pid() is None
        await asyncio.to_thread(broker.start)

        assert broker.bootstrap == bootstrap
        assert await _first_value(bootstrap, topic) == b"acknowledged"


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("kafka_available")
async def test_cluster_of_three_accepts_records_after_one_node_is_killed(tmp_path: Path) -> None:
    """With three nodes and two in-sync replicas required, one crash loses nothing and stops nothing."""
    async with KafkaBroker(tmp_path, nodes=3) as cluster:
        topic = await _create_topic(cluster.bootstrap, replicas=3)
        await _produce(cluster.bootstrap, topic, b"before")

        await asyncio.to_thread(cluster.kill, 1)

        assert await _produce(cluster.bootstrap, topic, b"after") == 1
        assert await _first_value(cluster.bootstrap, topic) == b"before"


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("kafka_available")
def test_broker_in_the_foreground_dies_with_the_program_that_started_it(tmp_path: Path) -> None:
    """A test run or a terminal that is killed leaves no JVM behind."""
    command = [sys.executable, "deploy/kafka/broker.py", "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(command, cwd=_REPOSITORY_ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert "Kafka is ready at 127.0.0.1:" in program.stdout.readline()
        children = psutil.Process(program.pid).children()
        brokers = [child for child in children if child.name() == "java"]
        assert len(brokers) == 1

        os.kill(program.pid, signal.SIGKILL)

        gone, alive = psutil.wait_procs(brokers, timeout=10)
        assert (len(gone), len(alive)) == (1, 0)
