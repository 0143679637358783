"""Slots: what attempts, and whole workflows, ask limiters for, get and give back.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

import msgspec

from engine.events.shape import EventShape
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits, LimitSource


class GoingOn(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a workflow goes on that runs again, once it has its slot. Without any of this: what failed is tried again.

    `with_children`: sub-workflows that did not succeed are asked to go on instead. `but_tolerated`: a failure that was
    tolerated stays. With a `node`, the task of that name in the definition is entered too, with the input `given` if
    there is one, in the passes that `suffix` names, or in a `branch` of the dynamic fork `forked_by`.
    """

    with_children: bool = False
    but_tolerated: bool = False
    node: RefName = RefName("")
    suffix: str = ""
    forked_by: TaskSeq = TaskSeq(0)
    branch: int = 0
    given: JsonObject | None = None


class SlotAwaited(EventShape, frozen=True, kw_only=True, tag="slot_awaited"):
    """An attempt is scheduled and may begin when its limiter gives it a slot; with `whole`, the workflow itself may.

    `seq` names the slot: for an attempt it is the attempt's number, for a workflow one of its own that no attempt gets.
    `limits` and `source` are what the definition says by which the workflow runs, and `key` what its `rateLimitKey`
    came to. `or_refuse`: it does not wait. `going_on` is there if the workflow runs again.
    """

    at_ms: int
    seq: TaskSeq
    limiter_id: LimiterId
    limits: Limits
    source: LimitSource
    whole: bool = False
    or_refuse: bool = False
    key: str = ""
    going_on: GoingOn | None = None


class SlotObtained(EventShape, frozen=True, kw_only=True, tag="slot_obtained"):
    """The limiter has given the slot: the attempt may be done, or the workflow may begin."""

    at_ms: int
    seq: TaskSeq


class SlotReturned(EventShape, frozen=True, kw_only=True, tag="slot_returned"):
    """The attempt, or the workflow, has ended and needs its slot no more. `used`: it had got it."""

    at_ms: int
    seq: TaskSeq
    limiter_id: LimiterId
    used: bool = False
