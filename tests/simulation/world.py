"""The simulated world: one seed, everything in it, from the first start to the last end.

Holds the log in memory, processes, workers, clients, the assignment of partitions, and the order of a run: faults,
then a time without any in which everything must finish, then the verdict. Must not draw from anything but its one
generator, nor read a real clock. Keeps the invariant that the same seed gives the same run, record by record.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import Final
from unittest import mock

import msgspec

from engine.commands import Command, ResumeWorkflow, UpdateTaskByRef, workflow_of
from engine.ids import WorkflowId
from engine.model import WorkflowState, open_tasks
from engine.status import TaskStatus, WorkflowStatus
from streams import records
from streams.memory import MemoryTopics
from streams.ports import NewRecord
from streams.topics import COMMANDS, DEAD_LETTER, EVENTS, OUTCOMES, SNAPSHOTS, TopicSpec, engine_topics, partition_of
from tests.simulation import verdict
from tests.simulation.audit import Audit
from tests.simulation.awaiting import in_virtual_time
from tests.simulation.clients import Clients
from tests.simulation.clockwork import Clockwork
from tests.simulation.faults import FAULT_PHASE_MS, Faults, draw_faults
from tests.simulation.library import Library
from tests.simulation.owner import Owner
from tests.simulation.process import Process
from tests.simulation.violation import Violation
from tests.simulation.workers import TASKS, Workers

QUIET_MS_MAX: Final = 12 * 3_600_000
"""A task without a definition may be tried four times, an hour each: after this long something is stuck."""
STEPS_MAX: Final = 60_000
"""Several times what the longest of the first 100,000 seeds took: beyond it something goes round in circles."""
SMALL_RECORD_BYTES: Final = 1_500
SMALL_PART_CHARS: Final = 600
"""So small that most first decisions of a workflow are cut into parts."""
SETTLED_AFTER_MS: Final = 15_000
LOOK_AFTER_MS: Final = 5_000
LOOK_AFTER_MS_MAX: Final = 600_000


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    seed: int
    mask: str
    steps: int
    simulated_ms: int
    decisions: int
    workflows: int
    log_hash: str
    counts: dict[str, int]


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, faults: Faults | None = None, say: Callable[[str], None] | None = None) -> None:
        """Draw the world. `faults` replaces what the seed would draw; `say` is given a line per thing that happens."""
        self.seed = seed
        self.rng = Random(seed)
        drawn = draw_faults(self.rng)
        self.faults = drawn if faults is None else faults
        self.first_faults = self.faults
        self.mask = self.faults.mask()
        self.has_faults = True
        self.counts: Counter[str] = Counter()
        self.reports = 0
        self._say = say
        self.clock = Clockwork()
        self.topics = MemoryTopics(now_ms=lambda: self.clock.now_ms)
        self.topics.create([*engine_topics(partitions=self.faults.partitions), TopicSpec(name=TASKS, partitions=1)])
        self.library = Library(self.rng, limits=Random(f"limits of {seed}"))
        self.audit = Audit(self)
        self.workers = Workers(self)
        self.processes = [Process(self, number) for number in range(self.faults.processes)]
        self.clients = Clients(self)
        self._wanted: dict[int, Process] = {}
        self._plan_faults()

    # ---- what everybody uses

    def say(self, kind: str, text: str) -> None:
        """Tell the trace, if there is one."""
        if self._say is not None:
            self._say(f"{self.clock.elapsed_ms:>9} {self.clock.steps:>6}  {kind:<10} {text}")

    @property
    def is_traced(self) -> bool:
        """Whether anybody listens."""
        return self._say is not None

    def count(self, what: str) -> None:
        """Count an occurrence."""
        self.counts[what] += 1

    @property
    def is_settled(self) -> bool:
        """Whether faults have been over for so long that everybody who was away is back."""
        return not self.has_faults and self.clock.elapsed_ms > FAULT_PHASE_MS + SETTLED_AFTER_MS

    def chance(self, probability: float) -> bool:
        """Draw whether something of this probability happens. Nothing is drawn for what cannot."""
        return bool(probability) and self.rng.random() < probability

    def occurrences(self, expected: float) -> int:
        """Draw how often something happens that is expected so many times."""
        whole = int(expected * 2)
        return sum(self.rng.random() < 0.5 for _ in range(whole)) + self.chance(expected - whole / 2)

    def delay_ms(self) -> int:
        """Draw how long a message takes: mostly milliseconds, sometimes seconds."""
        if self.chance(self.faults.slow):
            return int(50 * 60 ** self.rng.random())
        return 1 + int(self.rng.random() * 12)

    # ---- messages

    def addressed(self, command: Command) -> tuple[bytes, int, bytes]:
        """Return a command's key, its partition and its bytes."""
        key = (workflow_of(command) or "").encode()
        return key, partition_of(key, self.faults.partitions), msgspec.json.encode(command)

    def send(self, command: Command) -> None:
        """Send a command from outside: it arrives, sometimes twice, sometimes at the wrong partition."""
        key, partition, value = self.addressed(command)
        if self.chance(self.faults.misrouted):
            self.count("misrouted")
            partition = self.rng.randrange(self.faults.partitions)
            key = self.rng.choice((key, b"another key"))
        for _ in range(1 + self.chance(self.faults.duplicates)):
            self.send_raw(partition, key, value)

    def send_raw(self, partition: int, key: bytes | None, value: bytes) -> None:
        """Send bytes to a partition of `commands`."""
        record = NewRecord(key=key, value=value)
        self.clock.after(self.delay_ms(), partial(self.land, COMMANDS, partition, [record]))

    def land(self, topic: str, partition: int, appended: Sequence[NewRecord]) -> int:
        """Store records now, and let those notice who read the topic. Return the first offset."""
        offset = self.topics.append_now(topic, partition, appended)
        if topic == EVENTS:
            self.audit.read(partition)
        elif topic == COMMANDS:
            for process in self.processes:
                owner = process.owners.get(partition)
                if owner is not None:
                    owner.wake()
        elif topic == TASKS:
            for record in appended:
                self.workers.offered(record.value or b"")
        return offset

    def owner_of(self, workflow_id: WorkflowId) -> Owner | None:
        """Return somebody who takes himself for the owner of a workflow's partition."""
        partition = partition_of(workflow_id.encode(), self.faults.partitions)
        owners = (process.owners.get(partition) for process in self.processes)
        return next((owner for owner in owners if owner is not None and owner.machine is not None), None)

    # ---- the plan of faults

    def _plan_faults(self) -> None:
        rng, clock = self.rng, self.clock
        plans: tuple[tuple[float, Callable[[], None]], ...] = (
            (self.faults.crashes, self._crash_one),
            (self.faults.pauses, self._pause_one),
            (self.faults.rebalances, self._rebalance),
            (self.faults.clock_jumps, self._jump_one),
            (self.faults.unregistered, self._unregister_one),
        )
        for expected, action in plans:
            for _ in range(self.occurrences(expected)):
                clock.after(rng.randrange(FAULT_PHASE_MS), action)
        for process in self.processes:
            if self.faults.skew_ms:
                process.clock_offset_ms = rng.randint(-self.faults.skew_ms, self.faults.skew_ms)
            self.audit.note_offset(process.clock_offset_ms)
        for partition in range(self.faults.partitions):
            self._wanted[partition] = rng.choice(self.processes)
        self._assign()

    def _crash_one(self) -> None:
        self.rng.choice(self.processes).crash(restart_after_ms=self.rng.randint(100, 6_000))

    def _pause_one(self) -> None:
        self.rng.choice(self.processes).pause(int(200 * 75 ** self.rng.random()))

    def _jump_one(self) -> None:
        process = self.rng.choice(self.processes)
        process.clock_offset_ms += int(100 * 600 ** self.rng.random())
        self.audit.note_offset(process.clock_offset_ms)
        self.say("jump", f"the clock of {process.name} is {process.clock_offset_ms} ms off")

    def _unregister_one(self) -> None:
        name = self.rng.choice(self.library.names)
        self.say("registry", f"{name} is gone for a while")
        self.count("unregistered")
        self.library.shelf.hidden.add(name)
        self.clock.after(self.rng.randint(50, 6_000), partial(self.library.shelf.hidden.discard, name))

    def _rebalance(self) -> None:
        """Give a partition to another process; the old owner hears of it later, if it lives."""
        partition = self.rng.randrange(self.faults.partitions)
        old, new = self._wanted[partition], self.rng.choice(self.processes)
        if old is new:
            return
        self.say("rebalance", f"partition {partition} from {old.name} to {new.name}")
        self.count("rebalances")
        self._wanted[partition] = new
        new.after(self.delay_ms(), partial(new.own, partition))
        old.after(self.rng.choice((0, 50, 1_000, 8_000)), partial(self._disown, old, partition))

    def _disown(self, process: Process, partition: int) -> None:
        if self._wanted[partition] is not process:
            process.disown(partition)

    def _assign(self) -> None:
        """Once a second, until everybody is back: give the partitions of the dead to the living."""
        living = [process for process in self.processes if process.is_alive]
        for partition, process in self._wanted.items():
            if not process.is_alive and living:
                self._wanted[partition] = self.rng.choice(living)
        for partition, process in self._wanted.items():
            process.after(self.delay_ms(), partial(self._own, process, partition))
        if not self.is_settled:
            self.clock.after(1_000, self._assign)

    def _own(self, process: Process, partition: int) -> None:
        if self._wanted[partition] is process:
            process.own(partition)

    # ---- the run

    def run(self) -> RunOutcome:
        """Run the seed to its end.

        Raises:
            Violation: and whatever else the system under test raises.
        """
        with ExitStack() as conditions:
            conditions.enter_context(in_virtual_time())
            if self.faults.small_records:
                conditions.enter_context(
                    mock.patch.multiple(records, RECORD_BYTES_MAX=SMALL_RECORD_BYTES, PART_CHARS_MAX=SMALL_PART_CHARS)
                )
            self._run()
        return self._outcome()

    def _run(self) -> None:
        until_ms = self.clock.now_ms + FAULT_PHASE_MS
        self.clock.run_until(until_ms, steps_max=STEPS_MAX)
        self._end_faults()
        look_after_ms = LOOK_AFTER_MS
        while not self._is_finished():
            if self.clock.steps >= STEPS_MAX or self.clock.now_ms > until_ms + QUIET_MS_MAX:
                raise Violation(f"not finished after {self.clock.elapsed_ms} ms: {self._unfinished()}")
            self._help()
            self.clock.run_until(self.clock.now_ms + look_after_ms, steps_max=STEPS_MAX)
            look_after_ms = min(2 * look_after_ms, LOOK_AFTER_MS_MAX)
        verdict.give(self)

    def _end_faults(self) -> None:
        """From here on nothing goes wrong, and each partition has one owner that is told so."""
        self.say("quiet", "no more faults")
        self.has_faults = False
        kept = Faults(
            partitions=self.faults.partitions,
            processes=self.faults.processes,
            durable_queues=self.faults.durable_queues,
            small_records=self.faults.small_records,
            small_table=self.faults.small_table,
        )
        self.faults = kept
        for process in self.processes:
            process.paused_until_ms = min(process.paused_until_ms, self.clock.now_ms)
            for partition in list(process.owners):
                process.after(0, partial(self._disown, process, partition))

    def _open_states(self) -> list[WorkflowState]:
        return [state for state in self.audit.states() if not state.is_terminal]

    def _is_finished(self) -> bool:
        if self._open_states():
            return False
        owners = [process.owners.get(partition) for partition, process in self._wanted.items()]
        return all(owner is not None and owner.is_idle for owner in owners) and self.clients.is_done

    def _help(self) -> None:
        """Be the operator who resumes what is paused and signals what waits for people."""
        for state in self._open_states():
            if state.status is WorkflowStatus.PAUSED:
                self.send(ResumeWorkflow(workflow_id=state.workflow_id, request_id=self.clients.request_id()))
                continue
            for task in open_tasks(state):
                if task.spec.type in {"HUMAN", "WAIT"} and not task.spec.wakes_at_ms:
                    signal = UpdateTaskByRef(
                        workflow_id=state.workflow_id,
                        ref_name=task.spec.ref,
                        status=TaskStatus.COMPLETED,
                        request_id=self.clients.request_id(),
                    )
                    self.send(signal)

    def _unfinished(self) -> str:
        lines = [f"{process.name} {'alive' if process.is_alive else 'dead'}" for process in self.processes]
        for state in self._open_states():
            tasks = ", ".join(
                f"{type(task).__name__} {task.spec.seq} {task.spec.ref} ({task.spec.type})"
                for task in open_tasks(state)
            )
            lines.append(f"{state.workflow_id} is {state.status} with [{tasks}]")
        return "; ".join(lines)

    def _outcome(self) -> RunOutcome:
        return RunOutcome(
            seed=self.seed,
            mask=self.mask,
            steps=self.clock.steps,
            simulated_ms=self.clock.elapsed_ms,
            decisions=self.audit.decisions,
            workflows=len(self.audit.known_ids()),
            log_hash=self.log_hash(),
            counts=dict(self.counts),
        )

    def log_hash(self) -> str:
        """Return the hash of all that the log holds."""
        digest = hashlib.blake2b(digest_size=16)
        for topic in (COMMANDS, EVENTS, SNAPSHOTS, OUTCOMES, DEAD_LETTER, TASKS):
            partitions = 1 if topic in {DEAD_LETTER, TASKS} else self.faults.partitions
            for partition in range(partitions):
                held = self.topics.range(topic, partition)
                for record in self.topics.read_now(
                    topic, partition, from_offset=held.earliest, records_max=held.next + 1
                ):
                    digest.update(b"%d\0%s\0%s\0" % (record.offset, record.key or b"", record.value or b""))
        return digest.hexdigest()
