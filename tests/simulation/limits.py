"""What must hold of limits, checked on the log by rules written down a second time.

Holds which attempts, and which workflows, use a slot at this moment, counted from the events of the workflows alone,
and who was given one, from the events of the limiters alone. Must not ask `engine.limiter` whether there is
room. Keeps:

    L1  never over: no slot is given where as many are taken as the limit in force says
    L2  whoever uses a slot is held for it: so what runs is never more than what is given
    L3  in its turn: of those who wait, the highest priority is first, then who came first
    L4  no more begin within a window than its rate says
    L5  at the end of a run nobody holds a slot any more, and nobody waits for one
"""

from typing import TYPE_CHECKING, TypeAlias

from engine.events import Event, SlotAwaited, SlotObtained, SlotReturned, TaskEnded, TaskStarted, WorkflowEnded
from engine.ids import TaskId, WorkflowId, task_id
from engine.limiter.events import (
    LimiterClosed,
    LimiterEvent,
    LimiterOpened,
    LimitsSet,
    SlotFreed,
    SlotGranted,
    SlotQueued,
    SlotRefused,
)
from engine.limiter.limits import Limits
from streams.records import DecisionRecord
from tests.simulation.violation import Violation

if TYPE_CHECKING:  # the world holds its audit
    from tests.simulation.world import World

Wait: TypeAlias = tuple[int, int]
"""The priority, negative, and the number in order of arrival: the smallest is first in line."""


class _Counted:
    """One limiter, counted by hand."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held: set[TaskId] = set()
        self.waiting: dict[TaskId, Wait] = {}


class LimitAudit:
    """Reads every believed decision, in the order in which they were stored."""

    def __init__(self, world: "World") -> None:
        """Begin with an empty log."""
        self._world = world
        self._awaited: dict[TaskId, SlotAwaited] = {}
        self._whole: dict[WorkflowId, TaskId] = {}
        self._using: dict[str, set[TaskId]] = {}
        self._returned: set[TaskId] = set()
        self._answered: set[TaskId] = set()
        self._begun: set[TaskId] = set()
        self._starts: dict[str, list[int]] = {}
        self._limiters: dict[str, _Counted] = {}
        self._arrivals = 0

    # ---- what workflows do

    def note_event(self, workflow_id: WorkflowId, event: Event) -> None:
        """Take note of an event of a workflow."""
        match event:
            case SlotAwaited():
                holder = task_id(workflow_id, event.seq)
                self._awaited[holder] = event
                if event.whole:
                    self._whole[workflow_id] = holder
            case SlotObtained():
                self._obtained(task_id(workflow_id, event.seq))
            case TaskStarted():
                self._started(task_id(workflow_id, event.seq))
            case TaskEnded():
                self._over(task_id(workflow_id, event.seq))
            case WorkflowEnded():
                self._over(self._whole.pop(workflow_id, TaskId("")))
            case SlotReturned():
                self._returned.add(task_id(workflow_id, event.seq))
            case _:
                pass

    def _obtained(self, holder: TaskId) -> None:
        key = self._awaited[holder].limiter_id
        counted = self._limiters.get(key)
        if counted is None or holder not in counted.held:
            raise Violation(f"L2: {holder} uses a slot of {key} that was not given to it: {counted and counted.held}")
        self._using.setdefault(key, set()).add(holder)
        self._world.count("slots_used")

    def _started(self, holder: TaskId) -> None:
        awaited = self._awaited.get(holder)
        if awaited is None:
            return
        if holder not in self._using.get(awaited.limiter_id, ()):
            raise Violation(f"L2: {holder} begins without a slot of {awaited.limiter_id}")
        if holder in self._begun:
            return  # its worker had handed it back: the attempt has begun once
        self._begun.add(holder)
        limits = self._limiters[awaited.limiter_id].limits
        if limits.starts and not (self._world.first_faults.skew_ms or self._world.first_faults.clock_jumps):
            now_ms = self._world.clock.now_ms
            starts = self._starts.setdefault(awaited.limiter_id, [])
            starts[:] = [at_ms for at_ms in starts if at_ms > now_ms - limits.window_ms]
            starts.append(now_ms)
            if len(starts) > limits.starts:
                raise Violation(f"L4: {len(starts)} of {awaited.limiter_id} begin within {limits}: {starts}")

    def _over(self, holder: TaskId) -> None:
        awaited = self._awaited.get(holder)
        if awaited is not None:
            self._using.get(awaited.limiter_id, set()).discard(holder)

    # ---- what limiters do

    def note_limiter(self, decision: DecisionRecord) -> None:
        """Take note of a decision about a limiter."""
        for event in decision.limiter_events:
            self._note(decision.workflow_id, event)

    def _note(self, key: str, event: LimiterEvent) -> None:
        if isinstance(event, LimiterOpened):
            if key in self._limiters:
                raise Violation(f"{key} opens and has {self._limiters[key].held}")
            self._limiters[key] = _Counted(event.limits)
            return
        counted = self._limiters[key]
        match event:
            case LimitsSet():
                counted.limits = event.limits
            case SlotQueued():
                self._arrivals += 1
                counted.waiting[event.holder] = (-event.priority, self._arrivals)
                self._world.count("slots_awaited")
            case SlotGranted():
                self._granted(key, counted, event.holder)
            case SlotRefused():
                self._answered.add(event.holder)
                self._world.count("slots_refused")
            case SlotFreed():
                self._freed(key, counted, event.holder)
            case LimiterClosed():
                if counted.held or counted.waiting:
                    raise Violation(f"L5: {key} closes and has {counted.held}, {counted.waiting}")
                del self._limiters[key]
            case _:
                pass

    def _granted(self, key: str, counted: _Counted, holder: TaskId) -> None:
        if counted.limits.at_once and len(counted.held) >= counted.limits.at_once:
            raise Violation(f"L1: {key} gives a slot to {holder}; {counted.held} have {counted.limits} already")
        if counted.waiting and min(counted.waiting, key=counted.waiting.__getitem__) != holder:
            raise Violation(f"L3: {key} serves {holder} before its turn: {counted.waiting}")
        counted.waiting.pop(holder, None)
        counted.held.add(holder)
        self._answered.add(holder)

    def _freed(self, key: str, counted: _Counted, holder: TaskId) -> None:
        if holder in self._using.get(key, ()):
            raise Violation(f"L2: {key} takes back the slot of {holder}, which uses it")
        counted.held.discard(holder)
        counted.waiting.pop(holder, None)

    # ---- what leaves a process

    def is_asked(self, holder: TaskId) -> bool:
        """Whether the log says that somebody waits for a slot, or did."""
        return holder in self._awaited

    def is_returned(self, holder: TaskId) -> bool:
        """Whether the log says that a slot was given back, or was answered to somebody who did not want it any more."""
        return holder in self._returned or holder in self._answered

    def is_answered(self, holder: TaskId) -> bool:
        """Whether the log says that a limiter has answered."""
        return holder in self._answered

    def check_dispatched(self, holder: TaskId) -> None:
        """Refuse what is handed out without the slot that it waits for."""
        awaited = self._awaited.get(holder)
        if awaited is None or holder in self._returned:
            return
        if holder not in self._using.get(awaited.limiter_id, ()):
            raise Violation(f"L2: {holder} is handed out without a slot of {awaited.limiter_id}")

    def check_end(self) -> None:
        """Judge the end of a run: whatever was given has come back."""
        for key, counted in self._limiters.items():
            if counted.held or counted.waiting:
                raise Violation(f"L5: at the end {counted.held} hold slots of {key}, and {counted.waiting} wait")
