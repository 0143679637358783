"""Snapshots in the simulation: the real cycle and the real restore, in virtual time.

Holds when they are written, and nothing of what. Must not look into a snapshot. Keeps an owner that writes one like
any other: it may crash, stand still or lose the partition between any two appends.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from engine.model import WorkflowState
from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.partition.machine import PartitionMachine
from streams.partition.restoring import Restored, restore
from streams.partition.snapshots import SnapshotCycle
from streams.ports import Log
from tests.simulation.awaiting import SimulatedLog, drive

if TYPE_CHECKING:  # an owner holds its writer
    from tests.simulation.owner import Owner


def restore_newest(topics: MemoryTopics, partition: int, machine: PartitionMachine) -> Restored:
    """Run the real restore to its end: reading takes no time here."""
    running = restore(cast("Log", SimulatedLog(topics)), partition, machine)
    try:
        running.send(None)
    except StopIteration as stop:
        found: Restored = stop.value
        return found
    message = "the restore waits for something: it should only read"
    raise AssertionError(message)


class SnapshotWriter:
    """The snapshots of one life of an owner."""

    def __init__(self, owner: "Owner", machine: PartitionMachine, restored: Restored) -> None:
        """Begin with what was restored."""
        self._owner = owner
        self._machine = machine
        self._cycle = SnapshotCycle(
            cast("Log", SimulatedLog(owner.world.topics, owner.producer)),
            owner.partition,
            machine,
            trim_commands=owner.is_alone,
        )
        self._cycle.note_restored(
            restored.ids, left_over=restored.left_over, parts=restored.parts, read_up_to=restored.read_up_to
        )

    def plan(self) -> None:
        """Write the next snapshot some time."""
        world = self._owner.world
        if world.faults.snapshots:
            mean_ms = 1_000 / world.faults.snapshots
            self._owner.after(int(world.rng.uniform(0.2, 2) * mean_ms), self._write)

    def keep(self, state: WorkflowState, then: Callable[[], object]) -> None:
        """Write a workflow that comes back into memory; go on when it is there."""
        sequence = self._machine.acknowledged_position.sequence
        kept = self._cycle.keep(state, sequence=sequence)
        drive(self._owner, kept, done=lambda _: then(), failed=self._failed)

    def _write(self) -> None:
        if self._machine.changed:
            drive(self._owner, self._cycle.write(), done=self._written, failed=self._failed)
        else:
            self.plan()

    def _written(self, records: int) -> None:
        self._owner.world.count("snapshots")
        self._owner.world.say("snapshot", f"{self._owner} {records} records")
        self.plan()

    def _failed(self, error: LogUnavailable) -> None:
        self._owner.give_up(f"a snapshot: {error}")
