"""What an event makes of a limiter.

Must not decide, nor look at anything but the state and the event. Keeps three things true of each other at every event:
who waits, the order in which they do, and how many slots are given and not begun.
"""

from collections.abc import Callable, Iterable
from typing import Final, cast

from immutables import Map
from msgspec.structs import replace

from engine.errors import InvariantViolated
from engine.ids import TaskId
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
from engine.limiter.model import Held, Lane, LimiterState, Place, Spent


def apply(state: LimiterState | None, event: LimiterEvent) -> LimiterState | None:
    """Return the limiter after an event; None is one that is closed, or was never opened.

    Raises:
        InvariantViolated: the event does not fit the state, so the log is not one that `decide` wrote.
    """
    if isinstance(event, LimiterOpened):
        return _opened(event)
    if state is None:
        message = f"a limiter begins with LimiterOpened, but the log has {event!r}"
        raise InvariantViolated(message)
    if isinstance(event, LimiterClosed):
        return None
    after = _APPLIERS[type(event)](state, event)
    return replace(after, version=state.version + 1, updated_at_ms=event.at_ms)


def fold(history: Iterable[LimiterEvent], state: LimiterState | None = None) -> LimiterState | None:
    """Return the limiter after a series of events."""
    for event in history:
        state = apply(state, event)
    return state


def _opened(event: LimiterOpened) -> LimiterState:
    return LimiterState(
        limiter_id=event.limiter_id,
        limits=event.limits,
        source=event.source,
        held=Map(),
        waiting=Map(),
        lanes=Map(),
        spent=Spent(),
        unstarted=0,
        last_number=0,
        version=1,
        updated_at_ms=event.at_ms,
    )


def _limits_set(state: LimiterState, event: LimitsSet) -> LimiterState:
    return replace(state, limits=event.limits, source=event.source)


def _queued(state: LimiterState, event: SlotQueued) -> LimiterState:
    number = state.last_number + 1
    lane = state.lanes.get(event.priority) or Lane(first=number, holders=Map())
    lane = replace(lane, holders=lane.holders.set(number, event.holder))
    place = Place(priority=event.priority, number=number, since_ms=event.at_ms)
    return replace(
        state,
        waiting=state.waiting.set(event.holder, place),
        lanes=state.lanes.set(event.priority, lane),
        last_number=number,
    )


def _granted(state: LimiterState, event: SlotGranted) -> LimiterState:
    state = _left_the_line(state, event.holder)
    held = state.held.set(event.holder, Held(granted_at_ms=event.at_ms))
    return replace(state, held=held, unstarted=state.unstarted + 1)


def _refused(state: LimiterState, event: SlotRefused) -> LimiterState:
    del event
    return state


def _started(state: LimiterState, event: SlotStarted) -> LimiterState:
    held = replace(_held(state, event.holder), started_at_ms=event.at_ms)
    return replace(
        state,
        held=state.held.set(event.holder, held),
        unstarted=state.unstarted - 1,
        spent=_spent(state, event.at_ms),
    )


def _freed(state: LimiterState, event: SlotFreed) -> LimiterState:
    if event.holder in state.waiting:
        return _left_the_line(state, event.holder)
    held = _held(state, event.holder)
    return replace(
        state,
        held=state.held.delete(event.holder),
        unstarted=state.unstarted if held.started_at_ms else state.unstarted - 1,
        spent=_spent(state, event.at_ms) if event.charged else state.spent,
    )


def _held(state: LimiterState, holder: TaskId) -> Held:
    held = state.held.get(holder)
    if held is None:
        message = f"limiter {state.limiter_id}: {holder} should have a slot and has none"
        raise InvariantViolated(message)
    return held


def _left_the_line(state: LimiterState, holder: TaskId) -> LimiterState:
    place = state.waiting.get(holder)
    if place is None:
        return state
    lane = state.lanes[place.priority]
    holders = lane.holders.delete(place.number)
    first = lane.first
    while holders and first not in holders:  # each number is stepped over once
        first += 1
    lanes = (
        state.lanes.set(place.priority, replace(lane, first=first, holders=holders))
        if holders
        else state.lanes.delete(place.priority)
    )
    return replace(state, waiting=state.waiting.delete(holder), lanes=lanes)


def _spent(state: LimiterState, at_ms: int) -> Spent:
    """Return the beginnings with one more, and without those that no window reaches any more."""
    first, times = state.spent.first, state.spent.at_ms
    while first < state.spent.end and times[first] + state.limits.window_ms <= at_ms:
        times = times.delete(first)
        first += 1
    end = state.spent.end
    return Spent(first=first, end=end + 1, at_ms=times.set(end, at_ms))


_APPLIERS: Final[dict[type, Callable[[LimiterState, LimiterEvent], LimiterState]]] = cast(
    "dict[type, Callable[[LimiterState, LimiterEvent], LimiterState]]",  # the key guarantees the event's type
    {
        LimitsSet: _limits_set,
        SlotQueued: _queued,
        SlotGranted: _granted,
        SlotRefused: _refused,
        SlotStarted: _started,
        SlotFreed: _freed,
    },
)
