"""A process that appends until it is killed, and says what was acknowledged. Run by the tests, in a process of its own.

Must not catch the end that is done to it. Each line that it prints is `offset value` of an acknowledged record.
"""

import asyncio
import sys
from pathlib import Path

from streams.embedded import SqliteLog
from streams.ports import NewRecord
from streams.topics import TopicSpec


async def append_for_ever(directory: Path, name: str) -> None:
    """Append from several tasks at once, so that kills fall between and into commits of many sizes."""

    async def write(log: SqliteLog, writer: int) -> None:
        number = 0
        while True:
            number += 1
            value = f"{name}/{writer}/{number}"
            records = [NewRecord(key=b"k", value=value.encode())] * (1 + writer % 3)
            first = await log.append("events", 0, records)
            for offset in range(first, first + len(records)):
                sys.stdout.write(f"{offset} {value}\n")
            sys.stdout.flush()

    async with SqliteLog(directory) as log:
        await log.create_topics([TopicSpec(name="events", partitions=1, keep_forever=True)])
        async with asyncio.TaskGroup() as group:
            for writer in range(6):
                group.create_task(write(log, writer))


if __name__ == "__main__":
    asyncio.run(append_for_ever(Path(sys.argv[1]), sys.argv[2]))
