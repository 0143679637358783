"""Twenty workers, five slots, and servers that are killed."""

import asyncio
import random
from pathlib import Path
from statistics import median

import pytest

from deploy.kafka.broker import KafkaBroker, free_ports
from streams.embedded.log import SqliteLog
from streams.kafka import KafkaLog, KafkaSettings
from streams.settings import KAFKA_PARTITIONS
from tests.durability.scarce import LIMIT, ScarceWork, Usage, usage_of
from tests.durability.server import ServerProcess

WORKERS = 20
WORKFLOWS = 60
KILLS = 4
PREFIX = "scarce."
FREED_SLOT_MS_MAX = 500
"""Half of the freed slots are used again within this, on a machine that twenty workers and a server keep busy. Alone it
is some milliseconds; what this tells apart is a limiter that answers at once from one that is asked again and again."""


async def _work_under_kills(work: ScarceWork, kill: "asyncio.Task[None]", workflows: int) -> list[str]:
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work.work(f"worker-{number}")) for number in range(WORKERS)]
        await work.begin(workflows)
        await kill
        statuses = await work.wait_all_ended()
        for worker in workers:
            worker.cancel()
    return statuses


def _check(usage: Usage, statuses: list[str], attempts_min: int) -> None:
    assert set(statuses) == {"COMPLETED"}
    assert len(usage.began_ms) >= attempts_min
    assert usage.asked == set(usage.ended_ms)
    assert usage.held_most == LIMIT
    assert usage.at_once() <= LIMIT
    latencies_ms = usage.latencies_ms()
    print(  # noqa: T201 - the figures are worth seeing with -s
        f"freed slots: {len(latencies_ms)}, p50 {median(latencies_ms)} ms, "
        f"p99 {latencies_ms[len(latencies_ms) * 99 // 100]} ms, most at once {usage.at_once()}"
    )


@pytest.mark.slow
async def test_twenty_workers_never_have_more_than_five_on_the_embedded_log(tmp_path: Path, free_port: int) -> None:
    """Killed again and again: never one too many, none lost, and a freed slot is taken at once."""
    chance = random.Random(7)
    data = tmp_path / "data"
    async with ServerProcess(free_port, tmp_path / "server.log", "--data", str(data)) as server:

        async def kill() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.3, 1.2))  # a random moment is what this test is about
                server.kill()
                await server.start()

        async with asyncio.TaskGroup() as group:
            killing = group.create_task(kill())
            statuses = await _work_under_kills(ScarceWork(server, seed=7), killing, WORKFLOWS)
    async with SqliteLog(data) as log:
        usage = await usage_of(log, partitions=1)
    _check(usage, statuses, attempts_min=2 * WORKFLOWS)
    assert median(usage.latencies_ms()) <= FREED_SLOT_MS_MAX


@pytest.mark.timeout(300)
async def test_two_nodes_on_kafka_share_one_limit(tmp_path: Path, kafka_broker: KafkaBroker) -> None:
    """Workflows live in many partitions, their limiter in one; one node dies and comes back."""
    chance = random.Random(11)
    nodes = [
        ServerProcess(
            port, tmp_path / f"node-{port}.log", "--kafka", kafka_broker.bootstrap, "--topic-prefix", PREFIX,
            "--data", str(tmp_path / f"node-{port}"),
        )
        for port in free_ports(2)
    ]  # fmt: skip
    async with nodes[0], nodes[1]:

        async def kill() -> None:
            for number in range(2):
                await asyncio.sleep(chance.uniform(1, 3))  # as above
                nodes[number].kill()
                await asyncio.sleep(chance.uniform(0, 2))
                await nodes[number].start()

        async with asyncio.TaskGroup() as group:
            killing = group.create_task(kill())
            statuses = await _work_under_kills(ScarceWork(*nodes, seed=11), killing, WORKFLOWS // 2)
    async with KafkaLog(KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=PREFIX)) as log:
        usage = await usage_of(log, partitions=KAFKA_PARTITIONS)
    _check(usage, statuses, attempts_min=WORKFLOWS)
