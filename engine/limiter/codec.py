"""A limiter's state as bytes, and back: for snapshots.

Must not be read by anybody but this module. Keeps the invariant that unpacking what was packed gives an equal state.
"""

from typing import Final

import msgspec
from immutables import Map

from engine.codec import FormatUnknown
from engine.ids import TaskId
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits, LimitSource
from engine.limiter.model import Held, Lane, LimiterState, Place, Spent

FORMAT: Final = 1


class _Packed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    format: int
    limiter_id: LimiterId
    limits: Limits
    source: LimitSource
    held: dict[TaskId, Held]
    waiting: dict[TaskId, Place]
    spent_first: int
    spent: tuple[int, ...]
    unstarted: int
    last_number: int
    version: int
    updated_at_ms: int


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def pack(state: LimiterState) -> bytes:
    """Return a state as bytes. Equal states give equal bytes."""
    spent = state.spent
    return _encoder.encode(
        _Packed(
            format=FORMAT,
            limiter_id=state.limiter_id,
            limits=state.limits,
            source=state.source,
            held=dict(sorted(state.held.items())),
            waiting=dict(sorted(state.waiting.items(), key=lambda item: item[1].number)),
            spent_first=spent.first,
            spent=tuple(spent.at_ms[number] for number in range(spent.first, spent.end)),
            unstarted=state.unstarted,
            last_number=state.last_number,
            version=state.version,
            updated_at_ms=state.updated_at_ms,
        )
    )


def unpack(packed: bytes) -> LimiterState:
    """Return the state that `pack` was given.

    Raises:
        FormatUnknown: the bytes were written by another release.
    """
    try:
        found = _decoder.decode(packed)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"packed limiter of {len(packed)} bytes cannot be read: {error}"
        raise FormatUnknown(message) from error
    if found.format != FORMAT:
        message = f"packed limiter has format {found.format}, this release reads {FORMAT}"
        raise FormatUnknown(message)
    by_priority: dict[int, dict[int, TaskId]] = {}
    for holder, place in found.waiting.items():  # by number, ascending
        by_priority.setdefault(place.priority, {})[place.number] = holder
    lanes = {priority: Lane(first=min(holders), holders=Map(holders)) for priority, holders in by_priority.items()}
    times = Map(dict(enumerate(found.spent, start=found.spent_first)))
    return LimiterState(
        limiter_id=found.limiter_id,
        limits=found.limits,
        source=found.source,
        held=Map(found.held),
        waiting=Map(found.waiting),
        lanes=Map(lanes),
        spent=Spent(first=found.spent_first, end=found.spent_first + len(found.spent), at_ms=times),
        unstarted=found.unstarted,
        last_number=found.last_number,
        version=found.version,
        updated_at_ms=found.updated_at_ms,
    )
