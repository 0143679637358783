"""What a limiter is asked for. Podium sends these to itself, on the `commands` topic, keyed by the limiter's id.

Holds the shapes only. Keeps the invariant that a holder's id is never used for a second request: so a command that
comes twice, or late, is recognised.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from engine.ids import TaskId
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits, LimitSource

PRIORITY_MAX: Final = 99


class ToLimiter(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="command"):
    """What every command to a limiter is: one that names it."""

    limiter_id: LimiterId


class AcquireSlot(ToLimiter, frozen=True, kw_only=True, tag="acquire_slot"):
    """Give `holder` a slot when one is free: of those who wait, the highest priority first, then who asked first.

    `limits` are those of the definition that the asking workflow runs by. `or_refuse`: now or never.
    """

    holder: TaskId
    limits: Limits
    source: LimitSource
    priority: Annotated[int, msgspec.Meta(ge=0, le=PRIORITY_MAX)] = 0
    or_refuse: bool = False
    request_id: str | None = None


class NoteSlotStart(ToLimiter, frozen=True, kw_only=True, tag="note_slot_start"):
    """The holder of a slot has begun to use it: the window of a rate runs from here."""

    holder: TaskId
    request_id: str | None = None


class ReleaseSlot(ToLimiter, frozen=True, kw_only=True, tag="release_slot"):
    """The holder needs its slot no more, or does not wait for one any more. `used`: it may have begun to use it."""

    holder: TaskId
    used: bool = False
    request_id: str | None = None


class ReviewLimits(ToLimiter, frozen=True, kw_only=True, tag="review_limits"):
    """Look at the definition again: it has changed."""

    request_id: str | None = None


LimiterCommand: TypeAlias = AcquireSlot | NoteSlotStart | ReleaseSlot | ReviewLimits
