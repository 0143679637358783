"""One engine process: a clock of its own, owners of partitions, and all that can happen to a process.

Holds crash, pause and restart. Must not know what an owner does. Keeps the invariant that a crashed process does
nothing any more, and that a paused one does everything later: what it was about to do, it does when it wakes up,
whatever has happened since.
"""

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.clockwork import Action
from tests.simulation.owner import Owner

if TYPE_CHECKING:  # the world holds the processes
    from tests.simulation.world import World


class ProcessCrashed(Exception):
    """Ends whatever the process was doing."""


class Process:
    """A node of the cluster."""

    def __init__(self, world: "World", number: int) -> None:
        """Begin alive, owning nothing."""
        self.world = world
        self.name = f"node{number}"
        self.is_alive = True
        self.clock_offset_ms = 0
        self.incarnation = 0
        self.owners: dict[int, Owner] = {}
        self.paused_until_ms = 0

    @property
    def now_ms(self) -> int:
        """What this process takes for the time."""
        return self.world.clock.now_ms + self.clock_offset_ms

    def after(self, delay_ms: int, action: Action) -> None:
        """Do something later, if this incarnation still lives."""
        self.world.clock.after(delay_ms, partial(self._do, self.incarnation, action))

    def step(self, name: str) -> None:
        """Name a moment at which the process may crash.

        Raises:
            ProcessCrashed: it does.
        """
        world = self.world
        if world.has_faults and world.faults.step_crash and world.rng.random() < world.faults.step_crash:
            world.say("crash", f"{self.name} at {name}")
            raise ProcessCrashed

    def crash(self, *, restart_after_ms: int) -> None:
        """Lose everything in memory, and come back empty."""
        if not self.is_alive:
            return
        self.world.say("crash", f"{self.name}, back in {restart_after_ms} ms")
        self.world.count("crashes")
        self.is_alive = False
        self.incarnation += 1
        self.paused_until_ms = 0
        for owner in self.owners.values():
            owner.stop()
        self.owners.clear()
        self.world.clock.after(restart_after_ms, self._restart)

    def pause(self, duration_ms: int) -> None:
        """Stand still; the world goes on."""
        self.world.say("pause", f"{self.name} for {duration_ms} ms")
        self.world.count("pauses")
        self.paused_until_ms = self.world.clock.now_ms + duration_ms

    def own(self, partition: int) -> None:
        """Begin to own a partition, unless it does already."""
        if self.is_alive and partition not in self.owners:
            self.owners[partition] = Owner(self, partition)
            self.owners[partition].begin()

    def disown(self, partition: int) -> None:
        """Stop owning a partition."""
        owner = self.owners.pop(partition, None)
        if owner is not None:
            owner.stop()

    def _restart(self) -> None:
        self.is_alive = True
        self.world.say("restart", self.name)

    def _do(self, incarnation: int, action: Action) -> None:
        if incarnation != self.incarnation:
            return
        if self.world.clock.now_ms < self.paused_until_ms:
            self.world.clock.at(self.paused_until_ms, partial(self._do, incarnation, action))
            return
        try:
            action()
        except ProcessCrashed:
            self.crash(restart_after_ms=self.world.rng.randint(200, 4_000))
