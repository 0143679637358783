"""A decision in the making.

Holds the one mutable thing of the engine: the state as it will be, the events that lead there, and what the walk has
still to visit. Must not hold rules. Keeps the invariant that `state` is always the fold of what came before and
`events`.
"""

from collections import deque
from typing import Final

import msgspec

from engine.applier import apply
from engine.context import NO_LISTENERS, DecideContext
from engine.deferral import Deferral
from engine.events import Event, SlotReturned, TaskEnded, TaskScheduled, WorkflowEnded
from engine.expressions.budget import DECISION_STEPS_MAX, Budget
from engine.graph import Graph, Node
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.model import OWN_SLOT, EndedTask, OpenTask, Task, WorkflowState
from engine.nodes import node_at, node_of, with_task_definition
from engine.notices import notices
from engine.place import OUTSIDE, Place
from engine.rejections import Accepted


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt of a task is to be scheduled, and when. The first has number 0 and replaces nothing.

    Its output will be kept under `cache_key` for `cache_ms`, if that is not 0.
    """

    number: int = 0
    retry_of: TaskSeq | None = None
    first_scheduled_at_ms: int = 0
    delay_ms: int = 0
    cache_key: str = ""
    cache_ms: int = 0


FIRST_ATTEMPT: Final = Attempt()


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the definition that the walk has still to enter, and where; `given` replaces its input."""

    ref: RefName
    attempt: Attempt = FIRST_ATTEMPT
    place: Place = OUTSIDE
    given: JsonObject | None = None


class Draft:
    """The working copy of one decision. Lives no longer than the call of `decide`."""

    __slots__ = (
        "announces",
        "budget",
        "context",
        "deferred",
        "ended",
        "entries",
        "events",
        "given",
        "graph",
        "joins",
        "loops",
        "state",
    )

    def __init__(self, state: WorkflowState, context: DecideContext, graph: Graph) -> None:
        """Begin with the state that the command found."""
        self.state = state
        self.context = context
        self.graph = graph
        self.budget = Budget(DECISION_STEPS_MAX)
        """What the queries of the decision may cost together."""
        self.deferred: tuple[Deferral, ...] = ()
        """What the input that was made last leaves to whoever hands the task out."""
        self.announces = graph.announces or context.listeners is not NO_LISTENERS
        """Whether there may be listeners to tell of what is decided."""
        self.events: list[Event] = []
        self.entries: deque[Visit] = deque()
        """What the walk has still to enter."""
        self.ended: deque[TaskSeq] = deque()
        """Attempts that ended for good, and whose successors the walk has still to find."""
        self.joins: dict[TaskSeq, None] = {}
        """JOINs that may have become complete, in the order in which they were noticed."""
        self.given: JsonObject | None = None
        """The input of the attempt that is entered just now, if it was given in place of what its definition says."""
        self.loops: dict[TaskSeq, None] = {}
        """Loops whose pass may be over, in the order in which they were noticed."""

    @property
    def now_ms(self) -> int:
        """The instant of the decision."""
        return self.context.now_ms

    def emit(self, event: Event) -> None:
        """Add an event and apply it."""
        self.state = apply(self.state, event)
        self.events.append(event)
        if self.announces:
            self.announce(event)

    def announce(self, event: Event) -> None:
        """Post to the listeners of an event that has just been applied."""
        for posted in notices(event, self.state, self.graph, self.context.listeners):
            self.state = apply(self.state, posted)
            self.events.append(posted)

    def enter(self, ref: RefName, attempt: Attempt = FIRST_ATTEMPT, place: Place = OUTSIDE) -> None:
        """Let the walk enter a task of the definition, after what already waits."""
        self.entries.append(Visit(ref=ref, attempt=attempt, place=place))

    def node_of(self, spec: TaskScheduled) -> Node:
        """Return the task of the definition that an attempt is of."""
        if not spec.iteration and not spec.forked_by:  # as in `node_of`, without the call: most tasks are such
            return self.graph.nodes[spec.node]
        return node_of(self.graph, self.state, spec)

    def node_to_enter(self, visit: Visit) -> Node:
        """Return the task of the definition that the walk enters."""
        if visit.place is OUTSIDE:
            return self.graph.nodes[visit.ref]
        node = node_at(self.graph, self.state, visit.ref, visit.place)
        return with_task_definition(node, self.context.definitions) if visit.place.forked_by else node

    def next_seq(self) -> TaskSeq:
        """Return the number that the next attempt gets."""
        return TaskSeq(self.state.last_seq + 1)

    def task(self, seq: TaskSeq) -> Task:
        """Return an attempt as it now is."""
        return self.state.tasks[seq]

    def open_task(self, seq: TaskSeq) -> OpenTask | None:
        """Return an attempt if it is still open."""
        task = self.state.tasks[seq]
        return None if isinstance(task, EndedTask) else task

    def accept(self) -> Accepted:
        """Return the finished decision. What has ended in it gives its slots back, whatever ended it."""
        if self.state.slots:
            self._return_slots()
        return Accepted(events=tuple(self.events), state=self.state)

    def _return_slots(self) -> None:
        for event in tuple(self.events):
            key = event.seq if type(event) is TaskEnded else OWN_SLOT if type(event) is WorkflowEnded else None
            slot = None if key is None else self.state.slots.get(key)
            if slot is not None:
                used = bool(slot.obtained_at_ms)
                self.emit(SlotReturned(at_ms=self.now_ms, seq=slot.seq, limiter_id=slot.limiter_id, used=used))
