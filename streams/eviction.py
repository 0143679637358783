"""Forgetting workflows that have ended.

Holds, per partition, which ended workflows are still in memory. Must not forget what the history does not have: then
nobody could show it. Keeps the invariant that a workflow leaves memory only after the projection has passed the newest
decision about it, and after all effects of that decision have arrived: nobody could derive them again.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.ownership import OwnedPartitions
from streams.partition.processor import PartitionProcessor

GRACE_MS: Final = 5_000
"""An ended workflow is most likely asked for just after its end."""


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An ended workflow as it was at `at_ms`, when decision `sequence` was the newest."""

    workflow_id: WorkflowId
    version: int
    sequence: int
    at_ms: int
    before_offset: int = 0
    """All of it lies before this offset of `events`; 0 while that is not known."""


class _Waiting:
    """The ended workflows of one partition: in their grace, then waiting for the history. Oldest first.

    Never more than the partition has in memory; while the history is away that grows by what ends.
    """

    def __init__(self) -> None:
        self.in_grace: deque[_Ended] = deque()
        self.settled: deque[_Ended] = deque()


class Evictions:
    """Ended workflows, oldest first."""

    def __init__(self, owned: OwnedPartitions, *, projected: Callable[[int], int], now_ms: Callable[[], int]) -> None:
        """`projected(partition)` tells the next `events` offset that the history has not seen yet."""
        self._owned = owned
        self._projected = projected
        self._now_ms = now_ms
        self._waiting: dict[int, _Waiting] = {}

    def note(self, partition: int, state: WorkflowState) -> None:
        """Take note that a workflow has ended, or was found or taken back as an ended one."""
        processor = self._owned.processor(partition)
        if processor is not None:
            self._note(self._waiting.setdefault(partition, _Waiting()), processor, state)

    def evict(self) -> int:
        """Forget what may be forgotten now; return how many workflows that were."""
        count = 0
        for partition in list(self._waiting):
            processor = self._owned.processor(partition)
            if processor is None:
                del self._waiting[partition]  # whoever recovers the partition notes its ended workflows again
            else:
                self._settle(self._waiting[partition], processor)
                count += self._forget(self._waiting[partition], processor, self._projected(partition))
        return count

    def _settle(self, waiting: _Waiting, processor: PartitionProcessor) -> None:
        """Find out, for those whose grace is over, before which offset all of them lies."""
        machine = processor.machine
        in_grace = waiting.in_grace
        latest_ms = self._now_ms() - GRACE_MS
        while in_grace and in_grace[0].at_ms <= latest_ms and in_grace[0].sequence <= machine.effects_sent:
            before_offset = machine.acknowledged_position.next_offset
            waiting.settled.append(msgspec.structs.replace(in_grace.popleft(), before_offset=before_offset))

    def _forget(self, waiting: _Waiting, processor: PartitionProcessor, projected: int) -> int:
        count = 0
        while waiting.settled and waiting.settled[0].before_offset <= projected:
            ended = waiting.settled.popleft()
            state = processor.machine.table.peek(ended.workflow_id)
            if state is None or not state.is_terminal:
                continue
            if state.version != ended.version:
                self._note(waiting, processor, state)  # a late result, say, has come after its end
            else:
                processor.machine.evict(ended.workflow_id)
                count += 1
        return count

    def _note(self, waiting: _Waiting, processor: PartitionProcessor, state: WorkflowState) -> None:
        waiting.in_grace.append(
            _Ended(
                workflow_id=state.workflow_id,
                version=state.version,
                sequence=processor.machine.chain.sequence,
                at_ms=self._now_ms(),
            )
        )
