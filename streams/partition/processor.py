"""The loop that drives a partition's machine: read, decide, append, and only then act.

Holds the asynchronous half of a partition. Must not decide anything. Keeps the law of the log: answers and effects
leave in the order of the decisions, each after its decision is durable; and it stops at the first sign that somebody
else owns the partition.

Life of a processor (`run`):
1. restore the newest snapshots;
2. append the claim, then replay the log up to it: what an earlier owner still appends behind the claim is void;
3. send what a crash may have left undone;
4. decide, batch after batch, until cancelled or fenced. Three tasks form a pipeline with bounded depth: `_decide`
   (reads and decides), `_acknowledge` (waits for the log), `_send` (waits for the receivers of effects).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec
import structlog

from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.errors import LogCorrupt, OwnershipLost
from streams.partition.chain import ChainPosition
from streams.partition.machine import PartitionMachine
from streams.partition.snapshots import Restored, SnapshotCycle, restore
from streams.partition.turn import Outbox, Turn
from streams.ports import Log, LogRecord, NewRecord
from streams.records import OwnerClaimed, encode
from streams.topics import COMMANDS, EVENTS

TURNS_IN_FLIGHT_MAX: Final = 8
"""Turns that wait for the log at once; beyond it decisions wait, and with them the reading of commands."""
COMMANDS_PER_TURN_MAX: Final = 500
REPLAY_RECORDS_MAX: Final = 5_000
IDLE_WAIT_MS: Final = 1_000
SNAPSHOT_EVERY_MS: Final = 30_000
SNAPSHOT_CHANGES: Final = 20_000
"""Changed workflows that make a snapshot due before its time."""

_log = structlog.get_logger(__name__)


class ProcessorPhase(StrEnum):
    """What a processor is doing."""

    RECOVERING = "RECOVERING"
    DECIDING = "DECIDING"
    STOPPED = "STOPPED"


class Outward(Protocol):
    """Where effects go."""

    def now(self, outbox: Outbox) -> None:
        """Do at once what never waits: answer callers, fill local queues."""
        ...

    async def send(self, partition: int, outbox: Outbox) -> None:
        """Send the rest and return when the receivers have acknowledged it.

        Raises:
            LogUnavailable: it is not known to have arrived; the same outbox may be sent again.
        """
        ...


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a processor names itself and when it writes snapshots."""

    owner: str
    url: str
    partitions: int
    snapshot_every_ms: int = SNAPSHOT_EVERY_MS
    snapshot_changes: int = SNAPSHOT_CHANGES
    trim_commands: bool = False
    """Let go of decided commands with each snapshot: nobody but this process reads them."""


