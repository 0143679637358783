"""Claims about where messages may go: what an operator allows, and never into Podium's own topics."""

from collections.abc import AsyncGenerator

import msgspec
import pytest

from engine.ids import WorkflowId
from streams.memory import MemoryLog, MemoryTopics
from streams.publishing.kafka_request import kafka_request_of
from streams.publishing.messages import InternalEvent, KafkaMessage, OutgoingMessage, SinkRefused
from streams.publishing.sinks import KafkaTargets, Sinks
from streams.topics import INTERNAL_EVENTS, engine_topics
from streams.workers.http import HttpWorker


class Cluster:
    """A cluster that takes everything and remembers it."""

    def __init__(self, servers: str) -> None:
        """Be reached at `servers`."""
        self.servers = servers
        self.taken: list[KafkaMessage] = []
        self.is_open = True

    async def publish(self, message: KafkaMessage, *, find_ms: int, acknowledge_ms: int) -> None:
        """See `TopicPublisher`."""
        assert find_ms
        assert acknowledge_ms
        self.taken.append(message)

    async def close(self) -> None:
        """See `TopicPublisher`."""
        self.is_open = False


class Clusters:
    """The clusters that were opened."""

    def __init__(self) -> None:
        """Open none yet."""
        self.opened: list[Cluster] = []

    def open(self, servers: str) -> Cluster:
        """Open one."""
        self.opened.append(Cluster(servers))
        return self.opened[-1]


@pytest.fixture
async def log() -> AsyncGenerator[MemoryLog]:
    """A log with the topics of four partitions."""
    async with MemoryLog(MemoryTopics()) as log:
        await log.create_topics(engine_topics(partitions=4))
        yield log


def sinks_of(log: MemoryLog, clusters: Clusters, *, default: str = "own:1", prefix: str = "podium.") -> Sinks:
    """Return sinks that may use a default cluster and one more."""
    targets = KafkaTargets(default=default, allowed=frozenset({"other:1"}), prefix=prefix, open_publisher=clusters.open)
    return Sinks(log=log, partitions=4, http=HttpWorker(), kafka=targets)


def message(sink: str) -> OutgoingMessage:
    """Return a message for a sink."""
    return OutgoingMessage(message_id="m", workflow_id=WorkflowId("w"), sink=sink, at_ms=5, payload={"a": 1})


async def test_message_for_a_topic_has_the_workflow_as_key_and_its_id_as_header(log: MemoryLog) -> None:
    """So that Kafka keeps the order of one workflow's messages."""
    clusters = Clusters()
    async with sinks_of(log, clusters) as sinks:
        await sinks.publish(message("kafka:t"))
        await sinks.publish(message("kafka:t"))
    (cluster,) = clusters.opened
    assert cluster.servers == "own:1"
    assert not cluster.is_open
    expected = KafkaMessage(topic="t", key=b"w", value=b'{"a":1}', headers=(("podium-message-id", b"m"),))
    assert cluster.taken == [expected, expected]


async def test_message_for_an_internal_queue_is_in_the_partition_of_its_workflow(log: MemoryLog) -> None:
    """In the documented form."""
    async with sinks_of(log, Clusters()) as sinks:
        await sinks.publish(message("conductor:flow:q"))
    found = []
    for partition in range(4):
        reader = log.reader(INTERNAL_EVENTS, partition, from_offset=0)
        found += [record.value or b"" for record in await reader.read(records_max=10, wait_ms=0)]
    assert [msgspec.json.decode(value, type=InternalEvent) for value in found] == [
        InternalEvent(message_id="m", event="conductor:flow:q", workflow_id=WorkflowId("w"), at_ms=5, payload={"a": 1})
    ]


@pytest.mark.parametrize(
    "topic", ["podium.events", "podium.outgoing", "podium.events.internal", "podium.tasks.x", "podium.snapshots"]
)
async def test_topics_of_podiums_own_are_not_published_to(log: MemoryLog, topic: str) -> None:
    """A foreign record among the events would fence their owner."""
    clusters = Clusters()
    async with sinks_of(log, clusters) as sinks:
        with pytest.raises(SinkRefused, match="own"):
            await sinks.publish(message(f"kafka:{topic}"))
    assert clusters.opened == []


@pytest.mark.parametrize("topic", ["podium.commands", "podium.mine", "events", "other.tasks.x"])
async def test_any_other_topic_may_be_published_to(log: MemoryLog, topic: str) -> None:
    """Commands too: they are for everybody to send."""
    clusters = Clusters()
    async with sinks_of(log, clusters) as sinks:
        await sinks.publish(message(f"kafka:{topic}"))
    assert [taken.topic for taken in clusters.opened[0].taken] == [topic]


async def test_own_topics_are_known_without_a_prefix_too(log: MemoryLog) -> None:
    """An installation may have none."""
    async with sinks_of(log, Clusters(), prefix="") as sinks:
        with pytest.raises(SinkRefused, match="own"):
            await sinks.publish(message("kafka:events"))


async def test_only_allowed_brokers_may_be_named(log: MemoryLog) -> None:
    """The server's own, also by name, and those of the setting."""
    clusters = Clusters()
    async with sinks_of(log, clusters) as sinks:
        for servers in ("", "own:1", "other:1"):
            given = {"topic": "t", "value": 1, "bootStrapServers": servers}
            await sinks.publish_to_kafka(kafka_request_of(given, message_id="m"))
        assert [cluster.servers for cluster in clusters.opened] == ["own:1", "other:1"]
        foreign = {"topic": "t", "value": 1, "bootStrapServers": "evil:1"}
        with pytest.raises(SinkRefused, match="--publish-servers"):
            await sinks.publish_to_kafka(kafka_request_of(foreign, message_id="m"))


async def test_server_without_brokers_says_which_setting_is_missing(log: MemoryLog) -> None:
    """On the embedded log there is no Kafka unless it is named."""
    async with sinks_of(log, Clusters(), default="") as sinks:
        with pytest.raises(SinkRefused, match="--event-kafka"):
            await sinks.publish(message("kafka:t"))
