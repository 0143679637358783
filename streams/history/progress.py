"""Who waits for an event to be projected.

Holds the waiters of this process. Must not ask the store. Keeps no waiter that has gone.
"""

import asyncio
from collections.abc import Iterable

from engine.ids import WorkflowId


class ProjectionWaiters:
    """Woken by the batches that this process writes."""

    def __init__(self) -> None:
        self._waiting: dict[WorkflowId, set[asyncio.Future[int]]] = {}

    def announce(self, written: Iterable[tuple[WorkflowId, int]]) -> None:
        """Say that these workflows are written up to these event numbers."""
        if not self._waiting:
            return
        for workflow_id, version in written:
            for waiter in self._waiting.pop(workflow_id, ()):
                if not waiter.done():
                    waiter.set_result(version)

    async def wait_written(self, workflow_id: WorkflowId, *, timeout_ms: float) -> int:
        """Return the event number up to which the workflow is written next; 0 if nothing of it is within the time."""
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(workflow_id, set())
        waiters.add(waiter)
        try:
            done, _ = await asyncio.wait((waiter,), timeout=timeout_ms / 1_000)
            return waiter.result() if done else 0
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiting.get(workflow_id) is waiters:
                del self._waiting[workflow_id]
