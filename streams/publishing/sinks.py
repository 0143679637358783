"""The sinks themselves: topics of Kafka, the internal queue, URLs.

Holds the choice of the one that a name means, and what may be reached at all. Must not try again, nor keep an order:
who sends does. Keeps the invariants that `publish` returns only when the sink has acknowledged, and that nobody
publishes into the topics that Podium itself lives by.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from engine.json_value import JsonObject
from engine.sinks import KAFKA, is_internal
from engine.status import TaskStatus
from streams.errors import RecordTooLarge, StreamsError
from streams.ports import Log, NewRecord
from streams.publishing.kafka_request import WAIT_MS, KafkaRequest
from streams.publishing.messages import (
    MESSAGE_ID_HEADER,
    InternalEvent,
    KafkaMessage,
    OutgoingMessage,
    SinkFailed,
    SinkRefused,
)
from streams.requests import RequestWorker
from streams.topics import COMMANDS, INTERNAL_EVENTS, TASKS_PREFIX, engine_topics, partition_of

_encoder: Final = msgspec.json.Encoder()
_OWN_TOPICS: Final = frozenset(spec.name for spec in engine_topics(partitions=1)) - {COMMANDS}
"""Anybody may send commands; the others are Podium's alone to write: a foreign record in `events` fences its owner."""


class TopicPublisher(Protocol):
    """Publishes to the topics of one Kafka cluster."""

    async def publish(self, message: KafkaMessage, *, find_ms: int, acknowledge_ms: int) -> None:
        """Publish a record and return when all in-sync brokers have it.

        Raises:
            SinkFailed: it is not known to be there.
            SinkRefused: the brokers will never take it.
        """
        ...

    async def close(self) -> None:
        """Let go of the cluster."""
        ...


class KafkaTargets(msgspec.Struct, frozen=True, kw_only=True):
    """Which clusters may be published to: the `default`, "" for none, and those that an operator allows besides.

    `prefix` begins the names of Podium's own topics. `open_publisher` makes a publisher for `HOST:PORT[,…]`.
    """

    default: str
    allowed: frozenset[str]
    prefix: str
    open_publisher: Callable[[str], TopicPublisher]


class Sinks:
    """Sends messages. An async context manager: entered once, by the composition root."""

    def __init__(self, *, log: Log, partitions: int, http: RequestWorker, kafka: KafkaTargets) -> None:
        """Send to Kafka as `kafka` allows, to URLs with `http`, and to the internal queue in `log`."""
        self._log = log
        self._partitions = partitions
        self._http = http
        self._kafka = kafka
        self._publishers: dict[str, TopicPublisher] = {}
        """Not more than clusters are allowed."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        publishers, self._publishers = self._publishers, {}
        await asyncio.gather(*(publisher.close() for publisher in publishers.values()))

    async def publish(self, message: OutgoingMessage) -> None:
        """Send a message to the sink that it names and return when that has acknowledged it.

        Raises:
            SinkFailed: it is not known to have arrived.
            SinkRefused: it cannot be sent there.
        """
        if is_internal(message.sink):
            await self._publish_internally(message)
        elif message.sink.startswith(KAFKA):
            await self.publish_to_kafka(
                KafkaRequest(
                    message=KafkaMessage(
                        topic=message.sink.removeprefix(KAFKA),
                        key=message.workflow_id.encode(),
                        value=_encoder.encode(message.content),
                        headers=((MESSAGE_ID_HEADER, message.message_id.encode()),),
                    ),
                    servers="",
                    find_ms=WAIT_MS,
                    acknowledge_ms=WAIT_MS,
                )
            )
        else:
            await self._post(message)

    async def publish_to_kafka(self, request: KafkaRequest) -> None:
        """Publish a record to a topic of Kafka and return when it is there.

        Raises:
            SinkFailed: it is not known to be there.
            SinkRefused: the topic or the brokers are not for publishing, or will never take the record.
        """
        servers = request.servers or self._kafka.default
        if not servers:
            raise SinkRefused(
                f"topic {request.message.topic} cannot be published to: this server knows no Kafka brokers; "
                "name them with --event-kafka"
            )
        if servers != self._kafka.default and servers not in self._kafka.allowed:
            raise SinkRefused(f"bootStrapServers {servers!r:.200} are not among those that --publish-servers allows")
        self._check_topic(request.message.topic)
        publisher = self._publishers.get(servers)
        if publisher is None:
            publisher = self._publishers[servers] = self._kafka.open_publisher(servers)
        await publisher.publish(request.message, find_ms=request.find_ms, acknowledge_ms=request.acknowledge_ms)

    def _check_topic(self, topic: str) -> None:
        prefix = self._kafka.prefix
        own = topic.removeprefix(prefix) if topic.startswith(prefix) else ""
        if own in _OWN_TOPICS or own.startswith(TASKS_PREFIX):
            raise SinkRefused(f"topic {topic} is Podium's own; publish to one of another name")

    async def _publish_internally(self, message: OutgoingMessage) -> None:
        event = InternalEvent(
            message_id=message.message_id,
            event=message.sink,
            workflow_id=message.workflow_id,
            at_ms=message.at_ms,
            payload=message.content,
        )
        key = message.workflow_id.encode()
        record = NewRecord(key=key, value=_encoder.encode(event))
        try:
            await self._log.append(INTERNAL_EVENTS, partition_of(key, self._partitions), [record])
        except RecordTooLarge as error:
            raise SinkRefused(str(error)) from error
        except StreamsError as error:
            raise SinkFailed(str(error)) from error

    async def _post(self, message: OutgoingMessage) -> None:
        request: JsonObject = {"uri": message.sink, "method": "POST", "body": message.content}
        result = await self._http.run({"http_request": request}, attempt_id=message.message_id)
        if result.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR:
            raise SinkRefused(result.reason)
        if result.status is not TaskStatus.COMPLETED:
            raise SinkFailed(result.reason)
