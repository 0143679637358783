"""From the bytes of a fetch to records.

Holds what a reader sees of batches: records from an offset on, of committed transactions, with checksums that
hold. Must not fetch. Keeps the invariant that the offset to go on at is beyond everything that was looked at,
also where there was nothing to see (marks of transactions, records that were compacted away).
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.ports import LogRecord


def unpack(
    data: bytes,
    aborted: Sequence[tuple[int, int]],
    *,
    topic: str,
    place: TopicPartition,
    position: int,
    add: Callable[[LogRecord], None],
) -> int:
    """Add the records from `position` on, and return the offset to go on at.

    Args:
        data: Batches, the last of which may come in part, and then is left out.
        aborted: Undone transactions in it: producer and first offset.
        topic: What the records say they are of.
        place: The partition, for messages.
        position: Records before it may come too, and are left out.
        add: Called for each record in order, also for those before a damaged batch.

    Raises:
        CorruptRecordException: a batch is damaged.
    """
    if aborted:
        return _unpack_committed(data, aborted, topic=topic, place=place, position=position, add=add)
    partition = place.partition
    batches = MemoryRecords(data)
    while batches.has_next():
        batch: Any = batches.next_batch()
        if batch.next_offset <= position:
            continue
        if not batch.validate_crc():
            raise CorruptRecordException(f"{place}: the checksum of the batch at {batch.base_offset} is wrong")
        if not batch.is_control_batch:
            for record in batch:
                offset = record.offset
                if offset >= position:
                    add(
                        LogRecord(
                            topic=topic,
                            partition=partition,
                            offset=offset,
                            key=record.key,
                            value=record.value,
                            appended_at_ms=record.timestamp,
                        )
                    )
        position = int(batch.next_offset)
    return position


def _unpack_committed(
    data: bytes,
    aborted: Sequence[tuple[int, int]],
    *,
    topic: str,
    place: TopicPartition,
    position: int,
    add: Callable[[LogRecord], None],
) -> int:
    records = PartitionRecords(
        place,
        MemoryRecords(data),
        list(aborted),
        position,
        None,
        None,
        True,  # noqa: FBT003  check the checksums: this log is the truth
        READ_COMMITTED,
    )
    for record in records:
        add(
            LogRecord(
                topic=topic,
                partition=place.partition,
                offset=record.offset,
                key=record.key,
                value=record.value,
                appended_at_ms=record.timestamp,
            )
        )
    return int(records.next_fetch_offset)
