"""Callers that wait for the decision about a command.

Holds one future per waiting call of this process. Must not outlive it: a caller whose process dies asks again. Keeps
the invariant that a caller is told of a decision only after that decision is in the log.
"""

import asyncio
import itertools

from engine.ids import WorkflowId
from streams.errors import OwnershipLost
from streams.service import Answer, DecisionTimeout


class Replies:
    """The waiting callers of one process."""

    def __init__(self, *, process: str) -> None:
        """`process` makes the request ids of this process differ from those of all others, past ones too."""
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._partitions: dict[str, int] = {}

    def expect(self, partition: int) -> str:
        """Return the request id for one more command, which a partition of this process will decide."""
        request_id = f"{self._process}.{next(self._numbers)}"
        self._waiting[request_id] = asyncio.get_running_loop().create_future()
        self._partitions[request_id] = partition
        return request_id

    def abandon(self, partition: int) -> None:
        """Tell everybody who waits for a partition that it has left this process: its new owner will decide."""
        for request_id, owner in self._partitions.items():
            future = self._waiting[request_id]
            if owner == partition and not future.done():
                future.set_exception(OwnershipLost(f"partition {partition} left this process"))
                future.exception()  # its caller may have gone; that is not a fault of its own

    def resolve(self, request_id: str, answer: Answer) -> None:
        """Tell the caller, if it is one of ours and still waits."""
        future = self._waiting.get(request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    async def wait(self, request_id: str, workflow_id: WorkflowId, *, timeout_ms: int) -> Answer:
        """Wait for the decision.

        Raises:
            DecisionTimeout: it has not come in time, or will be made by another process.
        """
        future = self._waiting[request_id]
        # A timer of the loop: `asyncio.timeout` costs 2 µs more, on every call.
        timer = asyncio.get_running_loop().call_later(timeout_ms / 1000, _give_up, future)
        try:
            return await future
        except TimeoutError:
            why = f"was not decided within {timeout_ms} ms"
        except OwnershipLost as lost:
            why = f"was not decided here before {lost}"
        finally:
            timer.cancel()
        message = (
            f"the command for workflow {workflow_id} is stored, but {why}; it will be: ask for the workflow's state"
        )
        raise DecisionTimeout(message)

    def forget(self, request_id: str) -> None:
        """Stop waiting. Idempotent."""
        self._waiting.pop(request_id, None)
        self._partitions.pop(request_id, None)


def _give_up(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
