"""The timers of a partition: which attempt must be looked at when.

Holds a heap of instants. Must not read the clock, nor hold what the state does not say: after a crash it is rebuilt
from the states. Keeps the invariant that an attempt has at most one timer, the last one armed, and that the heap stays
within twice the timers in force.
"""

import heapq
from typing import Final, TypeAlias

from engine.ids import TaskSeq, WorkflowId

TimerKey: TypeAlias = tuple[WorkflowId, TaskSeq]

WHOLE_WORKFLOW: Final = TaskSeq(-1)
"""The timer of a workflow that is packed: it stands for all of its timers."""

_SLACK: Final = 1_024


class Timers:
    """A priority queue with replacement. All instants are epoch milliseconds."""

    def __init__(self) -> None:
        """Begin with nothing armed."""
        self._heap: list[tuple[int, WorkflowId, TaskSeq]] = []
        self._due: dict[TimerKey, int] = {}

    def __len__(self) -> int:
        return len(self._due)

    def arm(self, workflow_id: WorkflowId, seq: TaskSeq, due_at_ms: int) -> None:
        """Fire at `due_at_ms` instead of whenever this timer was to fire before."""
        key = (workflow_id, seq)
        if self._due.get(key) == due_at_ms:
            return
        self._due[key] = due_at_ms
        heapq.heappush(self._heap, (due_at_ms, workflow_id, seq))
        self._shrink()

    def disarm(self, workflow_id: WorkflowId, seq: TaskSeq) -> None:
        """Forget a timer, if there is one."""
        if self._due.pop((workflow_id, seq), None) is not None:
            self._shrink()

    def next_due_at_ms(self) -> int | None:
        """Return when the first timer is due, or None if none is armed."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ms: int, *, timers_max: int) -> list[TimerKey]:
        """Return, and forget, the timers that are due now, earliest first."""
        due: list[TimerKey] = []
        while len(due) < timers_max:
            self._drop_stale()
            if not self._heap or self._heap[0][0] > now_ms:
                break
            _, workflow_id, seq = heapq.heappop(self._heap)
            del self._due[(workflow_id, seq)]
            due.append((workflow_id, seq))
        return due

    def _shrink(self) -> None:
        """Build the heap anew when most of it is stale: seldom enough to cost nothing per timer."""
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(due, *key) for key, due in self._due.items()]
            heapq.heapify(self._heap)

    def _drop_stale(self) -> None:
        while self._heap:
            due_at_ms, workflow_id, seq = self._heap[0]
            if self._due.get((workflow_id, seq)) == due_at_ms:
                return
            heapq.heappop(self._heap)
