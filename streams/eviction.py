"""Forgetting workflows that have ended.

Holds, per partition, which ended workflows are still in memory. Must not forget what the history does not have: then
nobody could show it. Keeps the invariant that a workflow leaves memory only after the projection has passed the
decision that ended it.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engine.ids import WorkflowId
from streams.ownership import OwnedPartitions

GRACE_MS: Final = 5_000
"""An ended workflow is most likely asked for just after its end."""


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    offset: int
    at_ms: int


class Evictions:
    """Ended workflows, oldest first."""

    def __init__(self, owned: OwnedPartitions, *, projected: Callable[[int], int], now_ms: Callable[[], int]) -> None:
        """`projected(partition)` tells the next `events` offset that the history has not seen yet."""
        self._owned = owned
        self._projected = projected
        self._now_ms = now_ms
        self._ended: dict[int, deque[_Ended]] = {}

    def note(self, partition: int, workflow_id: WorkflowId) -> None:
        """Take note that a workflow has ended, or was taken back into memory as an ended one."""
        processor = self._owned.processor(partition)
        offset = 0 if processor is None else processor.machine.acknowledged_position.next_offset
        ended = _Ended(workflow_id=workflow_id, offset=offset, at_ms=self._now_ms())
        self._ended.setdefault(partition, deque()).append(ended)

    def evict(self) -> int:
        """Forget what may be forgotten now; return how many workflows that were."""
        count = 0
        for partition, ended in self._ended.items():
            processor = self._owned.processor(partition)
            if processor is None:
                ended.clear()  # whoever recovers the partition notes its ended workflows again
                continue
            projected = self._projected(partition)
            while ended and ended[0].offset <= projected and ended[0].at_ms + GRACE_MS <= self._now_ms():
                processor.machine.evict(ended.popleft().workflow_id)
                count += 1
        return count
