"""The records of a log in memory, without any waiting.

Holds topics, offsets, compaction and trimming as plain synchronous calls that a simulator can drive step by
step. Must not wait,
read a clock of its own, or inject faults: who wants a fault calls these methods later, twice or not at all.
Keeps the invariant that an offset is given once and in order, and that the newest record of a key of a
compacted topic can always be read.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final

from streams.appendable import refuse_unfit
from streams.errors import LogUnavailable, OffsetOutOfRange, TopicMismatch
from streams.ports import LogRecord, NewRecord, OffsetRange
from streams.topics import TopicSpec

RECORD_BYTES_MAX: Final = 1_000_000
"""Key and value together. The default of the Kafka backend, so that what runs here runs there."""

_offset_of: Final = attrgetter("offset")


class MemoryTopics:
    """Topics and their records. Every method returns at once."""

    def __init__(self, *, now_ms: Callable[[], int] = lambda: 0, record_bytes_max: int = RECORD_BYTES_MAX) -> None:
        """Begin without topics.

        Args:
            now_ms: The clock that stamps records, in epoch milliseconds.
            record_bytes_max: Above this, a record (key and value) is refused.
        """
        self._now_ms = now_ms
        self._record_bytes_max = record_bytes_max
        self._specs: dict[str, TopicSpec] = {}
        self._partitions: dict[tuple[str, int], _Partition] = {}

    def create(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing; leave what exists.

        Raises:
            TopicMismatch: a topic exists with another partition count or cleanup policy; nothing was created.
        """
        for spec in topics:
            known = self._specs.get(spec.name, spec)
            if (known.partitions, known.compacted) != (spec.partitions, spec.compacted):
                raise TopicMismatch(
                    f"topic {spec.name} has {known.partitions} partitions and compacted={known.compacted}; "
                    f"expected {spec.partitions} and compacted={spec.compacted}"
                )
        for spec in topics:
            if spec.name not in self._specs:
                self._specs[spec.name] = spec
                for partition in range(spec.partitions):
                    self._partitions[spec.name, partition] = _Partition(compacted=spec.compacted)

    def append_now(self, topic: str, partition: int, records: Sequence[NewRecord]) -> int:
        """Append records and return the offset of the first of them.

        Raises:
            LogUnavailable: there is no such topic or partition.
            RecordTooLarge: a record is above the limit; none was appended.
            ValueError: no records, or one without key for a compacted topic; none was appended.
        """
        held = self._held(topic, partition)
        refuse_unfit(topic, records, compacted=held.compacted, record_bytes_max=self._record_bytes_max)
        now_ms = self._now_ms()
        first = held.next
        held.append(
            LogRecord(
                topic=topic,
                partition=partition,
                offset=offset,
                key=record.key,
                value=record.value,
                appended_at_ms=now_ms,
            )
            for offset, record in enumerate(records, start=first)
        )
        return first

    def read_now(self, topic: str, partition: int, *, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        """Return the records at and after an offset, as many as there are up to `records_max`.

        Raises:
            LogUnavailable: there is no such topic or partition.
            OffsetOutOfRange: the offset is below the earliest or above the next one.
        """
        held = self._held(topic, partition)
        if not held.earliest <= from_offset <= held.next:
            raise OffsetOutOfRange(
                f"{topic}[{partition}] can be read from {held.earliest} to {held.next}, not {from_offset}"
            )
        return held.read(from_offset, records_max)

    def range(self, topic: str, partition: int) -> OffsetRange:
        """Return the offsets that a partition holds."""
        held = self._held(topic, partition)
        return OffsetRange(earliest=held.earliest, next=held.next)

    def trim(self, topic: str, partition: int, *, before_offset: int) -> None:
        """Forget the records below an offset; those that are forgotten, or not there yet, do not matter."""
        self._held(topic, partition).trim(before_offset)

    def _held(self, topic: str, partition: int) -> "_Partition":
        try:
            return self._partitions[topic, partition]
        except KeyError:
            raise LogUnavailable(
                f"there is no partition {partition} of topic {topic}; create the topic first"
            ) from None


class _Partition:
    """The records of one partition, ascending by offset; `newest` says which record of a key counts."""

    def __init__(self, *, compacted: bool) -> None:
        self.compacted = compacted
        self.earliest = 0
        self.next = 0
        self._records: list[LogRecord] = []
        self._newest: dict[bytes | None, int] = {}

    def append(self, records: Iterable[LogRecord]) -> None:
        for record in records:
            self._records.append(record)
            self.next = record.offset + 1
            if self.compacted:
                self._newest[record.key] = record.offset

    def read(self, from_offset: int, records_max: int) -> list[LogRecord]:
        start = bisect_left(self._records, from_offset, key=_offset_of)
        if not self.compacted:
            return self._records[start : start + records_max]
        found: list[LogRecord] = []
        for record in self._records[start:]:
            if len(found) == records_max:
                break
            if self._newest[record.key] == record.offset:
                found.append(record)
        return found

    def trim(self, before_offset: int) -> None:
        self.earliest = max(self.earliest, min(before_offset, self.next))
        del self._records[: bisect_left(self._records, self.earliest, key=_offset_of)]
