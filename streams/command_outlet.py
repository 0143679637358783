"""Appending commands: many callers, few batches.

Holds, per partition, what waits to be appended while the append before it is under way. Must not know what a command
does. Keeps two invariants: commands of one caller keep their order, and a caller's wait ends only when its command is
durable (or was refused).
"""

import asyncio
from typing import Final

import msgspec

from engine.commands import Command, workflow_of
from engine.ids import WorkflowId
from streams.errors import LogUnavailable
from streams.ports import Log, NewRecord
from streams.topics import COMMANDS, partition_of

BATCH_RECORDS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 700_000
"""Below a broker's default limit for one batch (1 MiB); a larger single command makes a batch of its own."""

_encoder: Final = msgspec.json.Encoder()


class _Waiting(msgspec.Struct, kw_only=True, eq=False):
    record: NewRecord
    stored: asyncio.Future[None]


class _Lane:
    """What waits for one partition."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.wake = asyncio.Event()
        self.newest: asyncio.Future[None] | None = None
        self.last_offset: int | None = None


class CommandOutlet:
    """Appends commands to the partitions of their workflows. `run` does the work."""

    def __init__(self, log: Log, *, partitions: int) -> None:
        """Append to `commands` in `log`, which has so many partitions."""
        self._log = log
        self._partitions = partitions
        self._lanes: dict[int, _Lane] = {}
        self._new_lanes: asyncio.Queue[tuple[int, _Lane]] = asyncio.Queue()

    def partition_of(self, workflow_id: WorkflowId) -> int:
        """Return the partition in which a workflow lives."""
        return partition_of(workflow_id.encode(), self._partitions)

    async def append(self, command: Command) -> None:
        """Append a command and return when it is durable.

        Raises:
            LogUnavailable, StoreFull, RecordTooLarge: it is not known to be stored.
        """
        await self.enqueue(command)

    def enqueue(self, command: Command) -> asyncio.Future[None]:
        """Put a command behind those before it; the future tells when it is durable."""
        workflow_id = workflow_of(command) or WorkflowId("")
        record = NewRecord(key=workflow_id.encode() or None, value=_encoder.encode(command))
        return self.enqueue_record(self.partition_of(workflow_id), record)

    def enqueue_record(self, partition: int, record: NewRecord) -> asyncio.Future[None]:
        """Put a command that is encoded already into a partition."""
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
            self._new_lanes.put_nowait((partition, lane))
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append(_Waiting(record=record, stored=stored))
        lane.newest = stored
        lane.wake.set()
        return stored

    async def flushed(self, partition: int) -> int | None:
        """Wait until all that was enqueued so far is durable (or refused); return the offset of the newest command.

        None: this process has not appended to the partition.
        """
        lane = self._lanes.get(partition)
        if lane is None:
            return None
        if lane.newest is not None and not lane.newest.done():
            await asyncio.wait([lane.newest])
        return lane.last_offset

    async def run(self) -> None:
        """Append until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                partition, lane = await self._new_lanes.get()
                group.create_task(self._run_lane(partition, lane), name=f"commands-{partition}")

    async def _run_lane(self, partition: int, lane: _Lane) -> None:
        while True:
            await lane.wake.wait()
            batch = _take(lane)
            if not lane.waiting:
                lane.wake.clear()
            try:
                first_offset = await self._log.append(COMMANDS, partition, [item.record for item in batch])
            except asyncio.CancelledError:
                _fail(batch + lane.waiting, LogUnavailable("the process is stopping; send the command again"))
                raise
            except Exception as error:  # noqa: BLE001 - every waiting caller must learn of it, whatever it is
                _fail(batch, error)
            else:
                lane.last_offset = first_offset + len(batch) - 1
                for item in batch:
                    if not item.stored.done():
                        item.stored.set_result(None)


def _take(lane: _Lane) -> list[_Waiting]:
    size = count = 0
    for item in lane.waiting[:BATCH_RECORDS_MAX]:
        size += len(item.record.value or b"")
        if count and size > BATCH_BYTES_MAX:
            break
        count += 1
    batch = lane.waiting[:count]
    del lane.waiting[:count]
    return batch


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for item in batch:
        if not item.stored.done():
            item.stored.set_exception(error)
            item.stored.exception()  # nobody may be waiting; that is not a fault of its own
