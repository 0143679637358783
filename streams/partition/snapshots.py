"""Snapshots of a partition: so that a new owner need not fold the whole log.

Holds the records of the `snapshots` topic and the cycle that writes them. Must not block decisions: it packs a few
workflows at a time. Keeps the invariant that a marker is written only when every workflow record before it reflects at
least the marker's position: whoever restores them and replays from there misses nothing, and skips what a later
snapshot already reflects.

A workflow's record: key is its id; value is a header (`_Header`) and the packed state. A workflow that has ended leaves
a tombstone, or, if a client chose its id, the bare header with `ended`. The marker's key is `~marker`, which is no
workflow id.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from engine.deadlines import next_deadline_ms, workflow_deadline_ms
from engine.effects import DispatchTask
from engine.ids import WorkflowId
from engine.model import WorkflowState, open_tasks
from engine.outward import standing_effects
from streams.partition.chain import ChainPosition
from streams.partition.machine import PartitionMachine
from streams.ports import Log, LogRecord, NewRecord
from streams.records import NO_OFFSET
from streams.topics import COMMANDS, SNAPSHOTS

MARKER_KEY: Final = b"~marker"
SLICE_WORKFLOWS: Final = 200
"""Packed at a time, about 2 ms of work; then decisions go first."""
READ_RECORDS_MAX: Final = 5_000


class _Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """`sequence`: the last decision that the state reflects. `due_at_ms`: its first timer, 0 for none.

    `is_waiting`: some task of it is to be handed out, or is a request under way, so it cannot just be left packed.
    """

    sequence: int
    due_at_ms: int
    ended: bool
    packed: bytes
    is_waiting: bool = False


_encoder: Final = msgspec.msgpack.Encoder()
_header_decoder: Final = msgspec.msgpack.Decoder(_Header)
_position_decoder: Final = msgspec.msgpack.Decoder(ChainPosition)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot brought: all workflows, and those of them that wait for a worker or a request."""

    ids: list[WorkflowId] = []
    waiting: list[WorkflowId] = []


async def restore(log: Log, partition: int, machine: PartitionMachine) -> Restored:
    """Give a machine the newest snapshots of its partition; return which workflows it now holds.

    Without a marker there is no complete snapshot: the machine begins at the start of the log.
    """
    entries: dict[WorkflowId, _Header] = {}
    position: ChainPosition | None = None
    async for record in _all_records(log, partition):
        if record.key == MARKER_KEY:
            position = _position_decoder.decode(record.value or b"")
        elif record.value is None:
            entries.pop(WorkflowId((record.key or b"").decode()), None)
        else:
            entries[WorkflowId((record.key or b"").decode())] = _header_decoder.decode(record.value)
    if position is None:
        return Restored()
    machine.restore(position)
    for workflow_id, entry in entries.items():
        if entry.ended:
            machine.table.note_ended(workflow_id)
        else:
            machine.restore_workflow(workflow_id, entry.packed, sequence=entry.sequence, due_at_ms=entry.due_at_ms)
    return Restored(
        ids=[workflow_id for workflow_id, entry in entries.items() if not entry.ended],
        waiting=[workflow_id for workflow_id, entry in entries.items() if entry.is_waiting],
    )


