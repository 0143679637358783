"""The limiters of a partition.

Holds their states, and what the machine does for them: deciding, folding, answering, timing. Must not hold a rule of
theirs (`engine.limiter` does) nor know a log. Keeps the invariant that a limiter is treated like a workflow: its
decision is one record, its answers leave when that is in the log, and a new owner derives them again.
"""

from collections.abc import Iterator

from engine.commands import Command, FireTimer
from engine.context import DecideContext, DefinitionSource
from engine.effects import WORKFLOW_TIMER
from engine.errors import InvariantViolated
from engine.ids import WorkflowId
from engine.limiter.applier import apply
from engine.limiter.codec import pack, unpack
from engine.limiter.commands import ReviewLimits, ToLimiter
from engine.limiter.decider import LimiterDecision, decide
from engine.limiter.events import LimiterOpened
from engine.limiter.ids import LimiterId
from engine.limiter.limits import registered_limits
from engine.limiter.model import LimiterState
from engine.limiter.outward import answers_of
from streams.errors import SnapshotUnfit
from streams.partition.timers import Timers
from streams.records import DecisionRecord


class LimiterTable:
    """The open limiters. One that is restored is unpacked when somebody needs it."""

    def __init__(self) -> None:
        """Begin empty."""
        self._states: dict[str, LimiterState] = {}
        self._packed: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._states) + len(self._packed)

    def __contains__(self, key: object) -> bool:
        return key in self._states or key in self._packed

    def __iter__(self) -> Iterator[LimiterState]:
        for key in list(self._packed):
            self.get(key)
        return iter(list(self._states.values()))

    def get(self, key: str) -> LimiterState | None:
        """Return a limiter, None if it is closed."""
        packed = self._packed.pop(key, None)
        if packed is not None:
            self._states[key] = unpack(packed)
        return self._states.get(key)

    def put(self, key: str, state: LimiterState | None) -> None:
        """Hold the newest state of a limiter; None: it is closed."""
        self._packed.pop(key, None)
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state

    def put_packed(self, key: str, packed: bytes) -> None:
        """Hold a limiter as a snapshot has it."""
        self._packed[key] = packed

    def packed(self, key: str) -> bytes | None:
        """Return a limiter as bytes, for a snapshot; None if it is closed."""
        state = self.get(key)
        return None if state is None else pack(state)

    # ---- what the machine does for limiters

    def decide(self, command: Command, key: WorkflowId, context: DecideContext) -> LimiterDecision:
        """Decide about a command to a limiter, or about its timer. Its new state is `put` by who appends the record."""
        if not isinstance(command, ToLimiter | FireTimer):
            message = f"{type(command).__name__} is no command to a limiter; it names {key}"
            raise InvariantViolated(message)
        return decide(self.get(key), command, context)

    def refold(self, record: DecisionRecord, *, is_from_snapshot: bool) -> None:
        """Fold what a record of the log decided about a limiter.

        Raises:
            SnapshotUnfit: the limiter should be there from the snapshot, and is not.
        """
        key = record.workflow_id
        state = self.get(key)
        if state is None and is_from_snapshot and not isinstance(record.limiter_events[0], LimiterOpened):
            raise SnapshotUnfit(f"decision {record.sequence}: {key} goes on, and the snapshot does not have it")
        for event in record.limiter_events:
            state = apply(state, event)
        self.put(key, state)

    def answers(self, record: DecisionRecord) -> tuple[Command, ...]:
        """Return what is to be told because of a decision about a limiter."""
        key = record.workflow_id
        return answers_of(LimiterId(key), record.limiter_events, self.get(key))

    def arm(self, key: WorkflowId, timers: Timers, *, after_ms: int = -1) -> None:
        """Let a limiter be looked at when something changes that nobody reports, if that is after an instant."""
        state = self.get(key)
        due_at_ms = None if state is None else state.next_look_ms()
        if due_at_ms is not None and due_at_ms > after_ms:
            timers.arm(key, WORKFLOW_TIMER, due_at_ms)
        else:
            timers.disarm(key, WORKFLOW_TIMER)

    def due_at_ms(self, key: str) -> int:
        """Return when a limiter must be looked at, 0 if never."""
        state = self.get(key)
        return 0 if state is None else state.next_look_ms() or 0

    def outdated(self, definitions: DefinitionSource) -> list[ReviewLimits]:
        """Return the commands that bring limiters up to date whose definitions have changed. Costs as many as are open.

        A limiter looks at its definition whenever it decides; this is for those that nobody asks.
        """
        found: list[ReviewLimits] = []
        for state in self:
            limits = registered_limits(definitions, state.source)
            if limits is not None and limits != state.limits:
                found.append(ReviewLimits(limiter_id=state.limiter_id))
        return found
