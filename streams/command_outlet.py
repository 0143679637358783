"""Appending commands: many callers, few batches.

Holds, per partition, what waits to be appended while the append before it is under way. Must not know what a command
does. Keeps three invariants: commands of one caller keep their order; a caller's wait ends when its command is durable,
or was refused, and only then; and nobody waits for an outlet that has closed.
"""

import asyncio
from collections import deque
from typing import Final

import msgspec

from engine.commands import Command, workflow_of
from engine.ids import WorkflowId
from streams.errors import LogUnavailable
from streams.milestone import Milestone
from streams.ports import Log, NewRecord
from streams.topics import COMMANDS, partition_of

BATCH_RECORDS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 700_000
"""Below a broker's default limit for one batch (1 MiB).

A larger command goes alone: if it is refused, no other is refused with it.
"""
WAITING_MAX: Final = 20_000
"""Commands of callers that wait for one partition. With more the log does not keep up, and callers are told so.
Effects are not counted: a partition that cannot send them stops deciding, which bounds them."""

_encoder: Final = msgspec.json.Encoder()


class _Waiting(msgspec.Struct, kw_only=True, eq=False):
    record: NewRecord
    stored: asyncio.Future[None]


class _Lane:
    """What waits for one partition.

    `accepted` counts what was ever enqueued, `settled` what was stored or refused since.
    """

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.wake = asyncio.Event()
        self.accepted = 0
        self.settled = Milestone(0)
        self.last_offset: int | None = None


class CommandOutlet:
    """Appends commands to the partitions of their workflows. `run` does the work, once."""

    def __init__(self, log: Log, *, partitions: int) -> None:
        """Append to `commands` in `log`, which has so many partitions."""
        self._log = log
        self._partitions = partitions
        self._lanes: dict[int, _Lane] = {}
        self._new_lanes: asyncio.Queue[tuple[int, _Lane]] = asyncio.Queue()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be appended any more: the process stops."""
        return self._closed

    def partition_of(self, workflow_id: WorkflowId) -> int:
        """Return the partition in which a workflow lives."""
        return partition_of(workflow_id.encode(), self._partitions)

    async def append(self, command: Command) -> None:
        """Append a command of a caller and return when it is durable. Cancelled, it may be appended nevertheless.

        Raises:
            LogUnavailable, StoreFull, RecordTooLarge: it is not known to be stored.
        """
        partition = self.partition_of(_workflow_of(command))
        lane = self._lanes.get(partition)
        if lane is not None and len(lane.waiting) >= WAITING_MAX:
            message = (
                f"{len(lane.waiting)} commands wait for partition {partition} already; send the command again later"
            )
            raise LogUnavailable(message)
        # Shielded: who waits behind this command must not be told that it has been settled.
        await asyncio.shield(self.enqueue(command))

    def enqueue(self, command: Command) -> asyncio.Future[None]:
        """Put a command behind those before it; the future tells when it is durable."""
        workflow_id = _workflow_of(command)
        record = NewRecord(key=workflow_id.encode() or None, value=_encoder.encode(command))
        return self.enqueue_record(self.partition_of(workflow_id), record)

    def enqueue_record(self, partition: int, record: NewRecord) -> asyncio.Future[None]:
        """Put a command that is encoded already into a partition."""
        item = _Waiting(record=record, stored=asyncio.get_running_loop().create_future())
        if self._closed:
            _fail([item], _stopping())
            return item.stored
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
            self._new_lanes.put_nowait((partition, lane))
        lane.waiting.append(item)
        lane.accepted += 1
        lane.wake.set()
        return item.stored

    async def flushed(self, partition: int) -> int | None:
        """Wait until all that was enqueued so far is durable (or refused); return the offset of the newest command.

        None: this process has not appended to the partition.
        """
        lane = self._lanes.get(partition)
        if lane is None:
            return None
        await lane.settled.wait(lane.accepted)
        return lane.last_offset

    async def flush(self) -> None:
        """Wait until all that was enqueued so far, for whatever partition, is durable or refused."""
        for partition in list(self._lanes):
            await self.flushed(partition)

    async def run(self) -> None:
        """Append until cancelled; then fail what has not been appended, and all that comes later."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    partition, lane = await self._new_lanes.get()
                    group.create_task(self._run_lane(partition, lane), name=f"commands-{partition}")
        finally:
            self._closed = True
            for lane in self._lanes.values():
                _fail(lane.waiting, _stopping())
                lane.waiting.clear()
                lane.settled.give_up()

    async def _run_lane(self, partition: int, lane: _Lane) -> None:
        while True:
            await lane.wake.wait()
            batch = _take(lane)
            if not lane.waiting:
                lane.wake.clear()
            try:
                first_offset = await self._log.append(COMMANDS, partition, [item.record for item in batch])
            except asyncio.CancelledError:
                _fail(batch, _stopping())
                raise
            except Exception as error:  # noqa: BLE001 - every waiting caller must learn of it, whatever it is
                _fail(batch, error)
            else:
                lane.last_offset = first_offset + len(batch) - 1
                for item in batch:
                    if not item.stored.done():
                        item.stored.set_result(None)
            lane.settled.reach(lane.settled.value + len(batch))


def _workflow_of(command: Command) -> WorkflowId:
    return workflow_of(command) or WorkflowId("")


def _take(lane: _Lane) -> list[_Waiting]:
    batch: list[_Waiting] = []
    size = 0
    while lane.waiting and len(batch) < BATCH_RECORDS_MAX:
        size += len(lane.waiting[0].record.value or b"")
        if batch and size > BATCH_BYTES_MAX:
            break
        batch.append(lane.waiting.popleft())
    return batch


def _stopping() -> LogUnavailable:
    return LogUnavailable("the process is stopping; send the command again")


def _fail(batch: "deque[_Waiting] | list[_Waiting]", error: Exception) -> None:
    for item in batch:
        if not item.stored.done():
            item.stored.set_exception(error)
            item.stored.exception()  # nobody may be waiting; that is not a fault of its own
