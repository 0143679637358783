"""What was decided about a limiter. Like all events they are for ever.

Holds the shapes only; what an event changes is in `engine.limiter.applier`. Keeps the invariant that a limiter's state
is nothing but the fold of its events since the newest `LimiterOpened`.
"""

from typing import TypeAlias

import msgspec

from engine.ids import TaskId
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits, LimitSource


class _LimiterEvent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="event"):
    """How every event of a limiter is spelt."""


class LimiterOpened(_LimiterEvent, frozen=True, kw_only=True, tag="limiter_opened"):
    """Somebody asked for a slot, and nobody had for a while: the limiter begins, with nothing given."""

    at_ms: int
    limiter_id: LimiterId
    limits: Limits
    source: LimitSource


class LimitsSet(_LimiterEvent, frozen=True, kw_only=True, tag="limits_set"):
    """Other limits hold from here on. What has been given stays given."""

    at_ms: int
    limits: Limits
    source: LimitSource


class SlotQueued(_LimiterEvent, frozen=True, kw_only=True, tag="slot_queued"):
    """Somebody waits for a slot, behind all of the same priority."""

    at_ms: int
    holder: TaskId
    priority: int = 0


class SlotGranted(_LimiterEvent, frozen=True, kw_only=True, tag="slot_granted"):
    """Somebody has a slot, whether or not it had to wait."""

    at_ms: int
    holder: TaskId


class SlotRefused(_LimiterEvent, frozen=True, kw_only=True, tag="slot_refused"):
    """Somebody who would not wait got nothing."""

    at_ms: int
    holder: TaskId
    reason: str


class SlotStarted(_LimiterEvent, frozen=True, kw_only=True, tag="slot_started"):
    """The holder has begun: from here on the beginning counts in the window of the rate."""

    at_ms: int
    holder: TaskId


class SlotFreed(_LimiterEvent, frozen=True, kw_only=True, tag="slot_freed"):
    """Somebody has given a slot back, or waits no more. `charged`: it may have begun unnoticed, so that counts now."""

    at_ms: int
    holder: TaskId
    charged: bool = False


class LimiterClosed(_LimiterEvent, frozen=True, kw_only=True, tag="limiter_closed"):
    """Nobody has had a slot, or waited for one, for a while: there is nothing to remember."""

    at_ms: int


LimiterEvent: TypeAlias = (
    LimiterOpened | LimitsSet | SlotQueued | SlotGranted | SlotRefused | SlotStarted | SlotFreed | LimiterClosed
)
