"""One process's ownership of one partition: the steps of the processor, one by one, around the real machine.

Holds the same life as `streams.partition.processor` without asyncio: restore, claim, replay, send what was left
undone, decide batch after batch. Must not decide. Keeps the law of the log as the processor does: a turn's answers
and effects leave when its append has been acknowledged, in the order of the turns. Between any two steps the process
may crash, stand still or lose the partition unawares.
"""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import msgspec

from engine.commands import Command
from engine.ids import TaskId, WorkflowId
from engine.model import OpenTask, WorkflowState, id_of
from streams.errors import Fenced
from streams.partition.machine import PartitionMachine
from streams.partition.recovery import Recovered, recover
from streams.partition.table import WorkflowTable
from streams.partition.turn import Outbox, Turn
from streams.ports import Log, NewRecord
from streams.records import OwnerClaimed
from streams.topics import COMMANDS, EVENTS
from tests.simulation import outgoing
from tests.simulation.awaiting import SimulatedLog, drive
from tests.simulation.clockwork import Action
from tests.simulation.producer import Producer, Told
from tests.simulation.snapshots import SnapshotWriter

if TYPE_CHECKING:  # a process holds its owners
    from tests.simulation.process import Process

TURNS_IN_FLIGHT_MAX: Final = 3
AGAIN_AFTER_MS: Final = 300
"""How long an owner that lost the partition, or the log, waits before it claims anew."""
BACKLOG_WAIT_MS: Final = 5_000
STAND_AGAIN_AFTER_MS: Final = 100
SMALL_TABLE: Final = 3


class _Pending(msgspec.Struct, kw_only=True):
    """A turn that waits for the log, and what it was told meanwhile."""

    turn: Turn
    is_told: bool = False
    offset: int | None = None


