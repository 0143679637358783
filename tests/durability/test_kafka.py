"""Nodes on Kafka that are killed one after the other."""

import asyncio
import random
from pathlib import Path

import pytest

from deploy.kafka.broker import KafkaBroker, free_ports
from streams.kafka import KafkaLog, KafkaSettings
from streams.settings import KAFKA_PARTITIONS
from tests.durability.audit import findings, fold_log
from tests.durability.server import ServerProcess
from tests.durability.traffic import Traffic

WORKFLOWS = 100
KILLS = 5
PREFIX = "killed."


@pytest.mark.timeout(300)
async def test_kill_nine_of_one_of_two_nodes_loses_and_doubles_nothing(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    """While either node is killed and comes back, every acknowledged start ends, and no attempt ends twice."""
    chance = random.Random(9)
    nodes = [
        ServerProcess(
            port,
            tmp_path / f"node-{port}.log",
            "--kafka",
            kafka_broker.bootstrap,
            "--topic-prefix",
            PREFIX,
            "--data",
            str(tmp_path / f"node-{port}"),
        )
        for port in free_ports(2)
    ]
    async with nodes[0], nodes[1]:
        traffic = Traffic(*nodes, count=WORKFLOWS, seed=9)
        await traffic.register()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(traffic.work(f"worker-{number}")) for number in range(3)]
            starting = group.create_task(traffic.start_all(every_s=0.2))
            for number in range(KILLS):
                await asyncio.sleep(chance.uniform(0.5, 3))  # a random moment is what this test is about
                node = nodes[number % 2]
                node.kill()
                await asyncio.sleep(chance.uniform(0, 2))
                await node.start()
            await starting
            told = await traffic.wait_all_ended()
            for worker in workers:
                worker.cancel()
    assert {workflow["status"] for workflow in told.values()} == {"COMPLETED"}
    async with KafkaLog(KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=PREFIX)) as log:
        states, ends = await fold_log(log, partitions=KAFKA_PARTITIONS)
    assert findings(told, traffic.acknowledged, states, ends) == []
