"""The state of one limiter: what the fold of its events is.

Holds frozen values and look-ups. Must not decide. Keeps the invariant that asking who is next, or whether there is
room, costs the same with ten thousand who wait as with none.
"""

from typing import Final

import msgspec
from immutables import Map

from engine.ids import TaskId
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits, LimitSource

IDLE_MS: Final = 60_000
"""A limiter that nobody has needed for so long is forgotten. Opening it again costs one event."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that is given. `started_at_ms` is 0 while nobody has said that its holder began."""

    granted_at_ms: int
    started_at_ms: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody waits: among those of a priority, by number."""

    priority: int
    number: int
    since_ms: int = 0


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Those of one priority, by number; `first` is the smallest number in it."""

    first: int
    holders: Map[int, TaskId]


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """The instants of beginnings, oldest first: numbers `first` … `end` - 1 of `at_ms`."""

    first: int = 0
    end: int = 0
    at_ms: Map[int, int] = Map()


class LimiterState(msgspec.Struct, frozen=True, kw_only=True):
    """A limiter at one moment. `unstarted` counts the slots whose holders are not known to have begun."""

    limiter_id: LimiterId
    limits: Limits
    source: LimitSource
    held: Map[TaskId, Held]
    waiting: Map[TaskId, Place]
    lanes: Map[int, Lane]
    spent: Spent
    unstarted: int
    last_number: int
    version: int
    updated_at_ms: int

    def next_in_line(self) -> TaskId | None:
        """Return who gets the next free slot, None if nobody waits."""
        if not self.lanes:
            return None
        lane = self.lanes[max(self.lanes)]
        return lane.holders[lane.first]

    def has_room(self, now_ms: int) -> bool:
        """Tell whether a slot can be given now."""
        limits = self.limits
        if limits.at_once and len(self.held) >= limits.at_once:
            return False
        return not limits.starts or self.unstarted + self._spent_in_window(now_ms) < limits.starts

    def place_of(self, holder: TaskId) -> int | None:
        """Return how many are served before somebody who waits, None if it does not wait. Costs their number."""
        place = self.waiting.get(holder)
        if place is None:
            return None
        return sum(
            other.priority > place.priority or (other.priority == place.priority and other.number < place.number)
            for other in self.waiting.values()
        )

    def next_look_ms(self) -> int | None:
        """Return when something changes that nobody reports, None if nothing does."""
        spent, window_ms = self.spent, self.limits.window_ms
        if not self.held and not self.waiting:
            last_ms = spent.at_ms[spent.end - 1] + window_ms if spent.end > spent.first else 0
            return max(self.updated_at_ms + IDLE_MS, last_ms)
        has_slot = not self.limits.at_once or len(self.held) < self.limits.at_once
        if self.waiting and has_slot and spent.end > spent.first:
            # As many must leave the window as are too many in it; with a lowered limit that can be several.
            too_many = self.unstarted + (spent.end - spent.first) - self.limits.starts
            number = spent.first + max(too_many, 0)
            return spent.at_ms[number] + window_ms if number < spent.end else None
        return None

    def _spent_in_window(self, now_ms: int) -> int:
        spent = self.spent
        first = spent.first
        while first < spent.end and spent.at_ms[first] + self.limits.window_ms <= now_ms:
            first += 1
        return spent.end - first
