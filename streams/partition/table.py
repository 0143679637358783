"""The workflows of a partition, in memory.

Holds the busy ones as states and the idle ones packed. Must not decide which exist: it is told. Keeps the invariant
that a packed workflow is the same workflow: whoever asks for it gets its state.
"""

from collections.abc import Iterator
from typing import Final

from engine.codec import pack, unpack
from engine.events import Event, WorkflowRemoved
from engine.ids import WorkflowId, generation_of
from engine.model import WorkflowState

HOT_MAX: Final = 50_000
"""States held decoded; about 4 KB each for three tasks."""
ENDED_IDS_MAX: Final = 200_000
"""Ids of ended workflows that a client chose, kept so that a repeated start meets its first. About 150 bytes each."""


class WorkflowTable:
    """A map from ids to states that packs what has not been touched for longest."""

    def __init__(self, *, hot_max: int = HOT_MAX) -> None:
        """Begin empty."""
        self._hot: dict[WorkflowId, WorkflowState] = {}
        self._packed: dict[WorkflowId, bytes] = {}
        self._ended: dict[WorkflowId, None] = {}
        self._removed: dict[WorkflowId, None] = {}
        self._hot_max = hot_max
        self._newest: dict[WorkflowId, WorkflowId] = {}
        """The newest workflow of each idempotency key that has had more than one, by the id of the first."""

    def __len__(self) -> int:
        return len(self._hot) + len(self._packed)

    def __contains__(self, workflow_id: object) -> bool:
        return workflow_id in self._hot or workflow_id in self._packed

    def get(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state, unpacking it if it was idle."""
        state = self._hot.get(workflow_id)
        if state is not None:
            return state
        packed = self._packed.pop(workflow_id, None)
        if packed is None:
            return None
        state = unpack(packed)
        self.put(state)
        return state

    def peek(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state without making it busy."""
        state = self._hot.get(workflow_id)
        if state is None:
            packed = self._packed.get(workflow_id)
            state = None if packed is None else unpack(packed)
        return state

    def take(self, state: WorkflowState, last: Event) -> None:
        """Hold a workflow as a decision has left it, of which `last` is the last event: unless it was removed."""
        if isinstance(last, WorkflowRemoved):
            self.remove(state.workflow_id)
        else:
            self.put(state)

    def put(self, state: WorkflowState) -> None:
        """Hold a state as the newest of its workflow."""
        workflow_id = state.workflow_id
        if self._hot.pop(workflow_id, None) is None:
            self._note_successor(workflow_id)
        self._hot[workflow_id] = state
        if self._packed:
            self._packed.pop(workflow_id, None)
        if len(self._hot) > self._hot_max:
            self._pack_oldest()

    def put_packed(self, workflow_id: WorkflowId, packed: bytes) -> None:
        """Hold a workflow that nobody has asked for yet."""
        self._packed[workflow_id] = packed
        self._note_successor(workflow_id)

    def packed(self, workflow_id: WorkflowId) -> bytes | None:
        """Return a workflow as bytes, for a snapshot."""
        state = self._hot.get(workflow_id)
        return pack(state) if state is not None else self._packed.get(workflow_id)

    def drop(self, workflow_id: WorkflowId) -> None:
        """Forget a workflow."""
        self._hot.pop(workflow_id, None)
        self._packed.pop(workflow_id, None)

    def note_ended(self, workflow_id: WorkflowId) -> None:
        """Remember that a workflow with this id, which a client chose, ran and ended."""
        self._ended.pop(workflow_id, None)
        self._ended[workflow_id] = None
        self._note_successor(workflow_id)
        if len(self._ended) > ENDED_IDS_MAX:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            named = generation_of(oldest)
            if named is not None and self._newest.get(named[0]) == oldest and oldest not in self:
                del self._newest[named[0]]

    def remove(self, workflow_id: WorkflowId) -> None:
        """Forget a workflow for good: it is not to come back, nor to be started again."""
        self.drop(workflow_id)
        self.note_ended(workflow_id)
        self._removed[workflow_id] = None
        if len(self._removed) > ENDED_IDS_MAX:
            del self._removed[next(iter(self._removed))]

    def is_removed(self, workflow_id: WorkflowId) -> bool:
        """Tell whether a workflow was removed, so that its history, too, is about to be gone."""
        return workflow_id in self._removed

    def has_ended(self, workflow_id: WorkflowId) -> bool:
        """Tell whether such a workflow ran and ended, and is no longer held."""
        return workflow_id in self._ended

    def holder_of(self, first: WorkflowId) -> WorkflowId:
        """Return the newest workflow of an idempotency key, whose first has the id `first` if there ever was one."""
        return self._newest.get(first, first)

    def states(self) -> Iterator[WorkflowState]:
        """Yield every workflow's state, without making idle ones busy."""
        yield from list(self._hot.values())
        for packed in list(self._packed.values()):
            yield unpack(packed)

    def ids(self) -> list[WorkflowId]:
        """Return the ids of all workflows held."""
        return [*self._hot, *self._packed]

    def _note_successor(self, workflow_id: WorkflowId) -> None:
        named = generation_of(workflow_id)
        if named is None:
            return
        first, generation = named
        known = generation_of(self._newest.get(first, first))
        if known is None or known[1] < generation:
            self._newest[first] = workflow_id

    def _pack_oldest(self) -> None:
        """Pack a tenth at once: one at a time would make every decision pay for another workflow."""
        for workflow_id in list(self._hot)[: max(1, self._hot_max // 10)]:
            self._packed[workflow_id] = pack(self._hot.pop(workflow_id))