class Owner:
    """An owner, from its first claim until it is told to stop. Each claim begins a new life."""

    def __init__(self, process: "Process", partition: int) -> None:
        """Begin with nothing claimed."""
        self.process = process
        self.world = process.world
        self.partition = partition
        self.life = 0
        self.machine: PartitionMachine | None = None
        self.producer = Producer(process)
        self._reporter = Producer(process)
        """For claims and reports, which do not end a life when their fate is unknown."""
        self.queue: dict[TaskId, tuple[WorkflowState, OpenTask]] = {}
        """Tasks that wait for a worker in this process's memory, where queues are not durable."""
        self._pending: deque[_Pending] = deque()
        self._outboxes: deque[Outbox] = deque()
        self._sending = False
        self._next_command = 0
        self._is_pumping = False
        self._wakes_at_ms: int | None = None
        self._snapshots: SnapshotWriter | None = None
        self._returning: set[WorkflowId] = set()

    @property
    def is_alone(self) -> bool:
        """Whether no other process ever owns anything, as with the embedded log."""
        return self.world.faults.processes == 1 and not self.world.faults.durable_queues

    # ---- one life

    def begin(self) -> None:
        """Restore, then claim, in a new life."""
        self._end_life()
        self.producer = Producer(self.process)
        self._reporter = Producer(self.process)
        self.after(self.world.delay_ms(), self._restore)

    def stop(self) -> None:
        """End this life; nothing of it is done any more, but what it has sent may still land."""
        self._end_life()
        self.producer.cut()
        self._reporter.cut()

    def after(self, delay_ms: int, action: Action) -> None:
        """Do something later, if this life still lasts."""
        self.process.after(delay_ms, partial(self._in_life, self.life, action))

    def while_alive(self, told: Told) -> Told:
        """Return a `told` that is not called any more when this life has ended."""
        return partial(self._in_life_told, self.life, told)

    def _in_life(self, life: int, action: Action) -> None:
        if life == self.life:
            action()

    def _in_life_told(self, life: int, told: Told, offset: int | None) -> None:
        if life == self.life:
            told(offset)

    def _end_life(self) -> None:
        self.life += 1
        self.machine = None
        self.queue.clear()
        self._pending.clear()
        self._outboxes.clear()
        self._returning.clear()
        self._snapshots = None
        self._sending = False
        self._is_pumping = False
        self._wakes_at_ms = None

    def give_up(self, why: str) -> None:
        """Stop trusting this life: fenced, or told that nothing is known. Claim anew after a moment."""
        self.world.say("give up", f"{self} {why}")
        self.world.count("given_up")
        self.stop()
        self.process.after(AGAIN_AFTER_MS, partial(self._in_life, self.life, self.begin))

    def __str__(self) -> str:
        return f"{self.process.name}/{self.partition}"

    # ---- recovery

    def _restore(self) -> None:
        world = self.world
        machine = PartitionMachine(
            partition=self.partition,
            partitions=world.faults.partitions,
            definitions=world.library.shelf,
            noise=world.rng.random,
            durable_queues=world.faults.durable_queues,
        )
        if world.faults.small_table:
            machine.table = WorkflowTable(hot_max=SMALL_TABLE)
        claim = OwnerClaimed(
            owner=self.process.name, url="", at_ms=self.process.now_ms, partitions=world.faults.partitions
        )
        log = cast("Log", SimulatedLog(world.topics, self.producer))
        running = recover(log, self.partition, machine, claim)
        drive(self, running, done=partial(self._recovered, machine), failed=lambda error: self.give_up(str(error)))

    def _recovered(self, machine: PartitionMachine, recovered: Recovered) -> None:
        world = self.world
        world.say("claim", f"{self} epoch {machine.chain.epoch}")
        world.count("claims")
        world.audit.recovered(machine)
        self.machine = machine
        self._next_command = machine.chain.command_offset + 1
        if world.faults.early_reads:
            earliest = world.topics.range(COMMANDS, self.partition).earliest
            self._next_command = max(earliest, self._next_command - world.rng.randrange(4))
        self._snapshots = SnapshotWriter(self, machine, recovered.restored)
        self._snapshots.plan()
        standing = dict.fromkeys(recovered.restored.waiting)
        if self.is_alone:
            standing.update((state.workflow_id, None) for state, _ in recovered.outbox.dispatches)
            recovered.outbox.dispatches.clear()
        self.out(recovered.outbox)
        for workflow_id in recovered.restored.ended:
            self._evict_later(workflow_id)
        if standing:
            self._stand(list(standing), recovered.backlog, self.process.now_ms + BACKLOG_WAIT_MS)
        self.pump()

    def _stand(self, workflow_ids: list[WorkflowId], backlog: int, until_ms: int) -> None:
        """Put tasks that are out back into force: behind the commands that were there, and only what is in the log."""
        machine = self.machine
        if machine is None:
            return
        position = machine.acknowledged_position
        if position.command_offset >= backlog or self.process.now_ms >= until_ms:
            stored = [one for one in workflow_ids if machine.changed.get(one, 0) <= position.sequence]
            for workflow_id in stored:
                self._now(machine.standing(workflow_id))
            workflow_ids = [one for one in workflow_ids if one not in stored]
        if workflow_ids:
            self.after(STAND_AGAIN_AFTER_MS, partial(self._stand, workflow_ids, backlog, until_ms))

    # ---- deciding

    def wake(self) -> None:
        """Look for work soon; many wakes make one look."""
        if self.machine is not None and not self._is_pumping:
            self._is_pumping = True
            self.after(self.world.rng.randrange(4), self.pump)

    def pump(self) -> None:
        """Decide about what has arrived and what is due, as long as the log keeps up."""
        self._is_pumping = False
        machine = self.machine
        while machine is not None and machine.in_flight < TURNS_IN_FLIGHT_MAX:
            batch = self.world.topics.read_now(
                COMMANDS, self.partition, from_offset=self._next_command, records_max=self.world.rng.randint(1, 6)
            )
            turn = machine.decide(batch, self.process.now_ms)
            if batch:
                self._next_command = batch[-1].offset + 1
            if turn is None:
                if batch:
                    continue
                break
            self.process.step("decided")
            self.append_turn(turn)
        self._wake_for_timers()

    def append_turn(self, turn: Turn) -> None:
        """Send a turn to the log."""
        pending = _Pending(turn=turn)
        self._pending.append(pending)
        told = self.while_alive(partial(self._appended, pending))
        self.producer.append(EVENTS, self.partition, turn.records, told)
        self.process.step("append sent")

    def _wake_for_timers(self) -> None:
        due_at_ms = None if self.machine is None else self.machine.timers.next_due_at_ms()
        if due_at_ms is None or (self._wakes_at_ms is not None and self._wakes_at_ms <= due_at_ms):
            return
        self._wakes_at_ms = due_at_ms
        self.after(max(0, due_at_ms - self.process.now_ms), partial(self._timer_woke, due_at_ms))

    def _timer_woke(self, due_at_ms: int) -> None:
        if self._wakes_at_ms == due_at_ms:
            self._wakes_at_ms = None
        self.wake()

    # ---- acknowledgement

    def _appended(self, pending: _Pending, offset: int | None) -> None:
        pending.is_told, pending.offset = True, offset
        while self._pending and self._pending[0].is_told:
            head = self._pending.popleft()
            if head.offset is None:
                self.give_up("an append is of unknown fate")
                return
            if not self.acknowledge(head.turn, head.offset):
                return
        self.wake()

    def acknowledge(self, turn: Turn, offset: int) -> bool:
        """Take note that a turn is in the log, and let its effects out; tell whether the owner goes on."""
        machine = self.machine
        if machine is None:
            return False
        self.process.step("acknowledged")
        try:
            outbox = machine.acknowledged(turn, offset)
        except Fenced as error:
            self.world.count("fenced")
            self.give_up(str(error))
            return False
        self.world.audit.acknowledged(machine, turn)
        self.out(outbox)
        self._wake_for_timers()
        return True

    # ---- effects

    def out(self, outbox: Outbox) -> None:
        """Let the effects of an outbox out: at once what never waits, the rest in its turn."""
        self._now(outbox)
        self._outboxes.append(outbox)
        self.after(self.world.rng.randrange(3), self._send)
        for state in (*outbox.outcomes, *outbox.kept):
            self._evict_later(state.workflow_id)

    def _now(self, outbox: Outbox) -> None:
        outgoing.do_now(self, outbox)

    def _send(self) -> None:
        """Send the oldest outbox, if none is under way, and wait for all its receivers."""
        if self._sending or not self._outboxes:
            return
        self._sending = True
        outbox = self._outboxes[0]
        batches = outgoing.batches_of(self, outbox)
        waiting = set(range(len(batches)))
        if not batches:
            self._sent(outbox)
        for number, (topic, partition, records) in enumerate(batches):
            told = partial(self._receiver_told, outbox, waiting, number)
            self.producer.append(topic, partition, records, self.while_alive(told))
            self.process.step("between effects")

    def _receiver_told(self, outbox: Outbox, waiting: set[int], number: int, offset: int | None) -> None:
        if offset is None:
            self.give_up("effects are of unknown fate")
            return
        waiting.discard(number)
        if not waiting:
            self._sent(outbox)

    def _sent(self, outbox: Outbox) -> None:
        self.process.step("effects sent")
        self._outboxes.popleft()
        self._sending = False
        if self.machine is not None:
            self.machine.effects_done(outbox.sequence)
        self._send()

    def _evict_later(self, workflow_id: WorkflowId) -> None:
        if self.world.faults.evictions:
            self.after(self.world.rng.randint(100, 8_000), partial(self._evict, workflow_id))

    def _evict(self, workflow_id: WorkflowId) -> None:
        if self.machine is not None and not self._outboxes and not self._pending:
            self.machine.evict(workflow_id)

    def take_back(self, workflow_id: WorkflowId) -> None:
        """Take an ended workflow back into memory, from the history."""
        machine, state = self.machine, self.world.audit.state(workflow_id)
        if machine is None or self._snapshots is None or workflow_id in machine.table or workflow_id in self._returning:
            return
        if state is not None and state.is_terminal:
            self._returning.add(workflow_id)
            self._snapshots.keep(state, partial(self._adopt, machine, state))

    def _adopt(self, machine: PartitionMachine, state: WorkflowState) -> None:
        self._returning.discard(state.workflow_id)
        machine.adopt(state)
        self._evict_later(state.workflow_id)

    # ---- the queue in memory

    def offer(self, state: WorkflowState, task: OpenTask) -> None:
        """Queue a task in memory until a worker takes it."""
        task_id = id_of(state, task)
        self.queue[task_id] = (state, task)
        self.after(self.world.rng.randint(1, 400), partial(self._hand_out, task_id))

    def _hand_out(self, task_id: TaskId) -> None:
        """Claim a task for a worker, and hand it out when the claim is durable."""
        if task_id in self.queue:
            state, task = self.queue.pop(task_id)
            self.report(
                self.world.workers.claim(task_id),
                on_success=partial(self.world.workers.begin, task_id),
                on_failure=partial(self.offer, state, task),
            )

    def report(self, command: Command, *, on_failure: Action, on_success: Action | None = None) -> None:
        """Append a command for a worker of this process."""
        key, partition, value = self.world.addressed(command)
        told = self.while_alive(partial(self._reported, on_success, on_failure))
        self._reporter.append(COMMANDS, partition, [NewRecord(key=key, value=value)], told)

    def _reported(self, on_success: Action | None, on_failure: Action, offset: int | None) -> None:
        if offset is None:
            self._reporter.cut()
            self._reporter = Producer(self.process)
            on_failure()
        elif on_success is not None:
            on_success()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way or left to do."""
        return self.machine is not None and not self._pending and not self._outboxes and self._has_read_all()

    def _has_read_all(self) -> bool:
        return self._next_command >= self.world.topics.range(COMMANDS, self.partition).next
