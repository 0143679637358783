"""Snapshots of a partition: so that a new owner need not fold the whole log.

Holds the cycle that writes the `snapshots` topic. Must not block decisions: it packs a few workflows at a time. Keeps
the invariant that, when a marker is written, every workflow in memory has a record that reflects at least the marker's
position, and every other one that the log behind that position speaks of is known to have been let go: whoever restores
them and replays from there misses nothing, and skips what a later record already reflects.

One cycle (`SnapshotCycle.write`):
1. the fence, the first time; and tombstones for what the last complete cycle left behind;
2. the workflows that have changed, a slice at a time, each slice once the decisions in it are in the log;
3. the marker, once all effects of decisions up to its position have arrived;
4. the commands up to there are let go.

A workflow is kept here until it leaves memory, ended or not: a late result, or a retry, decides about an ended one too,
and that decision must find its state again. Then it leaves a header without a state, which the next cycle removes
unless its id must be remembered.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from engine.deadlines import next_deadline_ms, workflow_deadline_ms
from engine.effects import DispatchTask
from engine.ids import WorkflowId
from engine.model import WorkflowState, open_tasks
from engine.outward import standing_effects
from streams.partition.chain import ChainPosition
from streams.partition.machine import PartitionMachine
from streams.partition.restoring import Restored, restore
from streams.partition.snapshot_records import (
    fence,
    left_header,
    marker,
    packed_records,
    part_keys,
    state_records,
)
from streams.ports import Log, NewRecord
from streams.records import NO_OFFSET
from streams.topics import COMMANDS, SNAPSHOTS

__all__ = ["Restored", "SnapshotCycle", "restore"]

SLICE_WORKFLOWS: Final = 200
"""Packed at a time, about 2 ms of work; then decisions go first."""
TOMBSTONES_AT_ONCE: Final = 5_000
_POLL_S: Final = 0.002
"""Snapshots are in no hurry; an append takes about as long."""
_NO_PARTS: Final[Mapping[WorkflowId, Sequence[bytes]]] = MappingProxyType({})


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow adds to a slice. `is_left`: it is no longer in memory."""

    workflow_id: WorkflowId
    is_left: bool
    records: Sequence[NewRecord]


