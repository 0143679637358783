"""Making topics, checking them, and asking for their offsets.

Holds what a topic must be like in Kafka to be what `TopicSpec` says. Must not change a topic that exists.
Keeps the promise that a topic which is the truth is never touched by retention: one that would be is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest
from aiokafka.protocol.offset import OffsetRequest

from streams.errors import LogUnavailable, OffsetOutOfRange, TopicMismatch
from streams.kafka import replies
from streams.kafka.cluster import Cluster
from streams.kafka.settings import KafkaSettings
from streams.topics import TopicSpec

EARLIEST: Final = -2
LATEST: Final = -1
"""Times that Kafka's ListOffsets request understands as the two ends of a partition."""

_REPLICAS_MAX: Final = 3
_FOREVER: Final = "-1"
_WEEK_MS: Final = 7 * 24 * 3_600 * 1_000
"""Longer than an outage: commands are needed until they are decided, tasks until they are taken."""
_BROKER_MESSAGE_BYTES: Final = 1_048_588
"""Kafka's default of max.message.bytes."""
_RETRY_S: Final = 0.02
"""Pause before a question is asked again; news of a topic takes some ten milliseconds through the cluster."""

_T = TypeVar("_T")


class Topics:
    """Makes topics in the cluster and looks at them."""

    def __init__(self, cluster: Cluster, settings: KafkaSettings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def create(self, topics: Sequence[TopicSpec]) -> frozenset[str]:
        """Create the topics that are missing; return the full names of those that were there before.

        Raises:
            LogUnavailable: the cluster cannot be reached, or refuses; the message says why.
        """
        brokers = await self._cluster.brokers()
        factor = self._settings.replication_factor or min(_REPLICAS_MAX, brokers)
        wanted: list[Any] = [
            (
                self._name(spec),
                spec.partitions,
                factor,
                [],
                sorted(topic_configs(spec, replicas=factor, bytes_max=self._settings.batch_bytes_max).items()),
            )
            for spec in topics
        ]
        reply = await self._cluster.ask_controller(
            CreateTopicsRequest(create_topic_requests=wanted, timeout=self._settings.timeout_ms, validate_only=False)
        )
        existed = set()
        for name, code, *message in reply.topic_errors:
            if code == replies.TOPIC_ALREADY_EXISTS:
                existed.add(name)
            elif code != replies.NONE:
                self._cluster.doubt()
                raise LogUnavailable(f"topic {name} was not created: {replies.name_of(code)} {message}")
        return frozenset(existed)

    async def wait_known(self, spec: TopicSpec) -> int:
        """Return the topic's partition count when the cluster tells it.

        Raises:
            LogUnavailable: the cluster cannot be reached, or does not know the topic after the timeout.
        """
        name = self._name(spec)
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1_000):
                while (count := await self._cluster.partitions(name)) is None:  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise LogUnavailable(f"topic {name} was created, but the brokers do not know it yet") from None
        return count

    async def check(self, spec: TopicSpec) -> None:
        """Compare a topic with its declaration.

        Raises:
            TopicMismatch: partition count or cleanup policy differ, or retention could delete what must be
                kept.
            LogUnavailable: the cluster cannot be reached.
        """
        name = self._name(spec)
        count = await self.wait_known(spec)
        if count != spec.partitions:
            raise TopicMismatch(f"topic {name} has {count} partitions, expected {spec.partitions}")
        names = ["cleanup.policy", "retention.bytes", "retention.ms"]
        reply = await self._cluster.ask(DescribeConfigsRequest([(int(ConfigResourceType.TOPIC), name, names)]))
        code, message, _, _, entries = reply.resources[0]
        if code != replies.NONE:
            raise LogUnavailable(f"topic {name} cannot be looked at: {replies.name_of(code)} {message}")
        found = {entry[0]: entry[1] for entry in entries}
        policy = "compact" if spec.compacted else "delete"
        if found["cleanup.policy"] != policy:
            raise TopicMismatch(f"topic {name} has cleanup.policy={found['cleanup.policy']}, expected {policy}")
        limits = {key: found[key] for key in ("retention.bytes", "retention.ms") if found[key] != _FOREVER}
        if spec.keep_forever and limits:
            raise TopicMismatch(f"topic {name} has {limits}, expected {_FOREVER}: it must keep everything")

    async def offset(self, name: str, partition: int, *, at: int) -> int:
        """Return the `EARLIEST` or the `LATEST` offset of a partition.

        Raises:
            LogUnavailable: the leader cannot be reached.
        """
        node = await self._cluster.leader(name, partition)
        reply = await self._cluster.ask(OffsetRequest(-1, 0, [(name, [(partition, at)])]), node=node)
        ((_, ((_, code, *answer),)),) = reply.topics
        if code != replies.NONE:
            self._cluster.doubt()
            raise LogUnavailable(f"the offsets of {name}[{partition}] are not told: {replies.name_of(code)}")
        return int(answer[-1])

    async def delete_before(self, name: str, partition: int, *, before_offset: int) -> None:
        """Delete the records of a partition below an offset.

        Raises:
            OffsetOutOfRange: the offset is beyond the end.
            LogUnavailable: the leader cannot be reached, or refuses.
        """
        node = await self._cluster.leader(name, partition)
        reply = await self._cluster.ask(
            DeleteRecordsRequest([(name, [(partition, before_offset)])], self._settings.timeout_ms), node=node
        )
        for _, partitions, *_ in reply.topics:
            for _, _, code, *_ in partitions:  # noqa: PLW2901  both are names for what is not needed
                if code == replies.OFFSET_OUT_OF_RANGE:
                    raise OffsetOutOfRange(f"{name}[{partition}] has no offset {before_offset} yet")
                if code != replies.NONE:
                    self._cluster.doubt()
                    raise LogUnavailable(f"{name}[{partition}] was not trimmed: {replies.name_of(code)}")

    def _name(self, spec: TopicSpec) -> str:
        return self._settings.topic_prefix + spec.name


def topic_configs(spec: TopicSpec, *, replicas: int, bytes_max: int) -> Mapping[str, str]:
    """Return the configuration that makes a topic of Kafka what its declaration says.

    LogAppendTime, because some topics are public: a producer with a wrong clock must neither have its records
    deleted at once nor kept for ever.
    """
    configs = {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "max.message.bytes": str(max(bytes_max, _BROKER_MESSAGE_BYTES)),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, replicas - 1)),
    }
    if not spec.compacted:
        configs["retention.ms"] = _FOREVER if spec.keep_forever else str(_WEEK_MS)
    if spec.keep_forever:
        configs["retention.bytes"] = _FOREVER
    return configs


async def patiently(ask: Callable[[], Awaitable[_T]], *, timeout_ms: int) -> _T:
    """Return what `ask` returns, asking again while the log is not available and the timeout is not over.

    Raises:
        LogUnavailable: the last one that `ask` raised.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_ms / 1_000
    while True:
        try:
            return await ask()
        except LogUnavailable:
            if loop.time() >= deadline_s:
                raise
        await asyncio.sleep(_RETRY_S)
