"""Bugs on purpose: a simulator that has never failed proves nothing.

Holds patches of the system under test, each a mistake that somebody could make, and the number of seeds within which
it must be found. Must not be imported by anything but tests and the runner's `--bug`. Keeps the product free of
switches: every bug is put in from outside and taken out again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final
from unittest import mock

import msgspec
from msgspec.structs import replace

from engine import deadlines
from engine.model import OpenTask, WorkflowState
from engine.tasks import join
from streams.errors import Fenced
from streams.partition.chain import Chain
from streams.partition.machine import PartitionMachine
from streams.partition.table import WorkflowTable
from streams.partition.turn import Outbox, Turn
from streams.ports import LogRecord
from streams.records import DecisionRecord, OwnerClaimed, decode
from tests.simulation.owner import Owner


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake, and within how many seeds (from 0) it must be found."""

    name: str
    mistake: str
    seeds_max: int
    put_in: Callable[[], AbstractContextManager[object]]


def _no_fencing() -> AbstractContextManager[object]:
    acknowledged = PartitionMachine.acknowledged

    def trusting(self: PartitionMachine, turn: Turn, first_offset: int) -> Outbox:
        self.acknowledged_position = replace(self.acknowledged_position, next_offset=first_offset)
        return acknowledged(self, turn, first_offset)

    return mock.patch.object(PartitionMachine, "acknowledged", trusting)


def _effects_before_the_acknowledgement() -> AbstractContextManager[object]:
    append_turn = Owner.append_turn

    def hasty(self: Owner, turn: Turn) -> None:
        append_turn(self, turn)
        machine = self.machine
        assert machine is not None
        self.out(machine.acknowledged(turn, machine.acknowledged_position.next_offset))

    def late(self: Owner, turn: Turn, offset: int) -> bool:
        """Notice only now that the turn is not where it should be."""
        end = self.machine.acknowledged_position.next_offset if self.machine is not None else -1
        if offset > end:
            self.give_up("fenced, too late")
            return False
        return True

    return mock.patch.multiple(Owner, append_turn=hasty, acknowledge=late)


def _commands_are_decided_again() -> AbstractContextManager[object]:
    decide = PartitionMachine.decide

    def forgetful(self: PartitionMachine, commands: Sequence[LogRecord], now_ms: int) -> Turn | None:
        if commands:
            self.chain.command_offset = min(self.chain.command_offset, commands[0].offset - 1)
        return decide(self, commands, now_ms)

    return mock.patch.object(PartitionMachine, "decide", forgetful)