class SnapshotCycle:
    """Writes what has changed since the last cycle, then the marker."""

    def __init__(self, log: Log, partition: int, machine: PartitionMachine, *, trim_commands: bool) -> None:
        """Begin with nothing written. `trim_commands`: let go of decided commands after each cycle."""
        self._log = log
        self._partition = partition
        self._machine = machine
        self._trim_commands = trim_commands
        self._written: set[WorkflowId] = set()
        self._parts: dict[WorkflowId, list[bytes]] = {}
        self._left_over: dict[bytes, None] = {}
        self._returning: set[WorkflowId] = set()
        self._is_fenced = False
        self._is_first = True
        self._read_up_to = 0

    def note_restored(
        self,
        workflow_ids: Sequence[WorkflowId],
        *,
        left_over: Sequence[bytes] = (),
        parts: Mapping[WorkflowId, Sequence[bytes]] = _NO_PARTS,
        read_up_to: int = 0,
    ) -> None:
        """Take note of what is in the topic.

        Workflows, the keys of their parts, and keys that mean nothing any more.
        """
        self._read_up_to = read_up_to
        self._written.update(workflow_ids)
        self._left_over.update(dict.fromkeys(left_over))
        self._parts.update((workflow_id, list(keys)) for workflow_id, keys in parts.items())

    async def write(self) -> int:
        """Write one cycle and return how many records it took.

        Raises:
            LogUnavailable: it is not complete; the next one will be.
        """
        machine = self._machine
        position = machine.acknowledged_position
        changed = dict(machine.changed)
        ids = list(changed)
        written = await self._clear_away()
        left: list[WorkflowId] = []
        for start in range(0, len(ids), SLICE_WORKFLOWS):
            slice_ids = ids[start : start + SLICE_WORKFLOWS]
            written += await self._write_slice(slice_ids, changed, position, left)
            await asyncio.sleep(0)
        while machine.effects_sent < position.sequence:  # noqa: ASYNC110 - in no hurry: nobody need be woken for it
            await asyncio.sleep(_POLL_S)
        effects_sent = machine.effects_sent
        await self._append([marker(msgspec.structs.replace(position, effects_sent=effects_sent))])
        self._is_first = False
        for workflow_id, sequence in changed.items():
            if machine.changed.get(workflow_id) == sequence:
                del machine.changed[workflow_id]
        for workflow_id in left:
            if workflow_id not in self._written and not machine.table.has_ended(workflow_id):
                self._left_over[workflow_id.encode()] = None
        await self._trim(position)
        return written + 1

    async def keep(self, state: WorkflowState, *, sequence: int) -> None:
        """Write a workflow that comes back into memory, before any decision can build upon it.

        `sequence` is a decision of which the state reflects everything that concerns it.

        Raises:
            LogUnavailable: it is not known to be there.
        """
        workflow_id = state.workflow_id
        self._returning.add(workflow_id)
        try:
            self._left_over.pop(workflow_id.encode(), None)
            records = [*self._fence_once(), *state_records(state, sequence=sequence, epoch=self._machine.chain.epoch)]
            self._note_parts(workflow_id, records)
            self._written.add(workflow_id)
            await self._append(records)
        finally:
            self._returning.discard(workflow_id)

    async def _clear_away(self) -> int:
        """Write the fence, if it is due, and tombstones for what is left over."""
        keys = list(self._left_over)
        records = [*self._fence_once(), *(NewRecord(key=key, value=None) for key in keys)]
        for start in range(0, len(records), TOMBSTONES_AT_ONCE):
            await self._append(records[start : start + TOMBSTONES_AT_ONCE])
        for key in keys:
            self._left_over.pop(key, None)
        return len(records)

    def _fence_once(self) -> list[NewRecord]:
        if self._is_fenced:
            return []
        self._is_fenced = True
        return [fence(self._machine.chain.epoch, read_up_to=self._read_up_to)]

    async def _write_slice(
        self,
        ids: Sequence[WorkflowId],
        changed: dict[WorkflowId, int],
        position: ChainPosition,
        left: list[WorkflowId],
    ) -> int:
        pieces = [
            piece
            for workflow_id in ids
            if (piece := self._piece(workflow_id, changed[workflow_id], position)) is not None
        ]
        await self._wait_acknowledged()
        records: list[NewRecord] = []
        for piece in pieces:
            workflow_id = piece.workflow_id
            if piece.is_left:
                if workflow_id in self._returning or workflow_id in self._machine.table:
                    continue  # it has come back meanwhile, with a record of its own
                self._written.discard(workflow_id)
                left.append(workflow_id)
            else:
                self._written.add(workflow_id)
            self._note_parts(workflow_id, piece.records)
            records += piece.records
        if records:
            await self._append(records)
        return len(records)

    def _piece(self, workflow_id: WorkflowId, sequence: int, position: ChainPosition) -> _Piece | None:
        """Return what the topic must say of a workflow now, None if nothing."""
        machine = self._machine
        newest = machine.changed.get(workflow_id, sequence)
        state = machine.table.peek(workflow_id)
        if state is not None:
            records = state_records(
                state,
                sequence=newest,
                epoch=machine.chain.epoch,
                packed=machine.table.packed(workflow_id),
                due_at_ms=first_timer_ms(state),
                is_waiting=any(isinstance(effect, DispatchTask) for effect in standing_effects(state)),
            )
            return _Piece(workflow_id=workflow_id, is_left=False, records=records)
        packed = machine.limiters.packed(workflow_id)
        if packed is not None:
            due_at_ms = machine.limiters.due_at_ms(workflow_id)
            records = packed_records(
                workflow_id, packed, sequence=newest, epoch=machine.chain.epoch, due_at_ms=due_at_ms
            )
            return _Piece(workflow_id=workflow_id, is_left=False, records=records)
        is_named = machine.table.has_ended(workflow_id)
        is_unknown = workflow_id not in self._written and newest <= position.sequence
        if is_unknown and not is_named and not self._is_first:
            return None  # nobody will read of it: it began and was let go since the last marker, which is ours
        header = left_header(workflow_id, sequence=newest, epoch=machine.chain.epoch, is_named=is_named)
        return _Piece(workflow_id=workflow_id, is_left=True, records=[header])

    def _note_parts(self, workflow_id: WorkflowId, records: Sequence[NewRecord]) -> None:
        """Take note of the parts that a workflow consists of now; those before mean nothing once these are there."""
        keys = part_keys(records, workflow_id)
        before = self._parts.pop(workflow_id, [])
        self._left_over.update((key, None) for key in before if key not in keys)
        if keys:
            self._parts[workflow_id] = keys

    async def _append(self, records: Sequence[NewRecord]) -> None:
        await self._log.append(SNAPSHOTS, self._partition, records)

    async def _trim(self, position: ChainPosition) -> None:
        """Let go of commands that are decided and whose effects are done: nobody will read them again."""
        if self._trim_commands and position.command_offset != NO_OFFSET:
            await self._log.trim(COMMANDS, self._partition, before_offset=position.command_offset + 1)

    async def _wait_acknowledged(self) -> None:
        """Wait until what the states reflect is in the log: a snapshot must not be ahead of it."""
        sequence = self._machine.chain.sequence
        while self._machine.acknowledged_position.sequence < sequence:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_POLL_S)


def first_timer_ms(state: WorkflowState) -> int:
    """Return when a workflow must first be looked at, 0 if never."""
    if state.is_terminal:
        return 0
    deadline_ms = workflow_deadline_ms(state)
    due = [] if deadline_ms is None else [deadline_ms]
    due += [due_ms for task in open_tasks(state) if (due_ms := next_deadline_ms(task)) is not None]
    return min(due, default=0)
