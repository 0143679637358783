"""`podium topics`: the topics of a cluster, made or shown.

Must not declare topics: `streams.topics` does. Keeps the invariant that applying twice is applying once.
"""

import asyncio
from collections.abc import Coroutine, Sequence

from rich.console import Console
from rich.table import Table

from api.cli.failures import CommandFailed
from api.cli.open_log import open_log, partitions_of
from streams.errors import StreamsError
from streams.ports import Log
from streams.settings import KAFKA_PARTITIONS, NodeSettings
from streams.topics import TopicSpec, engine_topics


def apply_topics(settings: NodeSettings) -> None:
    """Make the topics that are missing, and print all.

    Raises:
        CommandFailed: the cluster cannot be reached, or a topic exists with other properties.
    """
    _print(_run(_applied(settings)))


def list_topics(settings: NodeSettings) -> None:
    """Print the topics and how many records they hold.

    Raises:
        CommandFailed: the cluster cannot be reached.
    """
    _print(_run(_listed(settings)))


async def _applied(settings: NodeSettings) -> list[tuple[TopicSpec, str]]:
    async with open_log(settings) as log:
        topics = engine_topics(partitions=settings.partitions or KAFKA_PARTITIONS)
        await log.create_topics(topics)
        return await _counted(log, topics)


async def _listed(settings: NodeSettings) -> list[tuple[TopicSpec, str]]:
    async with open_log(settings) as log:
        partitions = await partitions_of(log)
        return await _counted(log, engine_topics(partitions=partitions or settings.partitions or KAFKA_PARTITIONS))


async def _counted(log: Log, topics: Sequence[TopicSpec]) -> list[tuple[TopicSpec, str]]:
    """Return each topic with the width of its offsets: compaction leaves fewer records than that."""
    found: list[tuple[TopicSpec, str]] = []
    for topic in topics:
        records = 0
        for partition in range(topic.partitions):
            kept = await log.offsets(topic.name, partition)
            records += kept.next - kept.earliest
        found.append((topic, f"{records:,}"))
    return found


def _run(
    asked: Coroutine[object, object, list[tuple[TopicSpec, str]]],
) -> list[tuple[TopicSpec, str]]:
    try:
        return asyncio.run(asked)
    except StreamsError as error:
        message = f"{error!s}. Is the broker there? `podium topics apply` makes missing topics"
        raise CommandFailed(message) from error


def _print(topics: list[tuple[TopicSpec, str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("topic", "partitions", "keeps", "records"):
        table.add_column(name, justify="right" if name in ("partitions", "records") else "left")
    for topic, records in topics:
        keeps = "newest per key" if topic.compacted else "for ever" if topic.keep_forever else "for a while"
        table.add_row(topic.name, str(topic.partitions), keeps, records)
    Console().print(table)
