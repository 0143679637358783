"""The log itself, for commands that read it without a server.

Holds the choice between the embedded log and Kafka, and the question for how many partitions a log was written. Must
not own partitions nor append. Keeps the invariant that the partition count comes from the log, not from a setting.
"""

import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

from api.cli.failures import CommandFailed
from streams.embedded import SqliteLog, SqliteView
from streams.ports import Log, ReadableLog
from streams.records import OwnerClaimed, decode
from streams.settings import NodeSettings
from streams.topics import EVENTS

FIRST_READ_WAIT_MS: Final = 5_000


def open_view(settings: NodeSettings) -> AbstractAsyncContextManager[ReadableLog]:
    """Return the log that the settings name, to be entered and only read: also beside a server that runs."""
    return SqliteView(settings.data_dir) if settings.kafka is None else open_log(settings)


def open_log(settings: NodeSettings) -> AbstractAsyncContextManager[Log]:
    """Return the log that the settings name, to be entered.

    Raises:
        CommandFailed: the directory holds no log, and a command that only reads must not make one.
    """
    if settings.kafka is None:
        if not settings.data_dir.is_dir():
            message = f"there is no directory {settings.data_dir}: name that of the server's log with --data"
            raise CommandFailed(message)
        return SqliteLog(settings.data_dir)
    from streams.kafka import KafkaLog, KafkaSettings

    # Kafka's client writes a line for every try; the command itself says in one sentence what was missing.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    return KafkaLog(
        KafkaSettings(
            bootstrap=settings.kafka,
            topic_prefix=settings.topic_prefix,
            replication_factor=settings.replication,
        )
    )


async def partitions_of(log: ReadableLog) -> int | None:
    """Return for how many partitions a log was written, None if nobody has owned it yet.

    Raises:
        LogUnavailable: the log cannot be reached.
    """
    kept = await log.offsets(EVENTS, 0)
    if kept.next == kept.earliest:
        return None
    reader = log.reader(EVENTS, 0, from_offset=kept.earliest)
    try:
        records = await reader.read(records_max=1, wait_ms=FIRST_READ_WAIT_MS)
    finally:
        await reader.close()
    for record in records:
        first = decode(record.value or b"")
        if isinstance(first, OwnerClaimed):
            return first.partitions
    return None
