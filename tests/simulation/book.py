"""One partition's believed log, read by rules of its own.

Holds the second implementation of the reading rule: newest claim, sequence, hash, parts, command offsets; and a check
of every event against the state before it. Must not import `streams.partition`. Keeps every state that ever was, so
that any moment can be compared.
"""

import hashlib

import msgspec

from engine.applier import apply
from engine.errors import InvariantViolated
from engine.events import (
    Event,
    ParentHeeded,
    ResultIgnored,
    TaskEnded,
    TaskReleased,
    TaskScheduled,
    WorkflowEnded,
    WorkflowRemoved,
    WorkflowReopened,
    WorkflowRestarted,
)
from engine.ids import RefName, WorkflowId
from engine.model import EndedTask, OpenTask, PendingTask, WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from streams.ports import LogRecord
from streams.records import DecisionPart, DecisionRecord, OwnerClaimed, decode, decode_decision
from tests.simulation.violation import Violation

_ALLOWED_AFTER_THE_END = (WorkflowReopened, WorkflowRestarted, ResultIgnored, ParentHeeded, WorkflowRemoved)
_CAUSED_BY_TIME = ("fire_timer", "evaluate_workflow")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A believed decision, where it ends in the log, and the state of its workflow after it."""

    record: DecisionRecord
    offset: int
    state: WorkflowState | None


class Book:
    """The believed log of one partition."""

    def __init__(self, partition: int) -> None:
        """Begin at the start of the partition."""
        self.partition = partition
        self.next_offset = 0
        self.entries: list[Entry] = []
        self.states: dict[WorkflowId, WorkflowState] = {}
        self.claims: list[int] = []
        self._hash = ""
        self._epoch = -1
        self._command_offset = -1
        self._at_ms = 0
        self._parts: list[DecisionPart] = []
        self.late_ms = 0
        """How late the newest decision was, if a timer was its cause."""

    def read(self, record: LogRecord) -> Entry | None:
        """Take the next record; return what it adds to the believed log, if anything."""
        self.next_offset = record.offset + 1
        value = record.value or b""
        found = decode(value)
        if isinstance(found, OwnerClaimed):
            self._epoch = record.offset
            self._parts.clear()
            self._hash = _hashed(self._hash, value)
            self.claims.append(record.offset)
            return None
        if found.epoch != self._epoch:
            return None
        if isinstance(found, DecisionPart):
            self._parts.append(found)
            if len(self._parts) < found.parts:
                return None
            value = "".join(part.text for part in self._parts).encode()
            self._parts.clear()
            found = decode_decision(value)
        return self._believe(record, value, found)

    def entry(self, sequence: int) -> Entry | None:
        """Return a decision by its number, if the log has it."""
        return self.entries[sequence - 1] if 0 < sequence <= len(self.entries) else None

    def sequence_before(self, offset: int) -> int:
        """Return the number of the last decision before an offset."""
        sequence = len(self.entries)
        while sequence and self.entries[sequence - 1].offset > offset:
            sequence -= 1
        return sequence

    def states_at(self, sequence: int) -> dict[WorkflowId, WorkflowState]:
        """Return every workflow as it was after a decision."""
        found: dict[WorkflowId, WorkflowState] = {}
        for entry in self.entries[:sequence]:
            if entry.record.events and entry.state is not None:
                found[entry.record.workflow_id] = entry.state
        return found

    def _believe(self, record: LogRecord, value: bytes, decision: DecisionRecord) -> Entry:
        where = f"events[{self.partition}] offset {record.offset}"
        if decision.sequence != len(self.entries) + 1 or decision.previous != self._hash or self._parts:
            raise Violation(
                f"I10: {where} has decision {decision.sequence} after {len(self.entries)}, out of the chain"
            )
        if -1 < decision.command_offset <= self._command_offset:
            raise Violation(f"{where}: command {decision.command_offset} is decided a second time")
        if decision.command_offset > self._command_offset + 1:
            raise Violation(
                f"{where}: command {decision.command_offset} follows {self._command_offset}: one was left out"
            )
        if decision.at_ms < self._at_ms:
            raise Violation(f"I8: {where} is of {decision.at_ms}, before the decision before it ({self._at_ms})")
        self._hash = _hashed(self._hash, value)
        self._command_offset = max(self._command_offset, decision.command_offset)
        self._at_ms = decision.at_ms
        state = self.states.get(decision.workflow_id)
        self.late_ms = _late_ms(state, decision)
        for event in decision.events:
            state = _checked(where, state, event, decision.cause)
        if decision.events and state is not None:
            self.states[decision.workflow_id] = state
        entry = Entry(record=decision, offset=record.offset, state=state)
        self.entries.append(entry)
        return entry


def _hashed(previous: str, value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=8, key=previous.encode()).hexdigest()


def _checked(where: str, state: WorkflowState | None, event: Event, cause: str) -> WorkflowState:
    """Return the state after an event that is legal where it stands."""
    if state is not None:
        if state.is_terminal and not isinstance(event, _ALLOWED_AFTER_THE_END) and not _is_rewritten(state, event):
            raise Violation(f"I4: {where}: {event} after {state.workflow_id} has ended {state.status}")
        if isinstance(event, WorkflowEnded):
            _check_end(where, state, event)
        elif isinstance(event, TaskEnded):
            _check_task_end(where, state, event, cause)
        elif isinstance(event, TaskReleased):
            _check_release(where, state, event)
        elif isinstance(event, TaskScheduled) and event.seq != state.last_seq + 1:
            raise Violation(f"I3: {where}: task {event.seq} of {state.workflow_id} follows {state.last_seq}")
    try:
        return apply(state, event)
    except InvariantViolated as error:
        raise Violation(f"I3: {where}: {error}") from error


def _late_ms(state: WorkflowState | None, decision: DecisionRecord) -> int:
    """Return how long after its instant a timer fired: the last instant that can have been meant."""
    if state is None or decision.cause != "fire_timer":
        return 0
    first = decision.events[0]
    if isinstance(first, WorkflowEnded):
        due_at_ms = state.clock_from_ms + state.started.timeout_ms
    else:
        task = state.tasks[first.seq] if isinstance(first, TaskEnded | TaskReleased) else None
        if task is None or isinstance(task, EndedTask):
            return 0
        instants = [due for due in _instants(task) if due <= decision.at_ms]
        due_at_ms = max(instants, default=decision.at_ms)
    return decision.at_ms - max(due_at_ms, state.clock_from_ms)


def _instants(task: OpenTask) -> list[int]:
    """Return every instant at which something about a task may become due."""
    spec, progress, limits = task.spec, task.progress, task.spec.timeouts
    bounds = (
        (limits.total_ms, spec.first_scheduled_at_ms or spec.at_ms),
        (limits.run_ms, progress.started_at_ms),
        (limits.response_ms, progress.updated_at_ms),
        (limits.poll_ms, progress.updated_at_ms),
    )
    found = [begun + bound for bound, begun in bounds if bound and begun]
    if isinstance(task, PendingTask) and task.due_at_ms:
        found.append(task.due_at_ms)
    if spec.wakes_at_ms:
        found.append(spec.wakes_at_ms)
    return found


def _is_rewritten(state: WorkflowState, event: Event) -> bool:
    """Whether an operator terminates what has ended badly: it is then TERMINATED."""
    ended_badly = state.status in {WorkflowStatus.FAILED, WorkflowStatus.TIMED_OUT}
    return ended_badly and isinstance(event, WorkflowEnded) and event.status is WorkflowStatus.TERMINATED


def _check_end(where: str, state: WorkflowState, event: WorkflowEnded) -> None:
    """A workflow ends with nothing open, counted by hand."""
    left = [task.spec.ref for task in state.tasks.values() if not isinstance(task, EndedTask)]
    if left:
        raise Violation(f"I4: {where}: {state.workflow_id} ends {event.status} while {left} are open")
    if event.status is WorkflowStatus.TIMED_OUT and event.failed_seq is None:
        due_at_ms = state.clock_from_ms + state.started.timeout_ms
        if event.at_ms < due_at_ms:
            raise Violation(f"I8: {where}: {state.workflow_id} times out at {event.at_ms}, due {due_at_ms}")


def _check_release(where: str, state: WorkflowState, event: TaskReleased) -> None:
    task = state.tasks[event.seq]
    if not isinstance(task, PendingTask) or not task.due_at_ms or event.at_ms < task.due_at_ms:
        raise Violation(f"I8: {where}: {task} is released at {event.at_ms}")


def _check_task_end(where: str, state: WorkflowState, event: TaskEnded, cause: str) -> None:
    task = state.tasks.get(event.seq)
    if task is None or isinstance(task, EndedTask):
        raise Violation(f"I3: {where}: task {event.seq} of {state.workflow_id} ends again: {task}")
    spec = task.spec
    if event.status is TaskStatus.TIMED_OUT and cause in _CAUSED_BY_TIME:
        if min(_instants(task), default=event.at_ms + 1) > event.at_ms:
            raise Violation(f"I8: {where}: {task} of {state.workflow_id} times out at {event.at_ms}")
    elif spec.type == "JOIN" and event.status not in {TaskStatus.CANCELED, TaskStatus.SKIPPED}:
        _check_join(where, state, spec)
    elif spec.wakes_at_ms > event.at_ms and event.status is TaskStatus.COMPLETED and cause in _CAUSED_BY_TIME:
        raise Violation(f"I8: {where}: {task} of {state.workflow_id} wakes at {event.at_ms}")


def _check_join(where: str, state: WorkflowState, spec: TaskScheduled) -> None:
    """A JOIN ends when all that it awaits has ended for good, or when nothing that it awaits can still come."""
    open_tasks = [task.spec for task in state.tasks.values() if not isinstance(task, EndedTask)]
    scope = spec.awaits_scope
    inside = [task.ref for task in open_tasks if _is_inside(state, task.scope, scope)]
    missing = [ref for ref in spec.join_on if not _has_ended_for_good(state, ref)]
    if scope and not inside:
        return  # a ref that is missing lies on a branch that was not taken
    if not scope:  # its FORK was skipped, or there is none: only what was begun can still end
        missing = [ref for ref in missing if state.task(ref) is not None]
    elif not spec.join_on:
        missing = [RefName("everything")]
    if missing and any(task.type != "JOIN" for task in open_tasks):
        raise Violation(f"I4: {where}: {spec.ref} of {state.workflow_id} ends; missing {missing}, open {inside}")


def _is_inside(state: WorkflowState, innermost: RefName, scope: RefName) -> bool:
    ref = innermost
    while ref:
        if ref == scope:
            return True
        ref = state.scopes[ref].parent
    return False


def _has_ended_for_good(state: WorkflowState, ref: RefName) -> bool:
    task = state.task(ref)
    return isinstance(task, EndedTask) and task.final