def _timers_are_rounded_down() -> AbstractContextManager[object]:
    exact = deadlines.deadlines

    def rounded(task: OpenTask) -> list[tuple[deadlines.DeadlineKind, int]]:
        return [(kind, at_ms // 1_000 * 1_000) for kind, at_ms in exact(task)]

    return mock.patch.object(deadlines, "deadlines", rounded)


def _epochs_are_ignored() -> AbstractContextManager[object]:
    read = Chain.read

    def credulous(self: Chain, record: LogRecord) -> DecisionRecord | OwnerClaimed | None:
        entry = decode(record.value or b"")
        if isinstance(entry, OwnerClaimed):
            return read(self, record)
        epoch, self.epoch = self.epoch, entry.epoch
        try:
            return read(self, record)
        finally:
            self.epoch = epoch

    return mock.patch.object(Chain, "read", credulous)


def _undone_effects_are_forgotten() -> AbstractContextManager[object]:
    recovered = PartitionMachine.recovered

    def forgetful(self: PartitionMachine) -> Outbox:
        self._undone.clear()
        return recovered(self)

    return mock.patch.object(PartitionMachine, "recovered", forgetful)


def _effects_count_as_done_when_sent() -> AbstractContextManager[object]:
    acknowledged = PartitionMachine.acknowledged

    def optimistic(self: PartitionMachine, turn: Turn, first_offset: int) -> Outbox:
        outbox = acknowledged(self, turn, first_offset)
        self.effects_done(outbox.sequence)
        return outbox

    return mock.patch.object(PartitionMachine, "acknowledged", optimistic)


def _timers_are_not_taken_up() -> AbstractContextManager[object]:
    def idle(self: PartitionMachine, outbox: Outbox, state: WorkflowState) -> None:
        del self, outbox, state

    return mock.patch.object(PartitionMachine, "_stand", idle)


def _joins_end_early() -> AbstractContextManager[object]:
    return mock.patch.object(join, "_has_open_branch", return_value=False)


def _ended_children_are_forgotten() -> AbstractContextManager[object]:
    def forgetful(self: WorkflowTable, workflow_id: str) -> None:
        del self, workflow_id

    return mock.patch.object(WorkflowTable, "note_ended", forgetful)


def _forwarded_commands_are_dropped() -> AbstractContextManager[object]:
    acknowledged = PartitionMachine.acknowledged

    def careless(self: PartitionMachine, turn: Turn, first_offset: int) -> Outbox:
        outbox = acknowledged(self, turn, first_offset)
        outbox.forwards.clear()
        return outbox

    return mock.patch.object(PartitionMachine, "acknowledged", careless)


def _fenced_owners_carry_on() -> AbstractContextManager[object]:
    acknowledged = PartitionMachine.acknowledged

    def stubborn(self: PartitionMachine, turn: Turn, first_offset: int) -> Outbox:
        try:
            return acknowledged(self, turn, first_offset)
        except Fenced:
            self._in_flight.clear()
            return Outbox(sequence=self.effects_sent)

    return mock.patch.object(PartitionMachine, "acknowledged", stubborn)


def _time_goes_back() -> AbstractContextManager[object]:
    decide = PartitionMachine.decide

    def without_memory(self: PartitionMachine, commands: Sequence[LogRecord], now_ms: int) -> Turn | None:
        self.chain.at_ms = 0
        return decide(self, commands, now_ms)

    return mock.patch.object(PartitionMachine, "decide", without_memory)


BUGS: Final[tuple[Bug, ...]] = (
    Bug(name="no-fencing", mistake="an append that landed elsewhere is acknowledged", seeds_max=50, put_in=_no_fencing),
    Bug(
        name="hasty-effects",
        mistake="effects and answers leave before the append is acknowledged",
        seeds_max=10,
        put_in=_effects_before_the_acknowledgement,
    ),
    Bug(
        name="decided-twice",
        mistake="a command that is read again is decided again",
        seeds_max=50,
        put_in=_commands_are_decided_again,
    ),
    Bug(
        name="early-timers",
        mistake="deadlines are rounded down to seconds",
        seeds_max=10,
        put_in=_timers_are_rounded_down,
    ),
    Bug(
        name="no-epochs",
        mistake="readers believe owners that lost the partition",
        seeds_max=50,
        put_in=_epochs_are_ignored,
    ),
    Bug(
        name="forgotten-effects",
        mistake="a new owner does not send again what was left undone",
        seeds_max=50,
        put_in=_undone_effects_are_forgotten,
    ),
    Bug(
        name="optimistic-effects",
        mistake="effects count as done before their receivers have them",
        seeds_max=100,
        put_in=_effects_count_as_done_when_sent,
    ),
    Bug(
        name="lost-timers",
        mistake="a new owner does not take up the timers",
        seeds_max=50,
        put_in=_timers_are_not_taken_up,
    ),
    Bug(name="early-joins", mistake="a JOIN does not wait for its branches", seeds_max=10, put_in=_joins_end_early),
    Bug(
        name="reborn-workflows",
        mistake="the ids of ended workflows are not remembered",
        seeds_max=100,
        put_in=_ended_children_are_forgotten,
    ),
    Bug(
        name="dropped-forwards",
        mistake="a command of another partition is decided and thrown away",
        seeds_max=100,
        put_in=_forwarded_commands_are_dropped,
    ),
    Bug(
        name="stubborn-owners",
        mistake="an owner that is fenced goes on instead of claiming anew",
        seeds_max=50,
        put_in=_fenced_owners_carry_on,
    ),
    Bug(
        name="clock-only",
        mistake="the time of a decision is the clock's, even if the log is ahead of it",
        seeds_max=50,
        put_in=_time_goes_back,
    ),
)
