"""A server on the embedded log that is killed again and again."""

import asyncio
import random
from pathlib import Path

from streams.embedded.log import SqliteLog
from tests.durability.audit import findings, fold_log
from tests.durability.server import ServerProcess
from tests.durability.traffic import Traffic

WORKFLOWS = 200
KILLS = 12


async def test_kill_nine_under_load_loses_and_doubles_nothing(tmp_path: Path, free_port: int) -> None:
    """Every acknowledged start exists and ends, no attempt ends twice, and the log says what clients were told."""
    chance = random.Random(4)
    data = tmp_path / "data"
    async with ServerProcess(free_port, tmp_path / "server.log", "--data", str(data)) as server:
        traffic = Traffic(server, count=WORKFLOWS, seed=4)
        await traffic.register()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(traffic.work(f"worker-{number}")) for number in range(3)]
            starting = group.create_task(traffic.start_all(every_s=0.05))
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 1.2))  # a random moment is what this test is about
                server.kill()
                await server.start()
            await starting
            told = await traffic.wait_all_ended()
            for worker in workers:
                worker.cancel()
    assert {workflow["status"] for workflow in told.values()} == {"COMPLETED"}
    async with SqliteLog(data) as log:
        states, ends = await fold_log(log, partitions=1)
    assert findings(told, traffic.acknowledged, states, ends) == []
