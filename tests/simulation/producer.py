"""Appends as messages: a request that lands some time, and a word about it that comes later, or is lost.

Holds the transport between one life of an owner and the log. Must not look into records. Keeps what the log's port
promises, and no more: the appends of one producer to one partition land in the order of the calls, and after one that
did not land, none does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from streams.ports import NewRecord
from tests.simulation.faults import Fate

if TYPE_CHECKING:  # the world holds processes, which hold producers
    from tests.simulation.process import Process

Told: TypeAlias = Callable[[int | None], None]
"""Is given the offset of the first record, or None if nothing is known (`LogUnavailable`)."""

UNKNOWN_AFTER_MS: Final = 2_000
"""How long a caller waits before it hears that nothing is known."""


class Producer:
    """What one life of an owner appends with. After an append of unknown fate it is to be dropped."""

    def __init__(self, process: "Process") -> None:
        """Begin with nothing under way."""
        self._process = process
        self._world = process.world
        self._lands_at: dict[tuple[str, int], int] = {}
        self._broken: set[tuple[str, int]] = set()
        self._cut_at_ms: int | None = None

    def append(self, topic: str, partition: int, records: Sequence[NewRecord], told: Told) -> None:
        """Send records; `told` is called in the process, if that still lives then."""
        world = self._world
        place = (topic, partition)
        fate = Fate.LOST if place in self._broken else world.faults.fate(world.rng)
        lands_at_ms = world.clock.now_ms + world.delay_ms()
        if fate is Fate.FINE or fate is Fate.UNSAID:
            self._land_at(place, lands_at_ms, records, told if fate is Fate.FINE else None)
        elif fate is Fate.LATE:
            self._land_at(place, lands_at_ms + UNKNOWN_AFTER_MS + world.delay_ms(), records, None)
        else:
            self._broken.add(place)
            kept = world.rng.randrange(len(records)) if fate is Fate.TORN else 0
            if kept:
                self._land_at(place, lands_at_ms, records[:kept], None)
        if fate is not Fate.FINE:
            world.say("append", f"{self._process.name} {topic}[{partition}] {len(records)} records: {fate.value}")
            self._process.after(UNKNOWN_AFTER_MS, partial(told, None))

    def cut(self) -> None:
        """Lose the connection: what is under way may land for a moment longer, the rest never does."""
        world = self._world
        self._cut_at_ms = world.clock.now_ms + (world.rng.choice((0, 5, 50, 2_500)) if world.has_faults else 0)

    def _land_at(self, place: tuple[str, int], due_ms: int, records: Sequence[NewRecord], told: Told | None) -> None:
        due_ms = max(due_ms, self._lands_at.get(place, 0))
        self._lands_at[place] = due_ms
        self._world.clock.at(due_ms, partial(self._land, place, records, told))

    def _land(self, place: tuple[str, int], records: Sequence[NewRecord], told: Told | None) -> None:
        world = self._world
        if self._cut_at_ms is not None and world.clock.now_ms > self._cut_at_ms:
            if told is not None:
                self._process.after(0, partial(told, None))
            return
        offset = world.land(*place, records)
        if told is not None:
            self._process.after(world.delay_ms(), partial(told, offset))
