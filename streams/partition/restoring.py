"""Reading the `snapshots` topic back: what a new owner begins with.

Holds the one reading rule. Must not write, and must not touch the machine before everything has been read and found
whole. Keeps the invariant that snapshots which cannot be trusted are not used at all: the log has everything, and
folding it from its start is only slower.
"""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog

from engine.ids import WorkflowId
from streams.partition.chain import ChainPosition
from streams.partition.machine import PartitionMachine
from streams.partition.snapshot_records import (
    FENCE_PREFIX,
    MARKER_KEY,
    Header,
    SnapshotDamaged,
    keys_of_parts,
    packed_state,
    read_header,
    read_marker,
)
from streams.partition.table import ENDED_IDS_MAX
from streams.ports import Log, LogRecord, OffsetRange
from streams.topics import SNAPSHOTS

READ_RECORDS_MAX: Final = 5_000
READ_WAIT_MS: Final = 200
EMPTY_READS_MAX: Final = 5
"""So many reads without a record, while the log answers, are the end of the topic.

What was behind has been compacted.
"""

_log = structlog.get_logger(__name__)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What snapshots brought.

    `ids`: all workflows; `waiting`: those that wait for a worker or a request; `ended`: those that have ended and are
    still in memory; `parts`: the keys of states in parts; `left_over`: keys that mean nothing any more; `read_up_to`:
    the offset before which the topic is known.
    """

    ids: list[WorkflowId] = []
    waiting: list[WorkflowId] = []
    ended: list[WorkflowId] = []
    parts: dict[WorkflowId, list[bytes]] = {}
    left_over: list[bytes] = []
    read_up_to: int = 0


class _Found:
    """What the topic holds, newest record per key."""

    def __init__(self) -> None:
        self.headers: dict[WorkflowId, Header] = {}
        self.parts: dict[bytes, bytes] = {}
        self.position: ChainPosition | None = None
        self.left_over: list[bytes] = []
        self.fences: list[bytes] = []
        self._epoch = -1
        self._is_behind_fence = True
        self._offsets: dict[bytes, int] = {}
        self._unread: list[range] = []
        """Offsets before a fence that the owner behind it had not read."""

    def take(self, record: LogRecord) -> None:
        """Take one record.

        Raises:
            SnapshotDamaged: it, or something before it, cannot be trusted.
        """
        key, value = record.key or b"", record.value
        if key.startswith(FENCE_PREFIX):
            self._take_fence(key, value, record.offset)
            return
        self._offsets[key] = record.offset
        if value is None:
            self._forget(key)
        elif key == MARKER_KEY:
            self.position = read_marker(value)
            self._trust(self.position.epoch, record)
        elif b"~" in key:
            self.parts[key] = value
        else:
            workflow_id = WorkflowId(key.decode())
            header = read_header(workflow_id, value)
            self._trust(header.epoch, record)
            self.headers.pop(workflow_id, None)
            self.headers[workflow_id] = header

    def check_unread(self) -> None:
        """Refuse what an owner wrote after its successor had read the topic, unless the successor replaced it.

        Raises:
            SnapshotDamaged: there is such a record; what it replaced may have been needed.
        """
        for unread in self._unread:
            for key, offset in self._offsets.items():
                if offset in unread:
                    raise SnapshotDamaged(f"offset {offset} ({key.decode()}): nobody who wrote after it had read it")

    def _take_fence(self, key: bytes, value: bytes | None, offset: int) -> None:
        if value is None:
            return
        self._unread.append(range(int(value or b"0"), offset))
        if self.fences and self._is_behind_fence:
            self.left_over.append(self.fences.pop())  # nothing is left between it and this one
        self.fences.append(key)
        self._epoch = max(self._epoch, int(key.removeprefix(FENCE_PREFIX)))
        self._is_behind_fence = True

    def _forget(self, key: bytes) -> None:
        if key == MARKER_KEY:
            self.position = None
        elif b"~" in key:
            self.parts.pop(key, None)
        else:
            self.headers.pop(WorkflowId(key.decode()), None)

    def _trust(self, epoch: int, record: LogRecord) -> None:
        self._is_behind_fence = False
        if epoch < self._epoch:
            message = (
                f"{record.topic}[{record.partition}] offset {record.offset}: an owner of epoch {epoch} "
                f"wrote after one of epoch {self._epoch} had begun"
            )
            raise SnapshotDamaged(message)

    @property
    def keys(self) -> list[bytes]:
        """All keys, in an order in which they may be removed one by one: without a marker, nothing is read at all."""
        return [MARKER_KEY, *self.fences, *(wid.encode() for wid in self.headers), *self.parts, *self.left_over]


async def restore(log: Log, partition: int, machine: PartitionMachine) -> Restored:
    """Give a machine the newest snapshots of its partition; return what it now holds.

    Without a marker there is no complete snapshot: the machine begins at the start of the log. So it does where the
    snapshots cannot be trusted; then all of them are left over.
    """
    found = _Found()
    damage: SnapshotDamaged | None = None
    offsets = await log.offsets(SNAPSHOTS, partition)
    async for record in _all_records(log, partition, offsets):
        try:
            found.take(record)
        except (SnapshotDamaged, UnicodeDecodeError, ValueError) as error:
            damage = damage or SnapshotDamaged(str(error))
            found.left_over.append(record.key or b"")
    try:
        if damage is not None:
            raise damage
        found.check_unread()
        if found.position is None:
            return Restored(left_over=found.keys[1:], read_up_to=offsets.next)
        restored = _apply(found, found.position, machine)
    except SnapshotDamaged as error:
        _log.error("snapshots_not_trusted", partition=partition, reason=str(error))
        restored = Restored(left_over=list(dict.fromkeys(found.keys)))
    return msgspec.structs.replace(restored, read_up_to=offsets.next)


def _apply(found: _Found, position: ChainPosition, machine: PartitionMachine) -> Restored:
    """Hand everything over, once all of it has been found whole.

    Raises:
        SnapshotDamaged: something is not whole; the machine is as before.
    """
    held = [
        (workflow_id, header, packed_state(workflow_id, header, found.parts))
        for workflow_id, header in found.headers.items()
        if not header.ended
    ]
    machine.restore(position)
    for workflow_id, header, packed in held:
        machine.restore_workflow(workflow_id, packed, sequence=header.sequence, due_at_ms=header.due_at_ms)
    left_over = list(found.left_over)
    left = [(workflow_id, header) for workflow_id, header in found.headers.items() if header.ended]
    named = [workflow_id for workflow_id, header in left if header.is_named]
    too_many = set(named[: max(0, len(named) - ENDED_IDS_MAX)])
    for workflow_id, header in left:
        # What the log still says of it up to there is about a workflow that nobody holds any more.
        machine.restore_left(workflow_id, sequence=header.sequence)
        if header.is_named and workflow_id not in too_many:
            machine.table.note_ended(workflow_id)
        elif header.sequence <= position.sequence:
            left_over.append(workflow_id.encode())  # one that no marker covers yet is needed by whoever restores next
    parts = {workflow_id: keys_of_parts(workflow_id, header) for workflow_id, header, _ in held if header.parts}
    in_use = {key for keys in parts.values() for key in keys}
    left_over += [key for key in found.parts if key not in in_use]
    return Restored(
        ids=[workflow_id for workflow_id, _, _ in held],
        waiting=[workflow_id for workflow_id, header, _ in held if header.is_waiting],
        ended=[workflow_id for workflow_id, header, _ in held if header.is_over],
        parts=parts,
        left_over=left_over,
    )


async def _all_records(log: Log, partition: int, offsets: OffsetRange) -> AsyncIterator[LogRecord]:
    reader = log.reader(SNAPSHOTS, partition, from_offset=offsets.earliest)
    try:
        next_offset = offsets.earliest
        empty_reads = 0
        while next_offset < offsets.next and empty_reads < EMPTY_READS_MAX:
            records = await reader.read(records_max=READ_RECORDS_MAX, wait_ms=READ_WAIT_MS)
            if not records:
                empty_reads += 1
                await log.offsets(SNAPSHOTS, partition)  # raises where the log is the reason
                continue
            empty_reads = 0
            for record in records:
                if record.offset < offsets.next:
                    yield record
            next_offset = records[-1].offset + 1
    finally:
        await reader.close()
