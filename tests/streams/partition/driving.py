"""A partition's log in memory and machines that own it, driven by hand.

Must not do what a processor would do unasked: each test says when a turn is appended and when it is acknowledged.
Keeps its log in `MemoryTopics`, as the machine's records really lie in a log.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.commands import Command, ReportTaskResult, StartWorkflow, workflow_of
from engine.context import EngineLimits
from engine.definitions import TaskDef, WorkflowDef
from engine.ids import TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.status import TaskStatus
from engine.testing import Shelf
from streams.memory import MemoryTopics
from streams.partition.machine import PartitionMachine
from streams.partition.turn import Outbox, Turn
from streams.ports import LogRecord, NewRecord
from streams.records import DecisionRecord, OwnerClaimed, decode, encode
from streams.topics import COMMANDS, EVENTS, engine_topics

NOW_MS: Final = 1_700_000_000_000


class Ground:
    """The topics of a test, and what is registered."""

    def __init__(self, *definitions: WorkflowDef | TaskDef, partition: int = 0, partitions: int = 1) -> None:
        """Begin with empty topics."""
        self.partition = partition
        self.partitions = partitions
        self.now_ms = NOW_MS
        self.shelf = Shelf()
        self.shelf.add(*definitions)
        self.topics = MemoryTopics(now_ms=lambda: self.now_ms)
        self.topics.create(engine_topics(partitions=partitions))

    def machine(self, *, durable_queues: bool = True, limits: EngineLimits = EngineLimits()) -> PartitionMachine:
        """Return a machine that knows nothing yet."""
        return PartitionMachine(
            partition=self.partition,
            partitions=self.partitions,
            definitions=self.shelf,
            noise=lambda: 0.0,
            limits=limits,
            durable_queues=durable_queues,
        )

    def claim(self, owner: str = "node") -> int:
        """Append a claim and return its offset."""
        record = OwnerClaimed(owner=owner, url="", at_ms=self.now_ms, partitions=self.partitions)
        return self.append([NewRecord(key=None, value=encode(record))])

    def take_over(self, *, durable_queues: bool = True) -> tuple[PartitionMachine, Outbox]:
        """Return a machine that has claimed the partition and read its log, and what it found undone."""
        claimed_at = self.claim()
        machine = self.machine(durable_queues=durable_queues)
        for record in self.events(until=claimed_at):
            machine.replay(record)
        return machine, machine.recovered()

    def command(self, command: Command) -> LogRecord:
        """Append a command as a client does, and return its record."""
        return self.bytes(msgspec.json.encode(command), key=(workflow_of(command) or "").encode())

    def bytes(self, value: bytes, *, key: bytes | None = b"wf") -> LogRecord:
        """Append anything to `commands`, and return its record."""
        offset = self.topics.append_now(COMMANDS, self.partition, [NewRecord(key=key, value=value)])
        return self.topics.read_now(COMMANDS, self.partition, from_offset=offset, records_max=1)[0]

    def append(self, records: Sequence[NewRecord]) -> int:
        """Append to `events` and return the first offset."""
        return self.topics.append_now(EVENTS, self.partition, records)

    def settle(self, machine: PartitionMachine, *commands: Command | LogRecord) -> Outbox:
        """Decide, append and acknowledge: nothing goes wrong."""
        turn = self.decide(machine, *commands)
        return machine.acknowledged(turn, self.append(turn.records))

    def decide(self, machine: PartitionMachine, *commands: Command | LogRecord) -> Turn:
        """Let a machine decide about commands, which must lead to something."""
        records = [found if isinstance(found, LogRecord) else self.command(found) for found in commands]
        turn = machine.decide(records, self.now_ms)
        assert turn is not None
        return turn

    def events(self, *, until: int | None = None) -> Sequence[LogRecord]:
        """Return the records of `events`, up to and including an offset."""
        count = self.topics.range(EVENTS, self.partition).next if until is None else until + 1
        return self.topics.read_now(EVENTS, self.partition, from_offset=0, records_max=count)

    def decisions(self) -> list[DecisionRecord]:
        """Return the decisions of `events` that lie in one record each."""
        found = [decode(record.value or b"") for record in self.events()]
        return [record for record in found if isinstance(record, DecisionRecord)]


def start(workflow_id: str = "wf", name: str = "flow", **fields: object) -> StartWorkflow:
    """Return a start."""
    return StartWorkflow(name=name, workflow_id=WorkflowId(workflow_id), **fields)  # type: ignore[arg-type]  # its fields


def result(
    seq: int,
    status: TaskStatus = TaskStatus.COMPLETED,
    *,
    workflow_id: str = "wf",
    output: JsonObject | None = None,
    request_id: str | None = None,
) -> ReportTaskResult:
    """Return a worker's report on an attempt."""
    return ReportTaskResult(
        workflow_instance_id=WorkflowId(workflow_id),
        task_id=task_id(WorkflowId(workflow_id), TaskSeq(seq)),
        status=status,
        output_data=output,
        request_id=request_id,
    )
