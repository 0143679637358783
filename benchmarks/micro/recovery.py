"""Recovery: how soon a server with very many open workflows decides again, and how much memory they take.

Holds the making of such a data directory and the measurement. Must not start the workflows one by one over REST: that
would take longer than everything else. Keeps the invariant that the directory is what a server would have written:
commands, decisions and snapshots by the same code.
"""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.definitions import PARKED_TASK, parked, task_definition
from benchmarks.rest import Rest
from benchmarks.results import Result
from benchmarks.server import Server
from benchmarks.usage import rss_mb
from engine.commands import StartWorkflow
from engine.definitions import TaskDef, WorkflowDef
from engine.ids import WorkflowId
from streams.embedded.log import SqliteLog
from streams.partition.machine import PartitionMachine
from streams.partition.snapshots import SnapshotCycle
from streams.ports import LogRecord, NewRecord
from streams.records import OwnerClaimed, encode
from streams.registry import Registry
from streams.topics import COMMANDS, EVENTS, engine_topics

BATCH = 500
SETTLE_S = 3.0


def run_recovery(*, workflows: int = 100_000) -> Result:
    """Make a log with so many open workflows and a snapshot of them, then start a server on it.

    The history is off: it would first take in all the starts, which a server that had run all along has done.
    """
    with TemporaryDirectory(prefix="podium-bench-") as folder:
        data = Path(folder) / "data"
        begun = time.monotonic()
        asyncio.run(_fill(data, workflows))
        filled_s = time.monotonic() - begun
        with Server(data, "--no-history") as server:
            server.kill()
            begun = time.monotonic()
            healthy_s = server.start()
            with Rest(server.port) as rest:
                rest.start("bench_parked", number=-1)
                first_decision_s = time.monotonic() - begun
            time.sleep(SETTLE_S)
            memory_mb = rss_mb(server.pid)
    return Result(
        case=f"recovery of {workflows} open workflows, embedded log",
        figures={
            "workflows": workflows,
            "healthy_s": healthy_s,
            "first_decision_s": first_decision_s,
            "server_rss_mb": memory_mb,
            "starts_decided_and_stored_per_s": workflows / filled_s,
        },
    )


async def _fill(data: Path, workflows: int) -> None:
    encoder = msgspec.json.Encoder()
    async with SqliteLog(data) as log:
        await log.create_topics(engine_topics(partitions=1))
        async with Registry(log) as registry:
            await registry.put_task(msgspec.convert(task_definition(PARKED_TASK), TaskDef))
            await registry.put_workflow(msgspec.convert(parked(), WorkflowDef))
            machine = PartitionMachine(
                partition=0, partitions=1, definitions=registry, noise=lambda: 0.5, durable_queues=False
            )
            claimed = OwnerClaimed(owner="bench", url="", at_ms=_now_ms(), partitions=1)
            offset = await log.append(EVENTS, 0, [NewRecord(key=None, value=encode(claimed))])
            machine.replay(_read(EVENTS, offset, NewRecord(key=None, value=encode(claimed))))
            machine.recovered()
            for first in range(0, workflows, BATCH):
                await _start(log, machine, encoder, range(first, min(first + BATCH, workflows)))
            await SnapshotCycle(log, 0, machine, trim_commands=True).write()


async def _start(log: SqliteLog, machine: PartitionMachine, encoder: msgspec.json.Encoder, numbers: range) -> None:
    records = []
    for number in numbers:
        workflow_id = WorkflowId(f"00000000-0000-7000-8000-{number:012d}")
        command = StartWorkflow(
            name="bench_parked", version=1, workflow_id=workflow_id, generated_id=True, input={"number": number}
        )
        records.append(NewRecord(key=workflow_id.encode(), value=encoder.encode(command)))
    offset = await log.append(COMMANDS, 0, records)
    turn = machine.decide([_read(COMMANDS, offset + place, one) for place, one in enumerate(records)], _now_ms())
    if turn is not None:
        outbox = machine.acknowledged(turn, await log.append(EVENTS, 0, turn.records))
        machine.effects_done(outbox.sequence)


def _read(topic: str, offset: int, record: NewRecord) -> LogRecord:
    return LogRecord(
        topic=topic, partition=0, offset=offset, key=record.key, value=record.value, appended_at_ms=_now_ms()
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
