"""Coroutines of the product in virtual time, without an event loop.

Holds a driver: each `await` of a coroutine is a message or a moment of the simulation, so that a crash, a pause or a
new owner may come in between. Must not know what the coroutine does. Keeps asyncio out: the product's modules that
only sleep and call the log sleep on the heap, and their log is the simulation's.
"""

from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from unittest import mock

from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.partition import recovery, restoring, snapshots
from streams.ports import LogRecord, NewRecord, OffsetRange
from tests.simulation.producer import Producer

if TYPE_CHECKING:  # an owner drives coroutines
    from tests.simulation.owner import Owner

Resume: TypeAlias = Callable[[Any], None]
Wait: TypeAlias = Callable[["Owner", Resume], None]
_T = TypeVar("_T")

SLEEP_MS_MIN: Final = 40
"""The product polls every 2 ms here and there; that would be most of all steps."""


class _Waiting:
    """An awaitable that tells the driver what to wait for."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Wait, Any, Any]:
        return (yield self._wait)


async def _sleep(seconds: float) -> None:
    if seconds:
        await _Waiting(
            lambda owner, resume: owner.after(max(SLEEP_MS_MIN, int(seconds * 1_000)), partial(resume, None))
        )


class _Silence:
    """Takes log lines of the product and keeps none: a run has its own trace."""

    def info(self, *_: object, **__: object) -> None: ...
    def warning(self, *_: object, **__: object) -> None: ...
    def error(self, *_: object, **__: object) -> None: ...


@contextmanager
def in_virtual_time() -> Iterator[None]:
    """Let the modules that are driven sleep in the simulation's time, and say nothing."""
    with ExitStack() as patches:
        for module in (recovery, snapshots):
            patches.enter_context(mock.patch.object(module, "asyncio", SimpleNamespace(sleep=_sleep)))
        for module in (recovery, restoring):
            patches.enter_context(mock.patch.object(module, "_log", _Silence()))
        yield


def drive(
    owner: "Owner",
    running: Coroutine[Wait, Any, _T],
    *,
    done: Callable[[_T], object],
    failed: Callable[[LogUnavailable], object],
    value: object = None,
) -> None:
    """Run a coroutine for as long as the owner's life lasts, from one wait to the next."""
    try:
        wait = running.send(value)
    except StopIteration as stop:
        done(stop.value)
    except LogUnavailable as error:
        failed(error)
    else:
        wait(owner, lambda found: drive(owner, running, done=done, failed=failed, value=found))


class SimulatedLog:
    """As much of a `Log` as the driven modules need: reads answer at once, appends are messages of a producer."""

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
            owner.process.step(f"append to {topic}")
            producer.append(topic, partition, records, owner.while_alive(resume))

        offset: int | None = await _Waiting(wait)
        if offset is None:
            raise LogUnavailable(f"nothing is known about an append to {topic}")
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
        found = self._topics.read_now(self._topic, self._partition, from_offset=self._position, records_max=records_max)
        if found:
            self._position = found[-1].offset + 1
        return found

    async def close(self) -> None:
        """See `LogReader`."""
