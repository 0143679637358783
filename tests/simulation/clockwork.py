"""Virtual time: a heap of things that are going to happen.

Holds the one queue of a simulation. Must not know what the things are, nor read a real clock. Keeps the invariant
that what is due earlier happens earlier, and what is due at the same instant in the order in which it was asked for:
a run has one order only.
"""

import heapq
from collections.abc import Callable
from typing import Final, TypeAlias

Action: TypeAlias = Callable[[], object]

START_MS: Final = 1_700_000_000_000
"""An ordinary instant: definitions with dates and the like find themselves in an ordinary year."""


class Clockwork:
    """The present and the future. One action is one step."""

    def __init__(self) -> None:
        """Begin with nothing to come."""
        self.now_ms = START_MS
        self.steps = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._asked = 0

    def at(self, due_ms: int, action: Action) -> None:
        """Let something happen at an instant; an instant that has passed means now."""
        self._asked += 1
        heapq.heappush(self._heap, (max(due_ms, self.now_ms), self._asked, action))

    def after(self, delay_ms: int, action: Action) -> None:
        """Let something happen later."""
        self.at(self.now_ms + delay_ms, action)

    def run_until(self, until_ms: int, *, steps_max: int) -> None:
        """Let everything happen that is due by an instant, and stand there. Stop early after so many steps in all."""
        while self._heap and self._heap[0][0] <= until_ms:
            if self.steps >= steps_max:
                return
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.steps += 1
            action()
        self.now_ms = max(self.now_ms, until_ms)

    @property
    def elapsed_ms(self) -> int:
        """How long the simulation has lasted, in its own time."""
        return self.now_ms - START_MS
