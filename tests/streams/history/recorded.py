"""Logs for the tests of the history: real decisions of the real machine, on a clock that the test moves.

Holds a writer of one partition and a seeded crowd of workflows. Must not know the history. Keeps the invariant that
the same seed gives the same records, byte by byte.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from engine.commands import (
    ClaimTask,
    Command,
    PauseWorkflow,
    ReportTaskResult,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskSeq, WorkflowId, keyed_workflow_id, task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState, open_tasks
from engine.status import TaskStatus
from engine.testing import Shelf
from streams.partition.chain import ChainPosition
from streams.partition.handover import Handover
from streams.partition.machine import PartitionMachine
from streams.partition.turn import Turn
from streams.ports import LogRecord, NewRecord
from streams.records import OwnerClaimed, encode

FIRST_MS = 1_790_000_000_000
"""A day in September 2026."""


def simple(ref: str, name: str | None = None) -> WorkflowTask:
    """Return a worker's task."""
    return WorkflowTask(name=name or ref, task_reference_name=RefName(ref))


THREE_TASKS = WorkflowDef(
    name="three_tasks",
    tasks=(simple("first"), simple("second"), simple("third")),
    output_parameters={"result": "${third.output.value}"},
)
FORK_JOIN = WorkflowDef(
    name="fork_join",
    version=2,
    tasks=(
        WorkflowTask(
            name="fork",
            task_reference_name=RefName("fork"),
            type="FORK_JOIN",
            fork_tasks=((simple("left"),), (simple("right"),)),
        ),
        WorkflowTask(
            name="join",
            task_reference_name=RefName("join"),
            type="JOIN",
            join_on=(RefName("left"), RefName("right")),
        ),
    ),
)
TASK_DEFS = tuple(
    TaskDef(name=name, retry_count=1, retry_delay_seconds=delay)
    for name, delay in (("first", 0), ("second", 2), ("third", 0), ("left", 0), ("right", 60))
)


class RecordedPartition:
    """One partition of `events`, written by its owner. The records are kept here; a test appends them to its log."""

    def __init__(self, *, partition: int = 0, partitions: int = 1, owner: str = "owner-1") -> None:
        self.partition = partition
        self.partitions = partitions
        self.shelf = Shelf()
        self.shelf.add(THREE_TASKS, FORK_JOIN, *TASK_DEFS)
        self.records: list[bytes] = []
        self._turns: list[tuple[Turn, ChainPosition]] = []
        self.handover: Handover | None = None
        """Where the owner hands its acknowledged turns. Whoever sets it appends what was sent before anything waits."""
        self._commands = 0
        self._machine = self._fresh_machine()
        self.claim(owner)

    def claim(self, owner: str) -> None:
        """Let a new owner begin: it folds the whole log, its own claim last."""
        claim = OwnerClaimed(owner=owner, url="", at_ms=FIRST_MS, partitions=self.partitions)
        self.append_raw(encode(claim))
        self._machine = self._fresh_machine()
        for offset, value in enumerate(self.records):
            self._machine.replay(self.log_record(offset, value))
        self._machine.recovered()
        if self.handover is not None:
            self.handover.open(len(self.records))

    def go_on_from(self, values: Sequence[bytes], owner: str) -> None:
        """Let a new owner begin on a log that somebody has written."""
        self.records = list(values)
        self.claim(owner)
        self._commands = self._machine.chain.command_offset + 1

    def take_turns(self) -> list[tuple[Turn, ChainPosition]]:
        """Return the turns that were decided since the last call, each with where the chain stood behind it."""
        taken, self._turns = self._turns, []
        return taken

    def held(self) -> list[str]:
        """Return the ids of all workflows."""
        return [*self._machine.table.ids()]

    def send(self, *commands: Command, at_ms: int) -> list[NewRecord]:
        """Decide about commands and return the records that the decisions are."""
        sources = []
        for command in commands:
            sources.append(
                LogRecord(
                    topic="commands",
                    partition=self.partition,
                    offset=self._commands,
                    key=None,
                    value=msgspec.json.encode(command),
                    appended_at_ms=at_ms,
                )
            )
            self._commands += 1
        turn = self._machine.decide(sources, at_ms)
        if turn is None:
            return []
        first = len(self.records)
        self.records.extend(record.value or b"" for record in turn.records)
        self._machine.acknowledged(turn, first)
        self._turns.append((turn, self._machine.acknowledged_position))
        if self.handover is not None:
            self.handover.offer(turn, self._machine.acknowledged_position)
        return turn.records

    def append_raw(self, value: bytes) -> None:
        """Append a record as somebody else would."""
        self.records.append(value)

    def state(self, workflow_id: str) -> WorkflowState:
        """Return a workflow as its owner has it."""
        state = self._machine.table.get(WorkflowId(workflow_id))
        assert state is not None
        return state

    def log_record(self, offset: int, value: bytes) -> LogRecord:
        """Return a record as a reader sees it."""
        return LogRecord(
            topic="events",
            partition=self.partition,
            offset=offset,
            key=None,
            value=value,
            appended_at_ms=FIRST_MS,
        )

    def new_records(self, *, start: int = 0) -> list[NewRecord]:
        """Return the records from an offset on, as they are appended to a log."""
        return [NewRecord(key=None, value=value) for value in self.records[start:]]

    def _fresh_machine(self) -> PartitionMachine:
        return PartitionMachine(
            partition=self.partition, partitions=self.partitions, definitions=self.shelf, noise=lambda: 0.5
        )


