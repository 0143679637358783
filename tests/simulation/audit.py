"""The audit: an independent reader of the log that checks everybody against it, all the time.

Holds the fold of every partition's believed log, read by rules written down a second time (`_Book`), and the checks
of whatever leaves a process. Must not use `Chain` nor trust a machine. Keeps the invariants of the system by refusing
whoever breaks one:

    I2  a result that was answered is in the log        I6  nothing is dispatched that the log does not have
    I3  an attempt ends once                            I8  no timer is early, no decision is from the future
    I4  a workflow ends once per run, with nothing open I10 the chain has no gap
    I5  live state == fold of the believed log          and no caller is told what the log does not say
"""

from typing import TYPE_CHECKING, Final

from engine.commands import Command, ReportChildEnd, ResumeChild, ReviveTask, StartWorkflow, TerminateWorkflow
from engine.events import (
    ChildTerminationRequested,
    Event,
    StartRequested,
    TaskScheduled,
    TaskStarted,
    WorkflowEnded,
)
from engine.ids import TaskSeq, WorkflowId
from engine.model import WorkflowState
from streams.partition.machine import PartitionMachine
from streams.partition.turn import Turn
from streams.service import Answer
from streams.topics import EVENTS
from tests.simulation.book import Book, Entry
from tests.simulation.violation import Violation

if TYPE_CHECKING:  # the world holds its audit
    from tests.simulation.world import World


LATE_MS_MAX: Final = 1_000
"""For a timer, once nothing goes wrong any more: an idle owner may find itself fenced by its first decision."""


