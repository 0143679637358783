"""Records for the micro benchmarks, made by the engine itself.

Holds one partition's life in memory: many workflows of three tasks, interleaved as under load. Must not shorten
anything: commands are JSON, decisions are encoded and chained. Keeps the invariant that every workflow runs to its end.
"""

import gc
import time
from collections.abc import Iterator

import msgspec

from api.cli.serve import COLLECTOR_THRESHOLDS
from benchmarks.definitions import THREE_TASKS, task_definition, three_tasks
from benchmarks.results import BenchmarkFailed
from engine.commands import ClaimTask, Command, ReportTaskResult, StartWorkflow, workflow_of
from engine.definitions import TaskDef, WorkflowDef
from engine.ids import TaskSeq, WorkflowId, task_id
from engine.status import TaskStatus
from engine.testing import Shelf
from streams.partition.machine import PartitionMachine
from streams.ports import LogRecord, NewRecord
from streams.records import OwnerClaimed, encode
from streams.topics import COMMANDS, EVENTS

IN_FLIGHT = 64
_encoder = msgspec.json.Encoder()


def spare_the_collector() -> None:
    """Set the garbage collector as a server does, and keep what is there now, the material above all, from it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def shelf() -> Shelf:
    """Return the definitions of the three tasks."""
    held = Shelf()
    held.add(*(msgspec.convert(task_definition(name), TaskDef) for name in THREE_TASKS))
    held.add(msgspec.convert(three_tasks(), WorkflowDef))
    return held


def new_machine(definitions: Shelf) -> PartitionMachine:
    """Return a machine that knows nothing yet."""
    return PartitionMachine(partition=0, partitions=1, definitions=definitions, noise=lambda: 0.5, durable_queues=False)


def claim() -> LogRecord:
    """Return the record by which an owner begins."""
    claimed = OwnerClaimed(owner="bench", url="", at_ms=_now_ms(), partitions=1)
    return _record(EVENTS, 0, NewRecord(key=None, value=encode(claimed)))


def batches(workflows: int) -> Iterator[list[LogRecord]]:
    """Yield the commands of so many workflows: a start, then a claim and a result per task, 64 workflows at a time."""
    offset = 0
    for first in range(0, workflows, IN_FLIGHT):
        ids = [WorkflowId(f"bench-{number:08d}") for number in range(first, min(first + IN_FLIGHT, workflows))]
        for step in range(1 + 2 * len(THREE_TASKS)):
            commands = [_command(workflow_id, step) for workflow_id in ids]
            yield [_record(COMMANDS, offset + place, _new(command)) for place, command in enumerate(commands)]
            offset += len(commands)


def live(machine: PartitionMachine, workflows: int) -> list[LogRecord]:
    """Have a machine decide about so many workflows; return what it put into the log.

    Raises:
        BenchmarkFailed: not all of them completed.
    """
    begin = claim()
    machine.replay(begin)
    machine.recovered()
    written = [begin]
    outcomes = 0
    for commands in batches(workflows):
        turn = machine.decide(commands, _now_ms())
        if turn is None:
            continue
        first_offset = len(written)
        written += [_record(EVENTS, first_offset + place, record) for place, record in enumerate(turn.records)]
        outbox = machine.acknowledged(turn, first_offset)
        machine.effects_done(outbox.sequence)
        outcomes += len(outbox.outcomes)
    if outcomes != workflows:
        message = f"of {workflows} workflows only {outcomes} completed"
        raise BenchmarkFailed(message)
    return written


def _command(workflow_id: WorkflowId, step: int) -> Command:
    if step == 0:
        return StartWorkflow(workflow_id=workflow_id, name="bench_three", version=1, input={"number": 1})
    attempt = task_id(workflow_id, TaskSeq((step + 1) // 2))
    if step % 2:
        return ClaimTask(workflow_instance_id=workflow_id, task_id=attempt, worker_id="worker", claimed_at_ms=_now_ms())
    return ReportTaskResult(
        workflow_instance_id=workflow_id,
        task_id=attempt,
        status=TaskStatus.COMPLETED,
        output_data={"number": 1},
        worker_id="worker",
    )


def _new(command: Command) -> NewRecord:
    return NewRecord(key=(workflow_of(command) or "").encode(), value=_encoder.encode(command))


def _record(topic: str, offset: int, record: NewRecord) -> LogRecord:
    return LogRecord(
        topic=topic, partition=0, offset=offset, key=record.key, value=record.value, appended_at_ms=_now_ms()
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