class SnapshotCycle:
    """Writes what has changed since the last cycle, then the marker."""

    def __init__(self, log: Log, partition: int, machine: PartitionMachine, *, trim_commands: bool) -> None:
        """Begin with nothing written. `trim_commands`: let go of decided commands after each cycle."""
        self._log = log
        self._partition = partition
        self._machine = machine
        self._trim_commands = trim_commands
        self._written: set[WorkflowId] = set()

    def note_restored(self, workflow_ids: list[WorkflowId]) -> None:
        """Take note of workflows that have a record in the topic already."""
        self._written.update(workflow_ids)

    async def write(self) -> int:
        """Write one cycle and return how many records it took.

        Raises:
            LogUnavailable: it is not complete; the next one will be.
        """
        machine = self._machine
        position = machine.acknowledged_position
        changed = dict(machine.changed)
        ids = list(changed)
        written = 0
        for start in range(0, len(ids), SLICE_WORKFLOWS):
            records = [
                record
                for workflow_id in ids[start : start + SLICE_WORKFLOWS]
                if (record := self._record(workflow_id, changed[workflow_id])) is not None
            ]
            await self._wait_acknowledged()
            if records:
                await self._log.append(SNAPSHOTS, self._partition, records)
                written += len(records)
            await asyncio.sleep(0)
        while machine.effects_sent < position.sequence:
            await asyncio.sleep(_POLL_S)
        marker = msgspec.structs.replace(position, effects_sent=machine.effects_sent)
        await self._log.append(SNAPSHOTS, self._partition, [NewRecord(key=MARKER_KEY, value=_encoder.encode(marker))])
        for workflow_id, sequence in changed.items():
            if machine.changed.get(workflow_id) == sequence:
                del machine.changed[workflow_id]
        await self._trim(position)
        return written + 1

    async def _trim(self, position: ChainPosition) -> None:
        """Let go of commands that are decided and whose effects are done: nobody will read them again."""
        if self._trim_commands and position.command_offset != NO_OFFSET:
            await self._log.trim(COMMANDS, self._partition, before_offset=position.command_offset + 1)

    def _record(self, workflow_id: WorkflowId, sequence: int) -> NewRecord | None:
        key = workflow_id.encode()
        state = self._machine.table.get(workflow_id) if workflow_id in self._machine.table else None
        if state is not None and not state.is_terminal:
            packed = self._machine.table.packed(workflow_id) or b""
            newest = self._machine.changed.get(workflow_id, sequence)
            self._written.add(workflow_id)
            header = _Header(
                sequence=newest,
                due_at_ms=_first_timer(state),
                ended=False,
                packed=packed,
                is_waiting=any(isinstance(effect, DispatchTask) for effect in standing_effects(state)),
            )
            return NewRecord(key=key, value=_encoder.encode(header))
        named = self._machine.table.has_ended(workflow_id) or (state is not None and not state.started.generated_id)
        if named:
            header = _Header(sequence=sequence, due_at_ms=0, ended=True, packed=b"")
            return NewRecord(key=key, value=_encoder.encode(header))
        if workflow_id in self._written:
            self._written.discard(workflow_id)
            return NewRecord(key=key, value=None)
        return None

    async def _wait_acknowledged(self) -> None:
        """Wait until what the states reflect is in the log: a snapshot must not be ahead of it."""
        sequence = self._machine.chain.sequence
        while self._machine.acknowledged_position.sequence < sequence:
            await asyncio.sleep(_POLL_S)


_POLL_S: Final = 0.002
"""Snapshots are in no hurry; an append takes about as long."""


def _first_timer(state: WorkflowState) -> int:
    deadline_ms = workflow_deadline_ms(state)
    due = [] if deadline_ms is None else [deadline_ms]
    due += [due_ms for task in open_tasks(state) if (due_ms := next_deadline_ms(task)) is not None]
    return min(due, default=0)


async def _all_records(log: Log, partition: int) -> AsyncIterator[LogRecord]:
    offsets = await log.offsets(SNAPSHOTS, partition)
    reader = log.reader(SNAPSHOTS, partition, from_offset=offsets.earliest)
    try:
        next_offset = offsets.earliest
        while next_offset < offsets.next:
            records = await reader.read(records_max=READ_RECORDS_MAX, wait_ms=1_000)
            if not records:
                offsets_now = await log.offsets(SNAPSHOTS, partition)
                if offsets_now.earliest > next_offset or next_offset >= offsets_now.next - 1:
                    return
                continue
            for record in records:
                if record.offset < offsets.next:
                    yield record
            next_offset = records[-1].offset + 1
    finally:
        await reader.close()
