"""The synchronous heart of the log in memory: what a simulator drives, without an event loop."""

import pytest

from streams.errors import LogUnavailable, OffsetOutOfRange, RecordTooLarge
from streams.memory import MemoryTopics
from streams.ports import NewRecord, OffsetRange
from streams.topics import TopicSpec

EVENTS = TopicSpec(name="events", partitions=2, keep_forever=True)
LATEST = TopicSpec(name="latest", partitions=1, compacted=True)


@pytest.fixture
def topics() -> MemoryTopics:
    """Both kinds of topic, stamped by a clock that says 1,000."""
    topics = MemoryTopics(now_ms=lambda: 1_000, record_bytes_max=10)
    topics.create([EVENTS, LATEST])
    return topics


def test_append_and_read_need_no_event_loop(topics: MemoryTopics) -> None:
    """A call has happened when it returns, and the clock is the one that was given."""
    assert topics.append_now("events", 1, [NewRecord(key=b"k", value=b"a"), NewRecord(key=b"k", value=b"b")]) == 0
    found = topics.read_now("events", 1, from_offset=1, records_max=10)
    assert [(one.offset, one.value, one.appended_at_ms) for one in found] == [(1, b"b", 1_000)]
    assert topics.range("events", 1) == OffsetRange(earliest=0, next=2)


def test_read_of_a_compacted_topic_skips_what_was_replaced(topics: MemoryTopics) -> None:
    """`records_max` counts what is returned, not what is skipped."""
    for key in (b"a", b"a", b"b", b"a", b"c"):
        topics.append_now("latest", 0, [NewRecord(key=key, value=b"v")])
    found = topics.read_now("latest", 0, from_offset=0, records_max=2)
    assert [(one.offset, one.key) for one in found] == [(2, b"b"), (3, b"a")]


def test_refusals_leave_everything_as_it_was(topics: MemoryTopics) -> None:
    """A refused append has no offset and no record."""
    with pytest.raises(RecordTooLarge, match="11"):
        topics.append_now("events", 0, [NewRecord(key=b"k", value=b"1"), NewRecord(key=b"k", value=b"x" * 10)])
    with pytest.raises(ValueError, match="key"):
        topics.append_now("latest", 0, [NewRecord(key=None, value=b"v")])
    with pytest.raises(LogUnavailable, match="partition 2 of topic events"):
        topics.append_now("events", 2, [NewRecord(key=b"k", value=b"v")])
    assert topics.range("events", 0) == OffsetRange(earliest=0, next=0)
    assert topics.range("latest", 0) == OffsetRange(earliest=0, next=0)


def test_trim_is_idempotent_and_never_runs_ahead(topics: MemoryTopics) -> None:
    """Trimming beyond the end forgets what is there, and not what comes."""
    topics.append_now("events", 0, [NewRecord(key=b"k", value=b"v")] * 3)
    topics.trim("events", 0, before_offset=2)
    topics.trim("events", 0, before_offset=1)
    assert topics.range("events", 0) == OffsetRange(earliest=2, next=3)
    topics.trim("events", 0, before_offset=100)
    assert topics.append_now("events", 0, [NewRecord(key=b"k", value=b"w")]) == 3
    with pytest.raises(OffsetOutOfRange):
        topics.read_now("events", 0, from_offset=2, records_max=1)
