"""The states of one partition's workflows, as far as they are kept between batches.

Holds the fold on the projection's side. Must not read the log or the store: what is missing is handed in. Keeps the
invariant that a state is only dropped when all its events are written, because then it can be folded again from the
store.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from engine.applier import apply
from engine.events import Event, PassDropped, TasksDropped, WorkflowRestarted, WorkflowStarted
from engine.ids import TaskSeq, WorkflowId
from engine.model import WorkflowState
from streams.errors import LogCorrupt
from streams.history.batch import Batch, TouchedTask, TouchedWorkflow
from streams.history.rows import Row, event_row
from streams.records import DecisionRecord

TAKES_TASKS_AWAY: Final = frozenset({PassDropped, TasksDropped, WorkflowRestarted})
"""Events after which attempts are no longer in the state. Every other event changes no attempt but its own."""


class _Kept:
    """A state with what the fold alone does not tell. `batch_number` is the last batch that has events of it."""

    __slots__ = ("batch_number", "created_at_ms", "state", "weight")

    def __init__(self, state: WorkflowState, created_at_ms: int, batch_number: int) -> None:
        self.state = state
        self.created_at_ms = created_at_ms
        self.batch_number = batch_number
        self.weight = 1 + len(state.tasks)


class Folding:
    """One decision on its way into a batch. Its events may be applied in several steps; it is added in one."""

    def __init__(
        self, decision: DecisionRecord, *, partition: int, position: int, known: tuple[int, WorkflowState] | None
    ) -> None:
        self._decision = decision
        self._partition = partition
        self._position = position
        self._state = known[1] if known is not None else None
        self._created_at_ms = known[0] if known is not None else 0
        self._tasks: dict[tuple[WorkflowId, TaskSeq], TouchedTask] = {}

    def apply(self, events: Sequence[Event]) -> list[Row]:
        """Apply the next events and return their rows."""
        decision = self._decision
        state = self._state
        rows: list[Row] = []
        for event in events:
            if state is None:
                self._created_at_ms = decision.at_ms
            state = apply(state, event)
            rows.append(
                event_row(
                    created_at_ms=self._created_at_ms,
                    workflow_id=decision.workflow_id,
                    version=state.version,
                    position=self._position,
                    partition=self._partition,
                    at_ms=decision.at_ms,
                    cause=decision.cause,
                    event=event,
                )
            )
            self._touch(state, event)
        self._state = state
        return rows

    def take(self, state: WorkflowState) -> list[Row]:
        """Take over the state that the decision's owner has after it, and return the rows of its events.

        The same rows as by `apply`: of an attempt only its state after the last event about it counts, and that is how
        it stands at the end, unless it has been taken away. Such a decision is to be applied.
        """
        decision = self._decision
        workflow_id = decision.workflow_id
        version = state.version - len(decision.events)
        if self._state is None:
            self._created_at_ms = decision.at_ms
        created_at_ms = self._created_at_ms
        rows: list[Row] = []
        changed: dict[TaskSeq, int] = {}
        for event in decision.events:
            version += 1
            row = event_row(
                created_at_ms=created_at_ms,
                workflow_id=workflow_id,
                version=version,
                position=self._position,
                partition=self._partition,
                at_ms=decision.at_ms,
                cause=decision.cause,
                event=event,
            )
            rows.append(row)
            seq: TaskSeq | None = getattr(event, "seq", None)
            if seq is not None:
                changed[seq] = version
        for seq, event_version in changed.items():
            task = state.tasks.get(seq)
            if task is not None:
                self._tasks[workflow_id, seq] = TouchedTask(
                    started=state.started, task=task, created_at_ms=created_at_ms, event_version=event_version
                )
        self._state = state
        return rows

    def add_to(self, batch: Batch) -> tuple[int, WorkflowState]:
        """Add the workflow and the attempts that the decision changed; return what is to be kept of it."""
        if self._state is None:
            message = f"decision {self._decision.sequence} of {self._decision.workflow_id} has no events to fold"
            raise LogCorrupt(message)
        batch.workflows[self._decision.workflow_id] = TouchedWorkflow(
            state=self._state,
            created_at_ms=self._created_at_ms,
            position=self._position,
            partition=self._partition,
        )
        batch.tasks.update(self._tasks)
        return self._created_at_ms, self._state

    def _touch(self, state: WorkflowState, event: Event) -> None:
        seq: TaskSeq | None = getattr(event, "seq", None)
        # A report about an attempt of an earlier run names one that the state no longer has.
        task = state.tasks.get(seq) if seq is not None else None
        if seq is not None and task is not None:
            self._tasks[state.workflow_id, seq] = TouchedTask(
                started=state.started,
                task=task,
                created_at_ms=self._created_at_ms,
                event_version=state.version,
            )


class Folds:
    """The kept states of one partition, least recently used first."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._kept: dict[WorkflowId, _Kept] = {}
        self._ended: deque[tuple[WorkflowId, int]] = deque()
        """Ended workflows with the batch of their newest events, oldest first; some of them have gone on since."""
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def missing(self, decisions: Iterable[DecisionRecord]) -> list[WorkflowId]:
        """Return the workflows whose states are neither kept nor begun by the decisions themselves."""
        begun: set[WorkflowId] = set()
        missing: dict[WorkflowId, None] = {}
        for decision in decisions:
            workflow_id = decision.workflow_id
            if not decision.events or workflow_id in self._kept or workflow_id in begun:
                continue
            begun.add(workflow_id)
            if not isinstance(decision.events[0], WorkflowStarted):
                missing[workflow_id] = None
        return list(missing)

    def begin(
        self,
        decision: DecisionRecord,
        *,
        position: int,
        found: dict[WorkflowId, tuple[int, WorkflowState] | None],
    ) -> Folding:
        """Begin to fold a decision onto the state that is kept, or was found in the store."""
        workflow_id = decision.workflow_id
        known: tuple[int, WorkflowState] | None = None
        if not isinstance(decision.events[0], WorkflowStarted):
            kept = self._kept.get(workflow_id)
            known = (kept.created_at_ms, kept.state) if kept is not None else found.get(workflow_id)
        return Folding(decision, partition=self._partition, position=position, known=known)

    def keep(self, workflow_id: WorkflowId, created_at_ms: int, state: WorkflowState, *, batch: Batch) -> None:
        """Keep a state whose newest events are in `batch`."""
        before = self._kept.pop(workflow_id, None)
        kept = _Kept(state, created_at_ms, batch.number)
        self._kept[workflow_id] = kept
        self._weight += kept.weight - (before.weight if before is not None else 0)
        if state.is_terminal:
            self._ended.append((workflow_id, batch.number))

    def drop_written(self, *, written: int, weight_max: int) -> None:
        """Drop what is written up to batch `written`: the ended workflows, and the least recently used above a weight.

        A workflow weighs one, and one more per task. Not to be called between `missing` and the folds it was asked for.
        """
        while self._ended and self._ended[0][1] <= written:
            workflow_id, _ = self._ended.popleft()
            kept = self._kept.get(workflow_id)
            if kept is not None and kept.batch_number <= written and kept.state.is_terminal:
                self._drop(workflow_id)
        while self._weight > weight_max and self._kept:
            workflow_id = next(iter(self._kept))
            if self._kept[workflow_id].batch_number > written:
                return
            self._drop(workflow_id)

    def _drop(self, workflow_id: WorkflowId) -> None:
        self._weight -= self._kept.pop(workflow_id).weight
