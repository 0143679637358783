"""The ports of the log: what the shell needs from Kafka, from SQLite or from memory.

Holds the protocols and the small record types that cross them. Must not import any backend: a backend imports this
module, never the other way round. Keeps the invariant that an offset, once returned by an append, names a record that
survives the loss of the process.

All three backends pass the same conformance suite (`tests/conformance`).
"""

from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec

from streams.topics import TopicSpec


class NewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record to append. `value=None` on a compacted topic is a tombstone: the key is forgotten."""

    key: bytes | None
    value: bytes | None


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as read. `appended_at_ms` is the log's own clock; it orders nothing, it is only shown."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    appended_at_ms: int


class OffsetRange(msgspec.Struct, frozen=True, kw_only=True):
    """The offsets a partition holds: `earliest` is the oldest kept one, `next` the one the next append receives."""

    earliest: int
    next: int


class LogReader(Protocol):
    """A cursor over one partition, in offset order, from a given offset. Not shared between callers."""

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """Return the next records, at least one if any arrives within `wait_ms`, else an empty sequence.

        Offsets ascend but may have gaps (a compacted topic, a broker's control records). Returns at once when
        records are there; `wait_ms` only bounds the wait for the first. Retriable trouble of the log is waited out
        inside `wait_ms` and then shows as an empty sequence.

        Raises:
            LogUnavailable: the log cannot be reached and the caller should say so.
            OffsetOutOfRange: the log no longer holds the offset that this cursor stands at.
        """
        ...

    async def close(self) -> None:
        """Release what the cursor holds. Idempotent."""
        ...


class ReadableLog(Protocol):
    """What of a log can be used by somebody who must not write: a tool beside a running server."""

    def reader(self, topic: str, partition: int, *, from_offset: int) -> LogReader:
        """Return a cursor whose first record is the first one at or after `from_offset`."""
        ...

    async def offsets(self, topic: str, partition: int) -> OffsetRange:
        """Return the current range. Records in flight are not counted.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        ...


class Log(ReadableLog, Protocol):
    """Append and read partitioned, durable topics. An async context manager: entered once, by the composition root."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing; leave what exists. Idempotent and safe from many processes at once.

        Raises:
            TopicMismatch: a topic exists with another partition count or another cleanup policy than declared.
            LogUnavailable: the log cannot be reached.
        """
        ...

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> Awaitable[int]:
        """Append records in order, as one batch, and return (when awaited) the offset of the first of them.

        The order of calls for one partition is the order of records in it. The awaitable resolves when the batch is
        durable (acks=all; fsync): then every record is there, with consecutive offsets. Many appends may be in flight.
        Calling does not wait; not awaiting the result is an error of the caller.

        After a failure, every append to the same partition that was called before the failure was told fails too: no
        later record slips in behind a lost one. A call larger than a batch of the log goes as several; a crash can
        cut it between two records.

        Raises (when awaited):
            LogUnavailable: nothing is known about the batch; it may or may not be in the log. An owner of a partition
                must claim it anew before it appends again.
            StoreFull: there is no space; nothing was stored.
            RecordTooLarge: the batch was refused before anything was sent.
            Fenced: somebody else appended between two records of this call.

        Raises (at once):
            ValueError: a defect of the caller: no records, or one without key for a compacted topic.
        """
        ...

    async def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """Forget the records below an offset. Idempotent; what is not there yet is not forgotten.

        For commands that have been decided; never for a compacted topic or one that is kept for ever.

        Raises:
            LogUnavailable: the log cannot be reached; some, all or none may be forgotten.
        """
        ...

    async def ping(self) -> bool:
        """Tell, within about a second, whether the log can be used now."""
        ...


class PartitionOwner(Protocol):
    """What an assignment tells: which partitions of `commands` this process should own now."""

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Begin to own. Returns when the work is started, not when it is recovered."""
        ...

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Stop owning. Returns when nothing of these partitions will be appended by this process any more."""
        ...


class Assignment(Protocol):
    """Distributes the partitions of `commands` over the processes that run. Safety never rests on it."""

    async def run(self, owner: PartitionOwner) -> None:
        """Tell the owner of every change until cancelled; then revoke all and leave."""
        ...
