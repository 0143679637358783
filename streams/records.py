"""The records of the `events` topic, and the chain that binds them.

Holds the shapes, their encoding and the hash. Must not decide nor read a log. Keeps the invariant that each decision
names its own sequence number and the hash of all that the partition held before it, so that a torn, cut or exchanged
log is noticed at the first record that does not fit.

A decision is one record: its events are whole or absent. One that is larger than a record may be is cut into parts
(`DecisionPart`); without its last part it is void. The JSON is public: it may be consumed as change data capture.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from engine.commands import Command
from engine.events import Event
from engine.ids import WorkflowId
from engine.limiter.events import LimiterEvent
from engine.rejections import Rejected

CHAIN_START: Final = ""
"""The hash of an empty partition."""
NO_OFFSET: Final = -1
PART_CHARS_MAX: Final = 200_000
"""Of a part's text. A character takes up to four bytes (emoji), or two where JSON in JSON escapes it: 800 kB in all."""
RECORD_BYTES_MAX: Final = 900_000
"""Below the broker's default of 1 MiB, with room for the record's own frame."""
DEPTH_MAX: Final = 300
"""Objects and lists in one another, in a command and in a record. Decoders give up near 1,000, sooner where the stack
is already deep, and a decision nests its command's payload a little deeper: what one owner wrote the next one must be
able to read.
"""


class OwnerClaimed(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="record", tag="owner_claimed"):
    """A process owns the partition from here on. The offset of this record is its epoch.

    `partitions` is the partition count for which workflow ids were hashed: it must never change. A claim names no
    predecessor: whoever claims does not yet know what the log says; but what follows it is bound to it.
    """

    owner: str
    url: str
    at_ms: int
    partitions: int


class DecisionRecord(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, tag_field="record", tag="decision"
):
    """One decided command.

    `command_offset` is the command's offset in `commands`, or -1 where the owner itself was the cause (a timer). A
    command that was refused has a `rejection`, one that could not be read `parked`, one that belongs to another
    partition `forwarded`. `commands` are to be sent although no event says so (a refused child tells its parent).
    `effects_sent` is the sequence number up to which all effects have been acknowledged. A decision about a limiter has
    its events under `limiter_events`, and the limiter's id, which begins with `#`, under `workflow_id`.
    """

    workflow_id: WorkflowId
    cause: str
    at_ms: int
    epoch: int
    sequence: int
    previous: str
    command_offset: int = NO_OFFSET
    effects_sent: int = 0
    events: tuple[Event, ...] = ()
    limiter_events: tuple[LimiterEvent, ...] = ()
    rejection: Rejected | None = None
    parked: str = ""
    forwarded: int | None = None
    commands: tuple[Command, ...] = ()
    request_id: str = ""


class DecisionPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="record", tag="decision_part"):
    """A piece of a decision's JSON: the texts of parts 1 … `parts`, joined, are the decision."""

    epoch: int
    part: int
    parts: int
    text: str


EventRecord: TypeAlias = OwnerClaimed | DecisionRecord | DecisionPart

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP_OF_BRACKET: Final = bytes.maketrans(b"[{]}", b"\2\2\0\0")

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[EventRecord]] = msgspec.json.Decoder(EventRecord)
_decision_decoder: Final = msgspec.json.Decoder(DecisionRecord)


def encode(record: EventRecord) -> bytes:
    """Return the JSON of a record."""
    return _encoder.encode(record)


def decode(value: bytes) -> EventRecord:
    """Return the record that a value of `events` holds.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the value is not one of ours.
    """
    return _decoder.decode(value)


def nests_too_deep(value: bytes) -> bool:
    """Tell whether JSON nests deeper than `DEPTH_MAX`. Costs nothing to speak of unless it has that many brackets."""
    if value.count(b"{") + value.count(b"[") <= DEPTH_MAX:
        return False
    brackets = _STRING.sub(b"", value).translate(_STEP_OF_BRACKET, _NO_BRACKETS)
    return max(itertools.accumulate(map(_step, brackets)), default=0) > DEPTH_MAX


def chain_hash(previous: str, value: bytes) -> str:
    """Return a partition's hash after one more record: 64 bits of BLAKE2b over the hash before and the whole JSON."""
    return hashlib.blake2b(value, digest_size=8, key=previous.encode()).hexdigest()


def parts_of(value: bytes, *, epoch: int) -> list[bytes]:
    """Return the records that carry an encoded decision: itself, or its numbered parts if it is too large for one."""
    if len(value) <= RECORD_BYTES_MAX:
        return [value]
    text = value.decode()
    pieces = [text[start : start + PART_CHARS_MAX] for start in range(0, len(text), PART_CHARS_MAX)]
    return [
        encode(DecisionPart(epoch=epoch, part=number, parts=len(pieces), text=piece))
        for number, piece in enumerate(pieces, start=1)
    ]


def join_parts(parts: Iterable[DecisionPart]) -> bytes:
    """Return the decision's JSON that consecutive parts carry."""
    return "".join(part.text for part in parts).encode()


def decode_decision(value: bytes) -> DecisionRecord:
    """Return the decision that joined parts hold."""
    return _decision_decoder.decode(value)


def _step(bracket: int) -> int:
    return bracket - 1
