"""What every log refuses before it stores anything.

Holds the checks that the backends share, so that a batch refused by one is refused by all. Must not know a
backend. Keeps the invariant that a refusal comes before any byte of the batch is stored or sent.
"""

from collections.abc import Sequence

from streams.errors import RecordTooLarge
from streams.ports import NewRecord


def refuse_unfit(topic: str, records: Sequence[NewRecord], *, compacted: bool, record_bytes_max: int) -> None:
    """Refuse an append that no log can take.

    Args:
        topic: Named in the refusal.
        records: What is to be appended.
        compacted: Whether the topic keeps the newest record of a key; then every record needs a key.
        record_bytes_max: The limit on key and value together.

    Raises:
        ValueError: no records at all, or one without key for a compacted topic: a defect of the caller.
        RecordTooLarge: a record is above the limit.
    """
    if not records:
        raise ValueError(f"an append to {topic} has no records; append at least one")
    for record in records:
        if compacted and record.key is None:
            raise ValueError(f"a record for {topic} has no key; the topic is compacted by key and needs one")
        size = record_bytes(record)
        if size > record_bytes_max:
            raise RecordTooLarge(
                f"a record for {topic} with key {record.key!r} has {size} bytes; expected at most {record_bytes_max}"
            )


def record_bytes(record: NewRecord) -> int:
    """Return the bytes of a record's key and value."""
    return len(record.key or b"") + len(record.value or b"")
