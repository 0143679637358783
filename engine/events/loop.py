"""What happens to the passes of its loops.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

from engine.events.shape import EventShape
from engine.ids import TaskSeq


class PassEntered(EventShape, frozen=True, kw_only=True, tag="pass_entered"):
    """The loop `seq` begins pass number `iteration`.

    `forgettable`: the loop keeps only its last passes, so where this one begins is remembered.
    """

    at_ms: int
    seq: TaskSeq
    iteration: int
    forgettable: bool = False


class PassDropped(EventShape, frozen=True, kw_only=True, tag="pass_dropped"):
    """The tasks of the oldest pass that the loop `seq` still kept are gone from the state. They have all ended."""

    at_ms: int
    seq: TaskSeq


class ConditionAsked(EventShape, frozen=True, kw_only=True, tag="condition_asked"):
    """Pass `iteration` of the loop `seq` is over; whether another follows, a script has to say."""

    at_ms: int
    seq: TaskSeq
    iteration: int
