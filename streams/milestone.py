"""A number that only grows, and those who wait until it is large enough.

Holds offsets, sequence numbers and counts on their way up. Must not know what they count. Keeps the invariant that
everybody who waits is told: that the number has come, or that it will not come here any more.
"""

import asyncio
import heapq
import itertools


class Milestone:
    """One number and its waiters. One event loop, no locks."""

    def __init__(self, value: int) -> None:
        """Begin at `value`."""
        self.value = value
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._order = itertools.count()
        self._is_over = False

    def reach(self, value: int) -> None:
        """Take note that the number is `value` now, and wake exactly those who waited for it.

        Smaller ones change nothing.
        """
        self.value = max(self.value, value)
        while self._waiting and self._waiting[0][0] <= self.value:
            _tell(heapq.heappop(self._waiting)[2], reached=True)

    def give_up(self) -> None:
        """Tell everybody who waits, now or later, that the number does not grow any more."""
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        for _, _, told in waiting:
            _tell(told, reached=False)

    async def wait(self, target: int) -> bool:
        """Wait for the number to reach a target; False if it was given up before that. The caller bounds the wait."""
        if self.value >= target:
            return True
        if self._is_over:
            return False
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (target, next(self._order), told))
        return await told


def _tell(told: asyncio.Future[bool], *, reached: bool) -> None:
    if not told.done():
        told.set_result(reached)
