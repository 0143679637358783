"""The partitions that this process owns, and what happens when it loses or regains one.

Holds one supervised processor per owned partition. Must not decide who owns what: an `Assignment` tells. Keeps the
invariants that at most one processor of this process works for a partition, and that a partition whose log is corrupt
stays halted until somebody has looked at it.

What ends a processor, and what follows:
- `Fenced`: another process claimed the partition. Claim it again only while it is still assigned here, after a pause:
  the other one then gives way in the same manner if the assignment is ours.
- `LogUnavailable`, `StoreFull`: begin anew, after a growing pause.
- `LogCorrupt`, a defect of the engine: halt the partition and say so in the health report.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from engine.errors import InvariantViolated
from streams.errors import LogCorrupt, StreamsError
from streams.partition.processor import PartitionProcessor, ProcessorPhase

RESTART_AFTER_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Pauses before a processor begins anew; the last one repeats."""
ANNOUNCE_AGAIN_AFTER_S: Final = 1.0


class OwnershipListener(Protocol):
    """Somebody who does more for the partitions that this process owns."""

    def __call__(self, partition: int, *, owned: bool) -> None:
        """Take note that a partition is owned, or is not any more."""
        ...


_log = structlog.get_logger(__name__)


class OwnedPartitions:
    """The `PartitionOwner` of this process. `run` supervises; the other methods are told by the assignment."""

    def __init__(
        self,
        make_processor: Callable[[int], PartitionProcessor],
        *,
        on_change: OwnershipListener,
        announce: Callable[[int, int], Awaitable[None]],
    ) -> None:
        """`make_processor` makes a fresh one for each attempt to own a partition.

        `on_change` is told what is owned; `announce(partition, epoch)` tells the other nodes, once the partition
        decides.
        """
        self._make_processor = make_processor
        self._on_change = on_change
        self._announce_owner = announce
        self._processors: dict[int, PartitionProcessor] = {}
        self._supervisors: dict[int, asyncio.Task[None]] = {}
        self._halted: dict[int, str] = {}
        self._group: asyncio.TaskGroup | None = None
        self._open = asyncio.Event()
        self._assigned = asyncio.Event()
        self._watching: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Supervise until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._open.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Begin to own partitions."""
        await self._open.wait()
        for partition in partitions:
            if self._group is not None and partition not in self._supervisors:
                self._supervisors[partition] = self._group.create_task(
                    self._supervise(partition), name=f"partition-{partition}"
                )
                self._on_change(partition, owned=True)
        self._assigned.set()

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Stop owning partitions; nothing of theirs is appended when this returns."""
        stopping = [task for partition in partitions if (task := self._supervisors.pop(partition, None))]
        self._tell_watching()
        for task in stopping:
            task.cancel()
        if stopping:
            await asyncio.wait(stopping)
        for partition in partitions:
            processor = self._processors.pop(partition, None)
            if processor is not None:
                await processor.wait_landed()
            self._halted.pop(partition, None)
            self._on_change(partition, owned=False)

    def processor(self, partition: int) -> PartitionProcessor | None:
        """Return the processor that decides for a partition now, or None."""
        processor = self._processors.get(partition)
        if processor is None or processor.phase is not ProcessorPhase.DECIDING:
            return None
        return processor

    def deciding(self) -> list[PartitionProcessor]:
        """Return the processors that decide now."""
        return [item for item in self._processors.values() if item.phase is ProcessorPhase.DECIDING]

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are assigned to this process."""
        return frozenset(self._supervisors)

    @property
    def halted(self) -> dict[int, str]:
        """The partitions that are halted, and why."""
        return dict(self._halted)

    async def wait_assigned(self) -> None:
        """Return when the assignment has spoken for the first time."""
        await self._assigned.wait()

    async def wait_deciding(self, partition: int, *, timeout_ms: int) -> PartitionProcessor | None:
        """Wait until a partition that is assigned here decides.

        None as soon as it is clear that it will not (it is not assigned, or is halted), or after the time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                while self.processor(partition) is None and self._may_decide(partition):
                    await self._wait_news()
        return self.processor(partition)

    def _may_decide(self, partition: int) -> bool:
        return partition in self._supervisors and partition not in self._halted

    async def _wait_news(self) -> None:
        news = asyncio.get_running_loop().create_future()
        self._watching.add(news)
        try:
            await news
        finally:
            self._watching.discard(news)

    def _tell_watching(self) -> None:
        for news in self._watching:
            if not news.done():
                news.set_result(None)

    async def _supervise(self, partition: int) -> None:
        attempt = 0
        while True:
            processor = self._processors[partition] = self._make_processor(partition)
            began_at = asyncio.get_running_loop().time()
            try:
                await self._run(processor)
            except* (LogCorrupt, InvariantViolated) as errors:
                self._halted[partition] = _first(errors)
                _log.exception("partition_halted", partition=partition, reason=_first(errors))
            except* StreamsError as errors:
                _log.warning("partition_restarts", partition=partition, reason=_first(errors))
            if not self._is_supervisor(partition):
                return
            if partition in self._halted:
                self._tell_watching()
                return
            if asyncio.get_running_loop().time() - began_at > RESTART_AFTER_S[-1] * 2:
                attempt = 0
            await asyncio.sleep(RESTART_AFTER_S[min(attempt, len(RESTART_AFTER_S) - 1)])
            attempt += 1

    def _is_supervisor(self, partition: int) -> bool:
        """Tell whether the running task is still to supervise a partition.

        Not left to its cancellation: a task group that is busy with an error of its own takes that in and raises the
        error. Who went on after it would never stop, and whoever waits for its end would wait for ever.
        """
        return self._group is not None and self._supervisors.get(partition) is asyncio.current_task()

    async def _run(self, processor: PartitionProcessor) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(processor))
            await processor.run()

    async def _announce(self, processor: PartitionProcessor) -> None:
        """Tell those who wait here, then the other nodes: they find the owner late where the log does not take it."""
        await processor.wait_recovered()
        self._tell_watching()
        while True:
            try:
                await self._announce_owner(processor.partition, processor.machine.chain.epoch)
            except StreamsError as error:
                _log.warning("owner_not_announced", partition=processor.partition, reason=str(error))
                await asyncio.sleep(ANNOUNCE_AGAIN_AFTER_S)
            else:
                return


def _first(errors: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
