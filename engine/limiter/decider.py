"""Deciding about a limiter.

Holds every rule of it. Must not read a clock: `now_ms` of the context is the time of the log. Keeps the invariants that
a slot is given only where there is room, to whoever is next in line, and that whatever comes a second time, or too
late, changes nothing.

A beginning counts in the window of a rate from the moment at which a slot is given until `window_ms` after its holder
began: whatever time lies between the two, no more than `starts` holders begin in any window.
"""

from collections.abc import Callable
from typing import Final, cast

import msgspec

from engine.commands import FireTimer
from engine.context import DecideContext
from engine.ids import TaskId, parse_task_id
from engine.limiter.applier import apply
from engine.limiter.commands import AcquireSlot, LimiterCommand, NoteSlotStart, ReleaseSlot, ReviewLimits
from engine.limiter.events import (
    LimiterClosed,
    LimiterEvent,
    LimiterOpened,
    LimitsSet,
    SlotFreed,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SlotStarted,
)
from engine.limiter.limits import Limits, LimitSource, registered_limits
from engine.limiter.model import LimiterState


class LimiterDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided: `state` is the one before with `events` applied, None for a closed limiter."""

    events: tuple[LimiterEvent, ...]
    state: LimiterState | None


class _Draft:
    """The working copy of one decision."""

    __slots__ = ("context", "events", "state")

    def __init__(self, state: LimiterState, context: DecideContext) -> None:
        self.state: LimiterState = state
        self.context = context
        self.events: list[LimiterEvent] = []

    @property
    def now_ms(self) -> int:
        return self.context.now_ms

    def emit(self, event: LimiterEvent) -> None:
        after = apply(self.state, event)
        self.events.append(event)
        if after is not None:
            self.state = after


def decide(state: LimiterState | None, command: LimiterCommand | FireTimer, context: DecideContext) -> LimiterDecision:
    """Return what a command does to a limiter. Nothing is refused: what does not fit any more changes nothing."""
    if isinstance(command, AcquireSlot):
        return _acquire(state, command, context)
    if state is None:
        return LimiterDecision(events=(), state=None)
    draft = _Draft(state, context)
    _DECIDERS[type(command)](draft, command)
    if draft.events and isinstance(draft.events[-1], LimiterClosed):
        return LimiterDecision(events=tuple(draft.events), state=None)
    _review(draft, state.source, state.limits)
    _grant(draft)
    return LimiterDecision(events=tuple(draft.events), state=draft.state)


def _acquire(state: LimiterState | None, command: AcquireSlot, context: DecideContext) -> LimiterDecision:
    if parse_task_id(command.holder) is None:  # nobody could be answered
        return LimiterDecision(events=(), state=state)
    if state is None:
        limits = registered_limits(context.definitions, command.source)
        opened = LimiterOpened(
            at_ms=context.now_ms,
            limiter_id=command.limiter_id,
            limits=command.limits if limits is None else limits,
            source=command.source,
        )
        begun = apply(None, opened)
        assert begun is not None  # noqa: S101 - tells the type checker what opening a limiter makes
        draft = _Draft(begun, context)
        draft.events.append(opened)
    else:
        draft = _Draft(state, context)
        _review(draft, command.source, command.limits)
    holder = command.holder
    if holder in draft.state.held or holder in draft.state.waiting:
        _grant(draft)
        return LimiterDecision(events=tuple(draft.events), state=draft.state)
    has_room = draft.state.has_room(draft.now_ms)
    if command.or_refuse and (draft.state.waiting or not has_room):
        draft.emit(SlotRefused(at_ms=draft.now_ms, holder=holder, reason=_why_full(draft.state)))
    elif has_room and not draft.state.waiting:
        draft.emit(SlotGranted(at_ms=draft.now_ms, holder=holder))
    else:
        draft.emit(SlotQueued(at_ms=draft.now_ms, holder=holder, priority=command.priority))
    _grant(draft)
    return LimiterDecision(events=tuple(draft.events), state=draft.state)


def _note_start(draft: _Draft, command: NoteSlotStart) -> None:
    held = draft.state.held.get(command.holder)
    if held is not None and not held.started_at_ms:
        draft.emit(SlotStarted(at_ms=draft.now_ms, holder=command.holder))


def _release(draft: _Draft, command: ReleaseSlot) -> None:
    state, holder = draft.state, command.holder
    held = state.held.get(holder)
    if held is not None:
        is_charged = bool(state.limits.starts) and command.used and not held.started_at_ms
        draft.emit(SlotFreed(at_ms=draft.now_ms, holder=holder, charged=is_charged))
    elif holder in state.waiting:
        draft.emit(SlotFreed(at_ms=draft.now_ms, holder=holder))


def _look_at_definition(draft: _Draft, command: ReviewLimits) -> None:
    """Do nothing in particular: every decision looks at the definition."""
    del draft, command


def _look_at_time(draft: _Draft, command: FireTimer) -> None:
    del command
    state = draft.state
    due_at_ms = state.next_look_ms()
    if not state.held and not state.waiting and due_at_ms is not None and due_at_ms <= draft.now_ms:
        draft.emit(LimiterClosed(at_ms=draft.now_ms))


def _review(draft: _Draft, source: LimitSource, given: Limits) -> None:
    """Take the limits of the definition as it is registered now; where none is, those that were `given`."""
    found = registered_limits(draft.context.definitions, source)
    limits = given if found is None else found
    if limits != draft.state.limits or source != draft.state.source:
        draft.emit(LimitsSet(at_ms=draft.now_ms, limits=limits, source=source))


def _grant(draft: _Draft) -> None:
    """Give slots to those who wait, as long as there is room."""
    while draft.state.waiting and draft.state.has_room(draft.now_ms):
        holder: TaskId | None = draft.state.next_in_line()
        assert holder is not None  # noqa: S101 - whoever waits has a place
        draft.emit(SlotGranted(at_ms=draft.now_ms, holder=holder))


def _why_full(state: LimiterState) -> str:
    limits = state.limits
    if limits.at_once and len(state.held) >= limits.at_once:
        return f"{len(state.held)} of {limits.at_once} slots of {state.limiter_id} are taken"
    if state.waiting:
        return f"{len(state.waiting)} wait for a slot of {state.limiter_id} already"
    return f"{limits.starts} have begun within {limits.window_ms // 1000} s, as many as {state.limiter_id} allows"


_DECIDERS: Final = cast(
    "dict[type, Callable[[_Draft, LimiterCommand | FireTimer], None]]",  # the key guarantees the command's type
    {
        NoteSlotStart: _note_start,
        ReleaseSlot: _release,
        ReviewLimits: _look_at_definition,
        FireTimer: _look_at_time,
    },
)
