"""Tasks of one type, as a member of the consumer group that all takers of this type share.

Holds the membership and how far each partition has been handed out. Must not know what a task is. Keeps two invariants: what was not
handed out is never committed, so another member gets it when this one is gone; and what was handed out is committed within a quarter of
a second, so that others rarely get it again. A worker may see a task twice; the engine takes one result.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.structs import TopicPartition

from streams.errors import LogUnavailable
from streams.kafka.admin import Topics
from streams.kafka.cluster import NETWORK_ERRORS, Cluster
from streams.kafka.settings import KafkaSettings, client_arguments
from streams.ports import LogRecord
from streams.topics import TASKS_PREFIX, task_topic

GROUP_PREFIX: Final = "workers."
"""The group of a task topic is called like the topic, with this instead of `tasks.`: public, all languages share it."""

_COMMIT_S: Final = 0.25
_REQUEST_GRACE_MS: Final = 5_000
"""A request to join is answered when all members have joined; the connection must wait longer than that."""

_log = structlog.get_logger(__name__)


class Handed(OrderedDict[int, bool]):
    """The records of one partition that were read but not committed: offset to whether it was handed out, in order."""

    def position(self) -> int | None:
        """Drop what was handed out from the beginning on; return the offset after it, or None if there is none."""
        position = None
        while self and next(iter(self.values())):
            position = self.popitem(last=False)[0] + 1
        return position