class PartitionProcessor:
    """Owns one partition while `run` runs."""

    def __init__(
        self,
        *,
        log: Log,
        partition: int,
        machine: PartitionMachine,
        outward: Outward,
        settings: Settings,
        now_ms: Callable[[], int],
        load: Callable[[Sequence[LogRecord]], Awaitable[None]],
    ) -> None:
        """`load` fetches what decisions about these commands may need (definitions) before they are decided."""
        self.partition = partition
        self.machine = machine
        self.phase = ProcessorPhase.RECOVERING
        self._log = log
        self._outward = outward
        self._settings = settings
        self._now_ms = now_ms
        self._load = load
        self._inbox: deque[LogRecord] = deque()
        self._inbox_room = asyncio.Event()
        self._wake = asyncio.Event()
        self._turns: asyncio.Queue[tuple[Turn, Awaitable[int]]] = asyncio.Queue(TURNS_IN_FLIGHT_MAX)
        self._outboxes: asyncio.Queue[Outbox] = asyncio.Queue(TURNS_IN_FLIGHT_MAX)
        self._acknowledged = asyncio.Condition()
        self._recovered = asyncio.Event()
        self._snapshots = SnapshotCycle(log, partition, machine, trim_commands=settings.trim_commands)
        self._restored = Restored()
        self.read_offset = 0
        """The next command that will be read from the log."""

    async def run(self) -> None:
        """Recover, then decide until cancelled.

        Raises:
            Fenced: another owner has claimed the partition.
            LogUnavailable: the log does not say whether it took a batch; the partition must be claimed anew.
            LogCorrupt: the log cannot be trusted; the partition must stay halted.
        """
        try:
            outbox = await self._recover()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name=f"read-{self.partition}")
                group.create_task(self._decide(), name=f"decide-{self.partition}")
                group.create_task(self._acknowledge(), name=f"acknowledge-{self.partition}")
                group.create_task(self._send(), name=f"send-{self.partition}")
                group.create_task(self._snapshot(), name=f"snapshot-{self.partition}")
                self._outward.now(outbox)
                await self._outboxes.put(outbox)
                self.phase = ProcessorPhase.DECIDING
                self._recovered.set()
                await self._stand_restored()
        finally:
            self.phase = ProcessorPhase.STOPPED
            async with self._acknowledged:
                self._acknowledged.notify_all()

    async def wait_recovered(self) -> None:
        """Return when the partition decides."""
        await self._recovered.wait()

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state once everything that it reflects is in the log."""
        sequence = self.machine.chain.sequence
        state = self.machine.table.get(workflow_id)
        await self._wait_acknowledged(lambda position: position.sequence >= sequence)
        return state

    async def wait_decided(self, offset: int) -> None:
        """Return when the command at `offset` has been decided and its decision is in the log.

        Raises:
            OwnershipLost: the processor stopped before that.
        """
        await self._wait_acknowledged(lambda position: position.command_offset >= offset)

    async def _wait_acknowledged(self, is_reached: Callable[[ChainPosition], bool]) -> None:
        if is_reached(self.machine.acknowledged_position):
            return
        async with self._acknowledged:
            await self._acknowledged.wait_for(
                lambda: is_reached(self.machine.acknowledged_position) or self.phase is ProcessorPhase.STOPPED
            )
        if not is_reached(self.machine.acknowledged_position):
            message = f"partition {self.partition} left this process, or is being recovered; ask again in a moment"
            raise OwnershipLost(message)

    # ---- recovery

    async def _recover(self) -> Outbox:
        self._restored = await restore(self._log, self.partition, self.machine)
        self._snapshots.note_restored(self._restored.ids)
        claim = OwnerClaimed(
            owner=self._settings.owner,
            url=self._settings.url,
            at_ms=self._now_ms(),
            partitions=self._settings.partitions,
        )
        position = self.machine.acknowledged_position.next_offset
        claimed_at = await self._log.append(EVENTS, self.partition, [NewRecord(key=None, value=encode(claim))])
        await self._replay(position, claimed_at)
        outbox = self.machine.recovered()
        await self._reread(outbox)
        self.read_offset = self.machine.chain.command_offset + 1
        _log.info(
            "partition_recovered",
            partition=self.partition,
            epoch=claimed_at,
            sequence=self.machine.chain.sequence,
            workflows=len(self.machine.table),
            from_snapshot=len(self._restored.ids),
        )
        return outbox

    async def _replay(self, from_offset: int, claimed_at: int) -> None:
        reader = self._log.reader(EVENTS, self.partition, from_offset=from_offset)
        try:
            next_offset = from_offset
            while next_offset <= claimed_at:
                for record in await reader.read(records_max=REPLAY_RECORDS_MAX, wait_ms=IDLE_WAIT_MS):
                    if record.offset > claimed_at:
                        break
                    self.machine.replay(record)
                    next_offset = record.offset + 1
                await asyncio.sleep(0)
        finally:
            await reader.close()
        if self.machine.chain.epoch != claimed_at:
            message = f"events partition {self.partition}: the claim at offset {claimed_at} was not read back"
            raise LogCorrupt(message)

    async def _reread(self, outbox: Outbox) -> None:
        """Fetch the bytes of commands that were forwarded or parked just before the crash."""
        for decision in outbox.rereads:
            offset = decision.command_offset
            reader = self._log.reader(COMMANDS, self.partition, from_offset=offset)
            try:
                records = await reader.read(records_max=1, wait_ms=IDLE_WAIT_MS)
            finally:
                await reader.close()
            if not records or records[0].offset != offset:
                _log.error("command_gone", partition=self.partition, offset=offset, parked=decision.parked)
            elif decision.forwarded is not None:
                outbox.forwards.append((decision.forwarded, records[0]))
            else:
                outbox.dead_letters.append((records[0], decision.parked))

    async def _stand_restored(self) -> None:
        """Put what came from snapshots back into force, a few at a time: the first decision need not wait for it."""
        for number, workflow_id in enumerate(self._restored.waiting):
            self._outward.now(self.machine.standing(workflow_id))
            if number % 500 == 0:  # noqa: PLR2004 - about 5 ms of work
                await asyncio.sleep(0)
        self._wake.set()

    # ---- the pipeline

    async def _read(self) -> None:
        reader = self._log.reader(COMMANDS, self.partition, from_offset=self.read_offset)
        try:
            while True:
                while len(self._inbox) >= 2 * COMMANDS_PER_TURN_MAX:
                    self._inbox_room.clear()
                    await self._inbox_room.wait()
                records = await reader.read(records_max=COMMANDS_PER_TURN_MAX, wait_ms=IDLE_WAIT_MS)
                if records:
                    self._inbox.extend(records)
                    self.read_offset = records[-1].offset + 1
                    self._wake.set()
        finally:
            await reader.close()

    async def _decide(self) -> None:
        while True:
            if not self._inbox:
                await self._wait_for_work()
            self._wake.clear()
            commands = [self._inbox.popleft() for _ in range(min(len(self._inbox), COMMANDS_PER_TURN_MAX))]
            self._inbox_room.set()
            if commands:
                await self._load(commands)
            turn = self.machine.decide(commands, self._now_ms())
            if turn is not None:
                appended = self._log.append(EVENTS, self.partition, turn.records)
                await self._turns.put((turn, appended))
            else:
                await asyncio.sleep(0)

    async def _wait_for_work(self) -> None:
        due_at_ms = self.machine.timers.next_due_at_ms()
        if due_at_ms is None:
            await self._wake.wait()
            return
        delay_s = (due_at_ms - self._now_ms()) / 1000
        if delay_s <= 0 or self._wake.is_set():
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _acknowledge(self) -> None:
        while True:
            turn, appended = await self._turns.get()
            first_offset = await appended
            first_timer = self.machine.timers.next_due_at_ms()
            outbox = self.machine.acknowledged(turn, first_offset)
            self._outward.now(outbox)
            if self.machine.timers.next_due_at_ms() != first_timer:
                self._wake.set()
            async with self._acknowledged:
                self._acknowledged.notify_all()
            await self._outboxes.put(outbox)

    async def _send(self) -> None:
        while True:
            outbox = await self._outboxes.get()
            await self._outward.send(self.partition, outbox)
            self.machine.effects_done(outbox.sequence)

    async def _snapshot(self) -> None:
        every_s = self._settings.snapshot_every_ms / 1000
        waited_s = 0.0
        while True:
            await asyncio.sleep(min(1.0, every_s))
            waited_s += min(1.0, every_s)
            due = waited_s >= every_s or len(self.machine.changed) >= self._settings.snapshot_changes
            if due and self.machine.changed:
                written = await self._snapshots.write()
                _log.debug("snapshot_written", partition=self.partition, records=written)
                waited_s = 0.0