class Audit:
    """One reader for all partitions."""

    def __init__(self, world: "World") -> None:
        """Begin with an empty log."""
        self._world = world
        self._books = [Book(partition) for partition in range(world.faults.partitions)]
        self._offset_max_ms = 0
        self._clocks_are_steady = not world.faults.clock_jumps
        self._scheduled: set[tuple[WorkflowId, TaskSeq]] = set()
        self._children: set[WorkflowId] = set()
        self._unwanted: set[WorkflowId] = set()
        self._ended: set[tuple[WorkflowId, str]] = set()
        self._requests: dict[tuple[int, str], list[Entry]] = {}
        self.ends: dict[WorkflowId, int] = {}
        """How often each workflow ended."""

    # ---- reading

    def note_offset(self, clock_offset_ms: int) -> None:
        """Take note of a process's clock: decisions may be so much ahead of the true time."""
        self._offset_max_ms = max(self._offset_max_ms, clock_offset_ms)

    def read(self, partition: int) -> None:
        """Read what is new in a partition of `events`."""
        book = self._books[partition]
        records = self._world.topics.read_now(EVENTS, partition, from_offset=book.next_offset, records_max=1_000_000)
        for record in records:
            entry = book.read(record)
            if entry is None:
                self._world.count("records_not_believed")
                continue
            self._note(book, entry)

    def _note(self, book: Book, entry: Entry) -> None:
        decision, partition = entry.record, book.partition
        if decision.at_ms > self._world.clock.now_ms + self._offset_max_ms:
            raise Violation(
                f"I8: decision {decision.sequence} of partition {partition} is of {decision.at_ms}, "
                f"{decision.at_ms - self._world.clock.now_ms} ms ahead of the time"
            )
        if book.late_ms > LATE_MS_MAX and self._world.is_settled and self._clocks_are_steady:
            raise Violation(f"I8: decision {decision.sequence} of partition {book.partition} is {book.late_ms} ms late")
        if decision.request_id:
            self._requests.setdefault((partition, decision.request_id), []).append(entry)
        for command in decision.commands:
            if isinstance(command, ReportChildEnd):
                self._ended.add((command.child_id, command.status))
        for event in decision.events:
            self._note_event(decision.workflow_id, event)
        if self._world.is_traced:
            self._world.say("believed", describe(partition, entry))

    def _note_event(self, workflow_id: WorkflowId, event: Event) -> None:
        match event:
            case TaskScheduled():
                self._scheduled.add((workflow_id, event.seq))
            case TaskStarted() if event.child_id is not None:
                self._children.add(event.child_id)
            case StartRequested():
                self._children.add(event.workflow_id)
            case ChildTerminationRequested():
                self._unwanted.add(event.child_id)
            case WorkflowEnded():
                self._ended.add((workflow_id, event.status))
                self.ends[workflow_id] = self.ends.get(workflow_id, 0) + 1
            case _:
                pass

    # ---- what leaves a process

    def acknowledged(self, machine: PartitionMachine, turn: Turn) -> None:
        """Compare a turn that was acknowledged with what the log says (I5)."""
        book = self._books[machine.partition]
        for item in turn.decided:
            entry = book.entry(item.record.sequence)
            if entry is None or entry.record.epoch != item.record.epoch or entry.record != item.record:
                raise Violation(
                    f"I5: decision {item.record.sequence} of partition {machine.partition}, epoch "
                    f"{item.record.epoch}, was acknowledged, but the log has {entry and entry.record}"
                )
            if item.record.events and entry.state != item.state:
                raise Violation(f"I5: {item.record.workflow_id} is {item.state}, its fold is {entry.state}")

    def recovered(self, machine: PartitionMachine) -> None:
        """Compare all that a machine holds after its recovery with the fold of the log up to its claim (I5)."""
        book = self._books[machine.partition]
        claimed_at = machine.chain.epoch
        sequence = book.sequence_before(claimed_at)
        if claimed_at not in book.claims or machine.chain.sequence != sequence:
            raise Violation(
                f"I10: partition {machine.partition} was recovered up to decision {machine.chain.sequence}, "
                f"the log has {sequence} before the claim at {claimed_at}"
            )
        self.compare(machine, book.states_at(sequence))

    def compare(self, machine: PartitionMachine, expected: dict[WorkflowId, WorkflowState]) -> None:
        """Compare the workflows of a machine with those of the log: all open ones are there, and none is different."""
        for workflow_id, state in expected.items():
            held = machine.table.peek(workflow_id)
            if held is None and state.is_terminal:
                continue
            if held != state:
                raise Violation(f"I5: {workflow_id} was recovered as {held}, its fold is {state}")
        for workflow_id in machine.table.ids():
            if workflow_id not in expected:
                raise Violation(f"I5: {workflow_id} was recovered, the log does not have it")

    def told(self, partition: int, request_id: str, answer: Answer) -> None:
        """Check that an answer is what the log says, at the moment at which it is given."""
        entries = self._requests.get((partition, request_id), [])
        for entry in entries:
            decision = entry.record
            if not decision.parked and decision.rejection != answer.rejected:
                continue
            newest = self._books[partition].states.get(answer.workflow_id)
            if answer.state is None and (entry.state is None or newest is None or newest.is_terminal):
                return  # an ended workflow may have been let go of, also before an answer is repeated
            if answer.state is not None and (entry.state is None or answer.state.version >= entry.state.version):
                return  # repeated after a crash, an answer shows the newest state
        raise Violation(f"request {request_id} is answered {answer}, but the log says {entries}")

    def dispatched(self, partition: int, workflow_id: WorkflowId, seq: TaskSeq) -> None:
        """Check that a dispatched attempt is in the log (I6)."""
        if (workflow_id, seq) not in self._scheduled:
            raise Violation(f"I6: task {seq} of {workflow_id} is dispatched, partition {partition} does not have it")

    def sent(self, partition: int, command: Command) -> None:
        """Check that a command to another workflow has its cause in the log."""
        match command:
            case StartWorkflow():
                is_caused = command.workflow_id in self._children
            case ReportChildEnd():
                is_caused = (command.child_id, command.status) in self._ended
            case ReviveTask():
                is_caused = command.child_id in self._children
            case ResumeChild():
                is_caused = command.workflow_id in self._children
            case TerminateWorkflow():
                is_caused = command.workflow_id in self._unwanted
            case _:
                is_caused = False
        if not is_caused:
            raise Violation(f"partition {partition} sends {command}, for which the log has no cause")

    def announced(self, partition: int, state: WorkflowState) -> None:
        """Check that an announced outcome is in the log."""
        if (state.workflow_id, state.status) not in self._ended:
            raise Violation(f"partition {partition} announces {state.status} of {state.workflow_id}, the log does not")

    # ---- what the others ask

    def book(self, partition: int) -> Book:
        """Return the believed log of a partition."""
        return self._books[partition]

    @property
    def decisions(self) -> int:
        """How many decisions the believed log has."""
        return sum(len(book.entries) for book in self._books)

    def states(self) -> list[WorkflowState]:
        """Return every workflow as the log has it."""
        return [state for book in self._books for state in book.states.values()]

    def known_ids(self) -> list[WorkflowId]:
        """Return the ids of all workflows of the log."""
        return [workflow_id for book in self._books for workflow_id in book.states]

    def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow as the log has it."""
        for book in self._books:
            if workflow_id in book.states:
                return book.states[workflow_id]
        return None

    def definition_of(self, workflow_id: WorkflowId) -> str:
        """Return the name of the definition that a workflow runs by."""
        state = self.state(workflow_id)
        return "" if state is None else state.started.name


def describe(partition: int, entry: Entry) -> str:
    """Return a decision as a line of the trace."""
    record = entry.record
    what = " ".join(_event_text(event) for event in record.events)
    if record.rejection is not None:
        what = f"rejected {record.rejection.code}"
    if record.parked:
        what = f"parked: {record.parked[:60]}"
    if record.forwarded is not None:
        what = f"forwarded to {record.forwarded}"
    place = f"{partition}:{record.sequence}@{record.epoch}"
    return f"{place} {record.cause}#{record.command_offset} {record.workflow_id} {what or 'nothing'}"


def _event_text(event: Event) -> str:
    seq = getattr(event, "seq", "")
    status = getattr(event, "status", "")
    return f"{type(event).__name__}({seq}{' ' + status if status else ''})"
