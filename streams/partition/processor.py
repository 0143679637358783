"""The loop that drives a partition's machine: read, decide, append, and only then act.

Holds the asynchronous half of a partition. Must not decide anything. Keeps the law of the log: answers and effects
leave in the order of the decisions, each after its decision is durable; and it stops at the first sign that somebody
else owns the partition.

Life of a processor (`run`):
1. recover (`streams.partition.recovery`): snapshots, claim, the log up to the claim;
2. send what a crash may have left undone;
3. decide, batch after batch, until cancelled or fenced. Three tasks form a pipeline with bounded depth: `_decide`
   (reads and decides), `_acknowledge` (waits for the log), `_send` (waits for the receivers of effects);
4. at the end, whatever brings it: tell everybody who waits, and let land what is on its way into the log.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import msgspec
import structlog

from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.errors import LogCorrupt, OffsetOutOfRange, OwnershipLost
from streams.milestone import Milestone
from streams.partition.handover import Handover
from streams.partition.machine import PartitionMachine
from streams.partition.recovery import Recovered, recover
from streams.partition.snapshots import SnapshotCycle
from streams.partition.turn import Outbox, Turn
from streams.ports import Log, LogReader, LogRecord
from streams.records import OwnerClaimed
from streams.topics import COMMANDS, EVENTS
from streams.watches import Watches

TURNS_IN_FLIGHT_MAX: Final = 8
"""Turns that wait for the log at once; beyond it decisions wait, and with them the reading of commands."""
COMMANDS_PER_TURN_MAX: Final = 500
INBOX_COMMANDS_MAX: Final = 1_000
"""Commands that are read ahead of the decisions; the read that passes this is the last one."""
READ_WAIT_MS: Final = 1_000
LOOK_AGAIN_AFTER_S: Final = 1.0
"""A partition that sleeps towards a timer looks at the clock so often: it may have been put forward."""
STAND_AT_ONCE: Final = 500
"""Restored workflows that are put back into force before others get a turn: about 5 ms of work."""
BACKLOG_WAIT_S: Final = 5.0
"""For the commands that were there at the claim. A topic that ends with a transaction's mark never tells that it has
been read to its end."""
LANDING_WAIT_S: Final = 5.0
"""At the end, for appends on their way; the log itself gives up on one in about as long."""
SNAPSHOT_EVERY_MS: Final = 30_000
SNAPSHOT_CHANGES: Final = 20_000
"""Changed workflows that make a snapshot due before its time."""

Sent: TypeAlias = Awaitable[object] | None
"""Tells when what was handed over is durable there; None: nothing to wait for."""

_log = structlog.get_logger(__name__)


class ProcessorPhase(StrEnum):
    """What a processor is doing."""

    RECOVERING = "RECOVERING"
    DECIDING = "DECIDING"
    STOPPED = "STOPPED"


class Outward(Protocol):
    """Where effects go."""

    def now(self, outbox: Outbox) -> Sent:
        """Do at once what never waits: answer callers, hand out tasks. What it returns goes into `send`."""
        ...

    async def send(self, partition: int, outbox: Outbox, handed_out: Sent) -> None:
        """Send the rest and return when all receivers have acknowledged it.

        Raises:
            LogUnavailable: it is not known to have arrived; the same outbox may be sent again.
        """
        ...


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a processor names itself and when it writes snapshots.

    `is_alone`: nobody but this process reads the commands or hands out the tasks. So decided commands are let go with
    each snapshot; and after a recovery tasks are offered once the commands that were there have been decided, because a
    claim or a result may be among them.
    """

    owner: str
    url: str
    partitions: int
    snapshot_every_ms: int = SNAPSHOT_EVERY_MS
    snapshot_changes: int = SNAPSHOT_CHANGES
    is_alone: bool = False


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
        handover: Handover | None = None,
    ) -> None:
        """`load` fetches what decisions about commands may need; `handover` is told of what the log has of them."""
        self.partition = partition
        self.machine = machine
        self.phase = ProcessorPhase.RECOVERING
        self._log = log
        self._outward = outward
        self._settings = settings
        self._now_ms = now_ms
        self._load = load
        self._handover = handover or Handover(decisions_max=0)
        self._inbox: deque[LogRecord] = deque()
        self._inbox_room = asyncio.Event()
        self._wake = asyncio.Event()
        self._round_s = 0.0
        """How long the event loop last took to come round."""
        self._turns: asyncio.Queue[tuple[Turn, Awaitable[int]]] = asyncio.Queue(TURNS_IN_FLIGHT_MAX)
        self._landing: deque[Awaitable[object]] = deque()
        """Appends of turns that are not acknowledged yet, oldest first."""
        self._outboxes: asyncio.Queue[tuple[Outbox, Sent]] = asyncio.Queue(TURNS_IN_FLIGHT_MAX)
        self._decided = Milestone(-1)
        """The offset of the newest command whose decision is in the log."""
        self._stored = Milestone(-1)
        """The sequence number of the newest decision that is in the log."""
        self.watches = Watches()
        """Who waits for the next decision about a workflow."""
        self._recovered = asyncio.Event()
        self._returning = asyncio.Lock()
        self._snapshots = SnapshotCycle(log, partition, machine, trim_commands=settings.is_alone)
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
            recovered = await self._recover()
            async with asyncio.TaskGroup() as group:
                standing = self._begin(recovered)
                group.create_task(self._read(), name=f"read-{self.partition}")
                group.create_task(self._decide(), name=f"decide-{self.partition}")
                group.create_task(self._acknowledge(), name=f"acknowledge-{self.partition}")
                group.create_task(self._send(), name=f"send-{self.partition}")
                group.create_task(self._snapshot(), name=f"snapshot-{self.partition}")
                await self._stand(standing, recovered.backlog)
        finally:
            self.phase = ProcessorPhase.STOPPED
            self._handover.close()
            self._decided.give_up()
            self._stored.give_up()
            self.watches.leave()
            await self.wait_landed()

    async def wait_recovered(self) -> None:
        """Return when the partition decides."""
        await self._recovered.wait()

    async def wait_landed(self) -> None:
        """Return when nothing of a stopped processor is on its way any more, into the log or to workers' topics."""
        while not self._outboxes.empty():
            _, handed_out = self._outboxes.get_nowait()
            if handed_out is not None:
                self._landing.append(handed_out)
        if self._landing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LANDING_WAIT_S):
                    await asyncio.gather(*map(asyncio.shield, self._landing), return_exceptions=True)

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state once everything that it reflects is in the log.

        Raises:
            OwnershipLost: the processor stopped before that.
        """
        sequence = self.machine.chain.sequence
        state = self.machine.table.get(workflow_id)
        if not await self._stored.wait(sequence):
            raise self._lost()
        return state

    async def wait_decided(self, offset: int) -> None:
        """Return when the command at `offset` has been decided and its decision is in the log.

        Raises:
            OwnershipLost: the processor stopped before that.
        """
        if not await self._decided.wait(offset):
            raise self._lost()

    async def take_back(
        self, workflow_id: WorkflowId, fetch: Callable[[WorkflowId], Awaitable[WorkflowState | None]]
    ) -> WorkflowState | None:
        """Hold an ended workflow again; return it as `fetch` knows it, None if it is here or not known as ended.

        It is in the snapshots before it is here: whoever recovers the partition must find what the next decision about
        it builds upon. Its newest event lies before the log's present end, since it left memory only after the history
        had all of it; one at a time, so that no other call brings it back, changes it and lets it go meanwhile.

        Raises:
            OwnershipLost: the processor stopped before that.
            LogUnavailable, StoreFull: the snapshot is not known to be stored.
        """
        async with self._returning:
            if workflow_id in self.machine.table or self.machine.table.is_removed(workflow_id):
                return None
            sequence = self.machine.acknowledged_position.sequence
            state = await fetch(workflow_id)
            if state is None or not state.is_terminal:
                return None
            await self._snapshots.keep(state, sequence=sequence)
            if self.phase is not ProcessorPhase.DECIDING:
                raise self._lost()
            self.machine.adopt(state)
            return state

    def _lost(self) -> OwnershipLost:
        message = f"partition {self.partition} left this process, or is being recovered; ask again in a moment"
        return OwnershipLost(message)

    # ---- recovery

    async def _recover(self) -> Recovered:
        claim = OwnerClaimed(
            owner=self._settings.owner,
            url=self._settings.url,
            at_ms=self._now_ms(),
            partitions=self._settings.partitions,
        )
        recovered = await recover(self._log, self.partition, self.machine, claim)
        restored = recovered.restored
        self._snapshots.note_restored(
            restored.ids, left_over=restored.left_over, parts=restored.parts, read_up_to=restored.read_up_to
        )
        self.read_offset = self.machine.chain.command_offset + 1
        self._note_stored()
        return recovered

    def _begin(self, recovered: Recovered) -> dict[WorkflowId, None]:
        """Begin to decide and to act; return the workflows whose tasks have still to be put back into force."""
        outbox = recovered.outbox
        standing = dict.fromkeys(recovered.restored.waiting)
        if self._settings.is_alone:
            standing.update((state.workflow_id, None) for state, _ in outbox.dispatches)
            outbox.dispatches.clear()
        self.phase = ProcessorPhase.DECIDING  # from here on others may ask; first of all, the receivers of the outbox
        self._handover.open(self.machine.acknowledged_position.next_offset)
        self._outboxes.put_nowait((outbox, self._outward.now(outbox)))
        for workflow_id in recovered.restored.ended:
            state = self.machine.table.peek(workflow_id)
            if state is not None and workflow_id not in self.machine.changed:  # those are in the outbox
                self._outward.now(Outbox(kept=[state]))
        self._recovered.set()
        return standing

    async def _stand(self, workflow_ids: dict[WorkflowId, None], backlog: int) -> None:
        """Put tasks that are out back into force, a few at a time: the first decision need not wait for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BACKLOG_WAIT_S):
                await self._decided.wait(backlog)
        for number, workflow_id in enumerate(workflow_ids):
            # What stands must be in the log: the newest decision about it may have been made a moment ago.
            while (sequence := self.machine.changed.get(workflow_id, 0)) > self._stored.value:
                if not await self._stored.wait(sequence):
                    return
            self._outward.now(self.machine.standing(workflow_id))
            if number % STAND_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._wake.set()

    # ---- the pipeline

    async def _read(self) -> None:
        while True:
            reader = self._log.reader(COMMANDS, self.partition, from_offset=self.read_offset)
            try:
                await self._read_on(reader)
            except OffsetOutOfRange as error:
                await self._step_over_gap(error)
            finally:
                await reader.close()

    async def _read_on(self, reader: LogReader) -> None:
        while True:
            while len(self._inbox) >= INBOX_COMMANDS_MAX:
                self._inbox_room.clear()
                await self._inbox_room.wait()
            records = await reader.read(records_max=COMMANDS_PER_TURN_MAX, wait_ms=READ_WAIT_MS)
            if records:
                self._inbox.extend(records)
                self.read_offset = records[-1].offset + 1
                self._wake.set()

    async def _step_over_gap(self, error: OffsetOutOfRange) -> None:
        """Go on behind commands that retention took undecided, and say so: no wait brings them back."""
        held = await self._log.offsets(COMMANDS, self.partition)
        if held.earliest <= self.read_offset:
            message = (
                f"commands partition {self.partition} ends at offset {held.next}, but everything before "
                f"{self.read_offset} has been decided: the topic was cut or made anew ({error})"
            )
            raise LogCorrupt(message) from error
        _log.error("commands_gone", partition=self.partition, from_offset=self.read_offset, before_offset=held.earliest)
        self.read_offset = held.earliest

    async def _decide(self) -> None:
        loop = asyncio.get_running_loop()
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
                self._landing.append(appended)
                await self._turns.put((turn, appended))
            turned_at = loop.time()
            await asyncio.sleep(0)  # many due timers must not keep acknowledgements waiting
            self._round_s = loop.time() - turned_at

    async def _wait_for_work(self) -> None:
        due_at_ms = self.machine.timers.next_due_at_ms()
        if due_at_ms is None:
            await self._wake.wait()
            return
        delay_s = (due_at_ms - self._now_ms()) / 1000
        # A busy loop would look at a timer of its own a round too late, and act on it after all that came in.
        if delay_s <= self._round_s or self._wake.is_set():
            return
        timer = asyncio.get_running_loop().call_later(min(delay_s, LOOK_AGAIN_AFTER_S), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _acknowledge(self) -> None:
        while True:
            turn, appended = await self._turns.get()
            first_offset = await asyncio.shield(appended)  # whatever becomes of this task, it lands
            self._landing.popleft()
            first_timer = self.machine.timers.next_due_at_ms()
            outbox = self.machine.acknowledged(turn, first_offset)
            handed_out = self._outward.now(outbox)
            if self.machine.timers.next_due_at_ms() != first_timer:
                self._wake.set()
            self._note_stored()
            if self.watches:
                self.watches.decided(item.record.workflow_id for item in turn.decided)
            self._handover.offer(turn, self.machine.acknowledged_position)
            await self._outboxes.put((outbox, handed_out))

    async def _send(self) -> None:
        while True:
            outbox, handed_out = await self._outboxes.get()
            await self._outward.send(self.partition, outbox, handed_out)
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

    def _note_stored(self) -> None:
        position = self.machine.acknowledged_position
        self._stored.reach(position.sequence)
        self._decided.reach(position.command_offset)