class Crowd:
    """Workflows that live at random: they run, fail, are retried, paused and restarted; some results come twice."""

    def __init__(self, recorded: RecordedPartition, *, seed: int) -> None:
        self.recorded = recorded
        self.ids: list[str] = []
        self.first_starts: dict[str, int] = {}
        self._random = random.Random(seed)
        self._at_ms = FIRST_MS

    def go_on(self) -> None:
        """Live on with the workflows that the partition has already."""
        self.ids = self.recorded.held()
        for workflow_id in self.ids:
            self._at_ms = max(self._at_ms, self.recorded.state(workflow_id).updated_at_ms)

    def live(self, steps: int) -> None:
        """Take this many steps, one command each, of random workflows."""
        for _ in range(steps):
            # Days apart at times, so that rows fall into several months.
            self._at_ms += self._random.choice((1, 7, 250, 4_000, 60_000, 20_000_000))
            self.recorded.send(self._next_command(), at_ms=self._at_ms)

    def start_with(
        self,
        *,
        workflow_id: str,
        correlation_id: str | None = None,
        input: JsonObject | None = None,  # noqa: A002 (the command's word)
    ) -> None:
        """Start one workflow by hand."""
        self._at_ms += 1
        self.ids.append(workflow_id)
        self.first_starts[workflow_id] = self._at_ms
        command = StartWorkflow(
            name="three_tasks",
            workflow_id=WorkflowId(workflow_id),
            correlation_id=correlation_id,
            input=input,
        )
        self.recorded.send(command, at_ms=self._at_ms)

    def _next_command(self) -> Command:
        if not self.ids or self._random.random() < 0.15:
            return self._start()
        workflow_id = self._random.choice(self.ids)
        state = self.recorded.state(workflow_id)
        if state.is_terminal:
            return self._rerun(WorkflowId(workflow_id))
        return self._act(state)

    def _start(self) -> Command:
        chance = self._random
        number = len(self.ids)
        workflow_id = f"wf-{number:05d}" if chance.random() < 0.5 else f"order:{chance.randrange(1 << 30)}@{number}"
        name = chance.choice(("three_tasks", "fork_join"))
        key = chance.choice((None, None, f"key-{number}"))
        if key is not None:
            workflow_id = keyed_workflow_id(name, key)
        self.ids.append(workflow_id)
        self.first_starts[workflow_id] = self._at_ms
        return StartWorkflow(
            name=name,
            workflow_id=WorkflowId(workflow_id) if key is None else None,
            correlation_id=chance.choice((None, "c-1", "c-2", "customer 7", "100%_sure", "back\\slash", "Łódź")),
            input=self._payload(),
            priority=chance.randrange(5),
            created_by=chance.choice((None, "alice", "bob")),
            idempotency_key=key,
            task_to_domain=chance.choice((None, {"*": "blue"})),
        )

    def _payload(self) -> JsonObject:
        return self._random.choice(
            (
                {},
                {"customer": "Ann O'Hara", "amount": 12.5},
                {"note": 'quoted "text" and \\ and \n newline', "list": [1, None, {}]},
                {"emoji": "🎬", "null": None, "a.b": 1, "a": {"b": 2}},
                {"customer": "bob", "amount": 99},
            )
        )

    def _rerun(self, workflow_id: WorkflowId) -> Command:
        roll = self._random.random()
        if roll < 0.2:
            return RestartWorkflow(workflow_id=workflow_id)
        if roll < 0.4:
            return RetryWorkflow(workflow_id=workflow_id)
        return self._late_result(workflow_id) if roll < 0.6 else self._start()

    def _late_result(self, workflow_id: WorkflowId) -> Command:
        state = self.recorded.state(workflow_id)
        seqs = sorted(state.tasks)
        seq = self._random.choice(seqs) if seqs else TaskSeq(1)
        return ReportTaskResult(
            workflow_instance_id=workflow_id,
            task_id=task_id(workflow_id, seq),
            status=TaskStatus.COMPLETED,
            worker_id="late",
        )

    def _act(self, state: WorkflowState) -> Command:
        chance = self._random
        workflow_id = state.workflow_id
        roll = chance.random()
        if roll < 0.03:
            return TerminateWorkflow(workflow_id=workflow_id, reason=chance.choice(("stopped by hand", None)))
        if roll < 0.08:
            return PauseWorkflow(workflow_id=workflow_id)
        if state.status.value == "PAUSED":
            return ResumeWorkflow(workflow_id=workflow_id)
        if roll < 0.12:
            return self._late_result(workflow_id)
        waiting = open_tasks(state)
        if not waiting:
            return ResumeWorkflow(workflow_id=workflow_id)
        name = task_id(workflow_id, chance.choice(waiting).spec.seq)
        worker = chance.choice(("worker-a", "worker-b"))
        if roll < 0.45:
            return ClaimTask(workflow_instance_id=workflow_id, task_id=name, worker_id=worker)
        return ReportTaskResult(
            workflow_instance_id=workflow_id,
            task_id=name,
            status=chance.choice(
                (TaskStatus.COMPLETED,) * 6
                + (TaskStatus.FAILED, TaskStatus.FAILED_WITH_TERMINAL_ERROR, TaskStatus.IN_PROGRESS)
            ),
            output_data=self._payload(),
            reason_for_incompletion=chance.choice((None, "disk full", "Timeout while encoding")),
            worker_id=worker,
        )


def chunks(records: Sequence[NewRecord], size: int) -> Iterator[Sequence[NewRecord]]:
    """Yield the records in pieces of a size."""
    for start in range(0, len(records), size):
        yield records[start : start + size]
