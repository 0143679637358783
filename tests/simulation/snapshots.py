"""Snapshots in the simulation: the real cycle and the real restore, in virtual time.

Holds a driver for their coroutines: each `await` of theirs is a message or a moment of the simulation, so that a crash, a pause or a new
owner may come in between. Must not know what a snapshot holds. Keeps asyncio out: there is no event loop, only the heap.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from unittest import mock

from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.partition import snapshots
from streams.partition.machine import PartitionMachine
from streams.partition.snapshots import Restored, SnapshotCycle, restore
from streams.ports import LogRecord, NewRecord, OffsetRange
from tests.simulation.producer import Producer

if TYPE_CHECKING:  # an owner holds its writer
    from tests.simulation.owner import Owner

Resume: TypeAlias = Callable[[Any], None]
Wait: TypeAlias = Callable[["Owner", Resume], None]

SLEEP_MS_MIN: Final = 40
"""The cycle polls every 2 ms; here that would be most of all steps."""


class _Waiting:
    """An awaitable that tells the driver what to wait for."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Wait, Any, Any]:
        return (yield self._wait)


async def _sleep(seconds: float) -> None:
    def wait(owner: "Owner", resume: Resume) -> None:
        owner.after(max(SLEEP_MS_MIN if seconds else 0, int(seconds * 1000)), partial(resume, None))

    await _Waiting(wait)


@contextmanager
def in_virtual_time() -> Iterator[None]:
    """Let the real module sleep in the simulation's time."""
    with mock.patch.object(snapshots, "asyncio", SimpleNamespace(sleep=_sleep)):
        yield


class SimulatedLog:
    """What the real module needs of a log: reads answer at once, appends are messages of the owner's producer."""

    def __init__(self, topics: MemoryTopics, producer: Producer | None = None) -> None:
        """Read, and append if there is a producer."""
        self._topics = topics
        self._producer = producer

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """See `Log`."""
        return self._topics.range(topic, partition)

    def reader(self, topic: str, partition: int, *, from_offset: int) -> "SimulatedReader":
        """See `Log`."""
        return SimulatedReader(self._topics, topic, partition, from_offset)

    async def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """See `Log`."""
        self._topics.trim(topic, partition, before_offset=before_offset)

    async def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> int:
        """See `Log`."""
        producer = self._producer
        if producer is None:
            raise LogUnavailable("this log is for reading")

        def wait(owner: "Owner", resume: Resume) -> None:
            producer.append(topic, partition, records, owner.while_alive(resume))

        offset: int | None = await _Waiting(wait)
        if offset is None:
            raise LogUnavailable("nothing is known about the append")
        return offset


class SimulatedReader:
    """A cursor that never waits."""

    def __init__(self, topics: MemoryTopics, topic: str, partition: int, from_offset: int) -> None:
        self._topics = topics
        self._topic = topic
        self._partition = partition
        self._position = from_offset

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `LogReader`."""
        found = self._topics.read_now(
            self._topic, self._partition, from_offset=self._position, records_max=records_max
        )
        if found:
            self._position = found[-1].offset + 1
        return found

    async def close(self) -> None:
        """See `LogReader`."""


def restore_newest(topics: MemoryTopics, partition: int, machine: PartitionMachine) -> Restored:
    """Run the real restore to its end: reading takes no time here."""
    running = restore(SimulatedLog(topics), partition, machine)
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
        self.restored = restored
        self._owner = owner
        self._cycle = SnapshotCycle(
            SimulatedLog(owner.world.topics, owner.producer),
            owner.partition,
            machine,
            trim_commands=not owner.world.faults.durable_queues,
        )
        self._cycle.note_restored(restored.ids)

    def begin(self) -> None:
        """Write the next snapshot some time."""
        world = self._owner.world
        if world.faults.snapshots:
            mean_ms = 1_000 / world.faults.snapshots
            self._owner.after(int(world.rng.uniform(0.2, 2) * mean_ms), self._write)

    def _write(self) -> None:
        if self._owner.machine is not None and self._owner.machine.changed:
            self._drive(self._cycle.write(), None)
        else:
            self.begin()

    def _drive(self, running: Coroutine[Wait, Any, int], value: object) -> None:
        world = self._owner.world
        try:
            wait = running.send(value)
        except StopIteration as stop:
            world.count("snapshots")
            world.say("snapshot", f"{self._owner} {stop.value} records")
            self.begin()
        except LogUnavailable:
            self._owner.give_up("a snapshot is of unknown fate")
        else:
            wait(self._owner, partial(self._drive, running))
