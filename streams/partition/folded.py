"""What the log makes of a partition: its workflows and limiters, and its place in the chain of records.

Holds the fold, from nothing or from snapshots. Must not decide, nor perform an effect. Keeps the invariant that whoever
has read the same records holds the same states: an owner that decided them, or one that comes after it.
"""

from collections import deque

from engine.applier import apply
from engine.events import WorkflowStarted
from engine.ids import WorkflowId
from engine.limiter.ids import is_limiter_id
from engine.model import WorkflowState
from streams.errors import SnapshotUnfit
from streams.partition.chain import Chain, ChainPosition
from streams.partition.limiters import LimiterTable
from streams.partition.table import WorkflowTable
from streams.partition.timers import WHOLE_WORKFLOW, Timers
from streams.partition.turn import Turn
from streams.ports import LogRecord
from streams.records import DecisionRecord, OwnerClaimed


class FoldedPartition:
    """A partition as its log says it is."""

    def __init__(self, partition: int) -> None:
        """Begin knowing nothing."""
        self.partition = partition
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know nothing of the partition: before its first record, or when a snapshot has turned out to be unfit."""
        self.table = WorkflowTable()
        self.limiters = LimiterTable()
        self.timers = Timers()
        self.chain = Chain(self.partition)
        self.changed: dict[WorkflowId, int] = {}
        """Workflows and limiters that changed since their last snapshot, with the number of their last decision."""
        self.acknowledged_position = ChainPosition()
        self.effects_sent = 0
        self._is_from_snapshot = False
        self._restored: dict[WorkflowId, int] = {}
        self._undone: deque[DecisionRecord] = deque()
        self._in_flight: deque[Turn] = deque()

    def restore(self, position: ChainPosition) -> None:
        """Stand where the newest complete snapshot stood."""
        self.chain = Chain(self.partition, position)
        self.acknowledged_position = position
        self.effects_sent = position.effects_sent
        self._is_from_snapshot = True

    def restore_workflow(self, workflow_id: WorkflowId, packed: bytes, *, sequence: int, due_at_ms: int) -> None:
        """Hold a workflow as a snapshot has it: after decision `sequence`, its first timer due at `due_at_ms`."""
        holder = self.limiters if is_limiter_id(workflow_id) else self.table
        holder.put_packed(workflow_id, packed)
        self._restored[workflow_id] = sequence
        if due_at_ms:
            self.timers.arm(workflow_id, WHOLE_WORKFLOW, due_at_ms)

    def restore_left(self, workflow_id: WorkflowId, *, sequence: int) -> None:
        """Know that nobody holds a workflow, or a limiter, any more since decision `sequence`."""
        self._restored[workflow_id] = sequence

    def replay(self, record: LogRecord) -> OwnerClaimed | None:
        """Fold one record of the log; return it if it is a claim.

        Raises:
            LogCorrupt: the log is not what it should be.
            SnapshotUnfit: the log is, but what was restored does not lead to it; `begin_anew`.
        """
        entry = self.chain.read(record)
        if entry is None or isinstance(entry, OwnerClaimed):
            self._forget_done()
            return entry
        self._refold(entry)
        self._undone.append(entry)
        self._forget_done()
        return None

    def adopt(self, state: WorkflowState) -> None:
        """Hold an ended workflow again, from the history: somebody asks for an operation on it."""
        if state.workflow_id not in self.table:
            self.table.put(state)

    def evict(self, workflow_id: WorkflowId) -> None:
        """Forget an ended workflow. The history has it."""
        state = self.table.get(workflow_id)
        if state is None or not state.is_terminal:
            return
        if not state.started.generated_id or state.started.parent is not None:
            self.table.note_ended(workflow_id)  # somebody may start it again: a client, or a former owner of its parent
        self.table.drop(workflow_id)
        self.changed[workflow_id] = self.chain.sequence

    def hold(self, record: DecisionRecord, state: WorkflowState) -> None:
        """Hold a workflow as a decision has left it, unless that has removed it."""
        self.table.take(state, record.events[-1])
        self.changed[record.workflow_id] = record.sequence

    def _refold(self, record: DecisionRecord) -> None:
        workflow_id = record.workflow_id
        if self._restored and self._restored.get(workflow_id, -1) >= record.sequence:
            return
        if record.limiter_events:
            self.limiters.refold(record, is_from_snapshot=self._is_from_snapshot)
            self.changed[workflow_id] = record.sequence
        if not record.events:
            return
        state = self.table.get(workflow_id)
        if state is None and self._is_from_snapshot and not isinstance(record.events[0], WorkflowStarted):
            raise SnapshotUnfit(
                f"partition {self.partition}, decision {record.sequence}: {workflow_id} goes on with "
                f"{type(record.events[0]).__name__}, and the snapshot does not have it"
            )
        for event in record.events:
            state = apply(state, event)
        if state is not None:
            self.hold(record, state)

    def _forget_done(self) -> None:
        while self._undone and self._undone[0].sequence <= self.chain.effects_sent:
            self._undone.popleft()
