"""The machine of one partition: commands in, decisions and their effects out. Synchronous; knows neither log nor clock.

Holds the workflows of the partition, its timers and its place in the chain of records. Must not perform an effect, nor
wait. Keeps the law of the log: effects leave (`acknowledged`) only when the decisions that caused them are in the log,
and in the same order.

Life of a machine:
1. `restore` from snapshots, `replay` of every record after them, up to and including the machine's own claim;
2. `recovered` tells what a crash may have left undone;
3. `decide` batch after batch; several may be in flight; each is `acknowledged` with the offset at which it was
   appended. Any other offset than the expected one means that somebody else has claimed the partition: `Fenced`, and
   the machine is dead.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from engine.commands import Command, FireTimer, StartWorkflow, tag_of, workflow_of
from engine.context import NO_LISTENERS, DecideContext, DefinitionSource, EngineLimits, Listeners
from engine.deadlines import next_deadline_ms
from engine.decider import decide
from engine.definitions import TaskDef
from engine.effects import WORKFLOW_TIMER, DispatchTask
from engine.errors import InvariantViolated
from engine.graph import Graph, Graphs
from engine.idempotency import notice_of_start
from engine.ids import TaskSeq, WorkflowId
from engine.limiter.commands import ToLimiter
from engine.limiter.ids import is_limiter_id
from engine.model import EndedTask, Task, WorkflowState
from engine.nodes import node_of
from engine.outward import effects_of, slots_returned, standing_effects
from engine.rejections import Rejected, RejectionCode
from engine.schemas import NoValidator, SchemaValidator
from engine.status import WorkflowStatus
from streams.errors import Fenced
from streams.kept_outputs import KeptOutputs
from streams.partition.folded import FoldedPartition
from streams.partition.intake import Unreadable, read_command
from streams.partition.keys import refusal_of, settle_key
from streams.partition.performing import perform
from streams.partition.timers import WHOLE_WORKFLOW
from streams.partition.turn import Decided, Outbox, Turn, answer_of, as_decided, notice_of_refusal
from streams.ports import LogRecord, NewRecord
from streams.records import NO_OFFSET, DecisionRecord, parts_of
from streams.topics import partition_of

TIMERS_PER_TURN_MAX: Final = 1_000


class PartitionMachine(FoldedPartition):
    """Decides for one partition. One caller, no locks."""

    def __init__(
        self,
        *,
        partition: int,
        partitions: int,
        definitions: DefinitionSource,
        noise: Callable[[], float],
        limits: EngineLimits = EngineLimits(),
        listeners: Listeners = NO_LISTENERS,
        durable_queues: bool = True,
        schemas: SchemaValidator | None = None,
        outputs: KeptOutputs | None = None,
    ) -> None:
        """Begin knowing nothing. `durable_queues`: dispatched tasks outlive this process (they are in a topic)."""
        super().__init__(partition)
        self._partitions = partitions
        self._definitions = definitions
        self._graphs = Graphs(definitions)
        self._outputs = KeptOutputs() if outputs is None else outputs
        self._fixed = DecideContext(
            now_ms=0,
            definitions=definitions,
            limits=limits,
            listeners=listeners,
            schemas=NoValidator() if schemas is None else schemas,
            cache=self._outputs,
        )
        self._noise = noise
        self._durable_queues = durable_queues

    # ---- recovery

    def recovered(self) -> Outbox:
        """Return what may not have been done before the crash, and take up the timers again."""
        self.acknowledged_position = self.chain.position
        self.effects_sent = max(self.effects_sent, self.chain.effects_sent)
        outbox = Outbox(sequence=self.chain.sequence)
        for record in self._undone:
            state = self.table.get(record.workflow_id) if record.events else None
            if record.parked or record.forwarded is not None:
                outbox.rereads.append(record)
            self._effects(outbox, record, state)
            if record.request_id:
                outbox.replies.append((record.request_id, answer_of(record, self.table.get(record.workflow_id))))
        self._undone.clear()
        for workflow_id in list(self.changed):
            state = self.table.get(workflow_id)
            if state is not None and state.is_terminal:
                outbox.kept.append(state)
            elif state is not None:
                self._stand(outbox, state)
            elif workflow_id in self.limiters:
                self.limiters.arm(workflow_id, self.timers)
        self._restored.clear()
        return outbox

    def outdated_limits(self) -> Sequence[Command]:
        """Return the commands that bring limiters up to date whose definitions have changed."""
        return self.limiters.outdated(self._definitions)

    def standing(self, workflow_id: WorkflowId) -> Outbox:
        """Return what must be in force for a workflow that came from a snapshot, as if it had just been decided."""
        outbox = Outbox(sequence=self.effects_sent)
        state = self.table.peek(workflow_id)
        if state is not None:
            self.timers.disarm(workflow_id, WHOLE_WORKFLOW)
            self._stand(outbox, state)
        return outbox

    # ---- deciding

    def decide(self, commands: Sequence[LogRecord], now_ms: int) -> Turn | None:
        """Decide about commands, in order, and about the timers that are due; None if there is nothing to append."""
        now_ms = max(now_ms, self.chain.at_ms)
        records: list[NewRecord] = []
        decided: list[Decided] = []
        for source in commands:
            if source.offset > self.chain.command_offset:
                self._append(self._decide_record(source, now_ms), records, decided)
        self._fire_due(now_ms, records, decided)
        if not records:
            return None
        turn = Turn(records=records, decided=decided, position=self.chain.position)
        self._in_flight.append(turn)
        return turn

    def acknowledged(self, turn: Turn, first_offset: int) -> Outbox:
        """Take note that the oldest turn in flight is in the log, and return its effects.

        Raises:
            Fenced: it is not where it should be: somebody else appended to the partition.
        """
        if not self._in_flight or self._in_flight[0] is not turn:
            message = f"partition {self.partition}: turns must be acknowledged in the order in which they were decided"
            raise InvariantViolated(message)
        expected = self.acknowledged_position.next_offset
        if first_offset != expected:
            message = f"events partition {self.partition}: offset {expected} was expected, the log says {first_offset}"
            raise Fenced(message)
        self._in_flight.popleft()
        next_offset = first_offset + len(turn.records)
        self.chain.next_offset = next_offset
        self.acknowledged_position = replace(turn.position, next_offset=next_offset, epoch=self.chain.epoch)
        outbox = Outbox(sequence=turn.position.sequence)
        for item in turn.decided:
            if item.source is not None:
                if item.record.forwarded is not None:
                    outbox.forwards.append((item.record.forwarded, item.source))
                elif item.record.parked:
                    outbox.dead_letters.append((item.source, item.record.parked))
            self._effects(outbox, item.record, item.state)
            if item.record.request_id:
                outbox.replies.append((item.record.request_id, answer_of(item.record, item.state)))
        return outbox

    def effects_done(self, sequence: int) -> None:
        """Take note that everything up to this decision has reached its receiver."""
        self.effects_sent = max(self.effects_sent, sequence)

    @property
    def in_flight(self) -> int:
        """How many turns wait for the log."""
        return len(self._in_flight)

    def graph(self, state: WorkflowState) -> Graph:
        """Return the compiled definition that a workflow runs by."""
        return self._graphs.of(state.started)

    def task_definition(self, state: WorkflowState, task: Task) -> TaskDef | None:
        """Return the definition that holds for an attempt, None for the defaults."""
        dynamic = task.spec.dynamic_definition_hash
        if dynamic is not None:
            return self._definitions.task_at(dynamic)
        return node_of(self.graph(state), state, task.spec).task_definition

    # ---- one command

    def _decide_record(self, source: LogRecord, now_ms: int) -> Decided:
        command = read_command(source, partition=self.partition, partitions=self._partitions)
        if isinstance(command, Unreadable):
            record = self._record(WorkflowId(""), "unreadable", now_ms, source)
            return as_decided(replace(record, parked=command.reason), None, source)
        workflow_id = workflow_of(command) or WorkflowId("")
        home = partition_of(workflow_id.encode(), self._partitions)
        if home != self.partition:
            record = self._record(workflow_id, tag_of(command), now_ms, source)
            return as_decided(replace(record, forwarded=home), None, source)
        return self._decide_command(command, workflow_id, source, now_ms)

    def _decide_command(
        self, command: Command, workflow_id: WorkflowId, source: LogRecord | None, now_ms: int
    ) -> Decided:
        asked = workflow_id
        keyed = None
        if isinstance(command, StartWorkflow) and command.idempotency_key:
            keyed = settle_key(command, asked, self.table, partition=self.partition, partitions=self._partitions)
            command, workflow_id = keyed.command, keyed.workflow_id
        record = self._record(workflow_id, tag_of(command), now_ms, source, request_id=command.request_id or "")
        if isinstance(command, ToLimiter) and is_limiter_id(workflow_id):
            return self._decide_limiter(command, record, source)
        state = self.table.get(workflow_id)
        try:
            if keyed is not None and keyed.has_left:
                told = notice_of_start(keyed.command, asked, workflow_id)
                return as_decided(replace(record, commands=told), None, source)
            rejected = refusal_of(command, workflow_id, state, self.table) if keyed is None else keyed.rejected
            outcome = rejected or decide(state, command, self._context(now_ms), self._graphs)
            if isinstance(outcome, Rejected):
                notice = notice_of_refusal(command, asked, outcome)
                return as_decided(replace(record, rejection=outcome, commands=notice), state, source)
            told = () if keyed is None else notice_of_start(keyed.command, asked, workflow_id)
            return as_decided(replace(record, events=outcome.events, commands=told), outcome.state, source)
        except InvariantViolated:
            raise
        except Exception as error:  # noqa: BLE001 - one command must not stop the others; it is parked with its reason
            why = f"the decision failed: {type(error).__name__}: {error}"
            refusal = Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=why)
            notice = notice_of_refusal(command, asked, refusal)
            return as_decided(replace(record, parked=why, commands=notice), None, source)

    def _decide_limiter(self, command: Command, record: DecisionRecord, source: LogRecord | None) -> Decided:
        decision = self.limiters.decide(command, record.workflow_id, self._context(record.at_ms))
        item = as_decided(replace(record, limiter_events=decision.events), None, source)
        self.limiters.put(record.workflow_id, decision.state)
        return item

    def _fire_due(self, now_ms: int, records: list[NewRecord], decided: list[Decided]) -> None:
        """Fire what is due, earliest first and a bounded number; what is left stays due for the next turn."""
        left = TIMERS_PER_TURN_MAX
        while left and (due := self.timers.pop_due(now_ms, timers_max=left)):
            left -= len(due)
            for workflow_id, seq in due:
                state = self.table.get(workflow_id)
                if state is None:
                    if workflow_id in self.limiters:
                        self._fire_limiter(workflow_id, now_ms, records, decided)
                    continue
                if seq == WHOLE_WORKFLOW:
                    self._stand(Outbox(), state)
                else:
                    self._fire(state, seq, now_ms, records, decided)

    def _fire(
        self, state: WorkflowState, seq: TaskSeq, now_ms: int, records: list[NewRecord], decided: list[Decided]
    ) -> None:
        workflow_id = state.workflow_id
        command = FireTimer(workflow_id=workflow_id, task_seq=seq)
        item = self._decide_command(command, workflow_id, None, now_ms)
        if item.record.events or item.record.parked:
            self._append(item, records, decided)
            return
        task = state.tasks.get(seq)
        if task is not None and not isinstance(task, EndedTask) and state.status is WorkflowStatus.RUNNING:
            again_at_ms = next_deadline_ms(task, after_ms=now_ms)
            if again_at_ms is not None:
                self.timers.arm(workflow_id, seq, again_at_ms)

    def _fire_limiter(self, key: WorkflowId, now_ms: int, records: list[NewRecord], decided: list[Decided]) -> None:
        command = FireTimer(workflow_id=key, task_seq=WORKFLOW_TIMER)
        item = self._decide_limiter(command, self._record(key, tag_of(command), now_ms, None), None)
        if item.record.limiter_events:
            self._append(item, records, decided)
        else:
            self.limiters.arm(key, self.timers, after_ms=now_ms)

    def _context(self, now_ms: int) -> DecideContext:
        return replace(self._fixed, now_ms=now_ms, noise=self._noise())

    def _record(
        self, workflow_id: WorkflowId, cause: str, now_ms: int, source: LogRecord | None, *, request_id: str = ""
    ) -> DecisionRecord:
        return DecisionRecord(
            workflow_id=workflow_id,
            cause=cause,
            at_ms=now_ms,
            epoch=self.chain.epoch,
            sequence=self.chain.sequence + 1,
            previous=self.chain.hash,
            command_offset=NO_OFFSET if source is None else source.offset,
            effects_sent=self.effects_sent,
            request_id=request_id,
        )

    def _append(self, item: Decided, records: list[NewRecord], decided: list[Decided]) -> None:
        record = item.record
        self.chain.follow(item.value, record)
        key = record.workflow_id.encode() or None
        records.extend(NewRecord(key=key, value=part) for part in parts_of(item.value, epoch=self.chain.epoch))
        decided.append(item)
        if record.events and item.state is not None:
            self.hold(record, item.state)
        elif record.limiter_events:
            self.changed[record.workflow_id] = record.sequence

    # ---- effects

    def _effects(self, outbox: Outbox, record: DecisionRecord, state: WorkflowState | None) -> None:
        outbox.commands.extend(record.commands)
        if record.limiter_events:
            outbox.commands.extend(self.limiters.answers(record))
            self.limiters.arm(record.workflow_id, self.timers)
        if state is None:
            outbox.commands.extend(slots_returned(record.workflow_id, record.events))
            return
        for event in record.events:
            for effect in effects_of(event, state):
                perform(effect, state, outbox=outbox, timers=self.timers, outputs=self._outputs)

    def _stand(self, outbox: Outbox, state: WorkflowState) -> None:
        for effect in standing_effects(state):
            is_queued = isinstance(effect, DispatchTask) and state.tasks[effect.seq].spec.dispatch == "worker"
            if not (is_queued and self._durable_queues):
                perform(effect, state, outbox=outbox, timers=self.timers, outputs=self._outputs)
