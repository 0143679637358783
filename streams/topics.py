"""Every topic of Podium, declared once.

Holds names, partition counts and cleanup policies, and the partitioner. Must not talk to a log. Keeps the invariant
that a workflow id always maps to the same partition: Kafka's default partitioner (murmur2), so that any producer lands
right.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final

import msgspec

COMMANDS: Final = "commands"
EVENTS: Final = "events"
DEFINITIONS: Final = "definitions"
OWNERS: Final = "owners"
SNAPSHOTS: Final = "snapshots"
OUTCOMES: Final = "outcomes"
DEAD_LETTER: Final = "dead-letter"
OUTGOING: Final = "outgoing"
"""Messages for listeners that have not been sent yet."""
INTERNAL_EVENTS: Final = "events.internal"
"""The internal queues, all of them: what EVENT tasks and listeners send to `conductor:…`."""
TASKS_PREFIX: Final = "tasks."

PARTITIONS_MAX: Final = 1024
"""More partitions than this cost more than they bring: one owner loop each."""

_KEYS_REMEMBERED: Final = 16_384
"""The hash costs 3 µs (measured), the look-up 0.1, and a workflow at work is asked about several times per command."""

_ESCAPED: Final = re.compile(r"[^a-zA-Z0-9_-]|_(?=[0-9a-f]{2})")
_NAME_CHARS_MAX: Final = 100
"""Kafka allows 249 characters in a topic name: prefix, type and domain must fit together."""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as Podium needs it. `compacted`: only the newest value of a key must be kept.

    `keep_forever`: the topic is the truth and retention must not touch it. Other topics keep at least seven days.
    """

    name: str
    partitions: int
    compacted: bool = False
    keep_forever: bool = False


def engine_topics(*, partitions: int) -> tuple[TopicSpec, ...]:
    """Return the topics that must exist before a node starts, for a log of `partitions` workflow partitions."""
    return (
        TopicSpec(name=COMMANDS, partitions=partitions),
        TopicSpec(name=EVENTS, partitions=partitions, keep_forever=True),
        TopicSpec(name=SNAPSHOTS, partitions=partitions, compacted=True),
        TopicSpec(name=OUTCOMES, partitions=partitions),
        TopicSpec(name=OUTGOING, partitions=partitions),
        TopicSpec(name=INTERNAL_EVENTS, partitions=partitions),
        TopicSpec(name=DEFINITIONS, partitions=1, compacted=True),
        TopicSpec(name=OWNERS, partitions=1, compacted=True),
        TopicSpec(name=DEAD_LETTER, partitions=1, keep_forever=True),
    )


def task_topic(task_type: str, *, domain: str = "", partitions: int = 1) -> TopicSpec:
    """Return the topic that carries the tasks of one type (and domain).

    Characters that a topic name cannot hold are written as `_xx` (their bytes in hexadecimal) and an over-long name
    ends in its hash, so that two types never share a topic by accident.
    """
    name = TASKS_PREFIX + _encoded(task_type) + (f".{_encoded(domain)}" if domain else "")
    return TopicSpec(name=name, partitions=partitions)


@lru_cache(maxsize=_KEYS_REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, as Kafka's default partitioner does."""
    if partitions == 1:
        return 0
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash with Kafka's seed. Source: `org.apache.kafka.common.utils.Utils.murmur2`."""
    length = len(data)
    mixer = 0x5BD1E995
    value = (0x9747B28C ^ length) & 0xFFFFFFFF
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little")
        word = (word * mixer) & 0xFFFFFFFF
        word ^= word >> 24
        word = (word * mixer) & 0xFFFFFFFF
        value = ((value * mixer) & 0xFFFFFFFF) ^ word
    if length > whole:
        value ^= int.from_bytes(data[whole:], "little")
        value = (value * mixer) & 0xFFFFFFFF
    value ^= value >> 13
    value = (value * mixer) & 0xFFFFFFFF
    return value ^ (value >> 15)


def _encoded(name: str) -> str:
    text = _ESCAPED.sub(lambda found: "".join(f"_{byte:02x}" for byte in found.group().encode()), name)
    if len(text) <= _NAME_CHARS_MAX:
        return text
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{text[: _NAME_CHARS_MAX - 17]}-{digest}"
