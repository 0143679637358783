"""A node on Kafka: its log, assignment, task topics and owner directory.

Holds the Kafka half of `streams.backend`. Must not be imported where no Kafka is used: it brings in the client. Keeps
the invariant that opening needs no broker; what needs one waits for it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from engine.ids import WorkflowId
from streams.backend import Backend
from streams.dispatch.cluster import ClusterDesk, ClusterPolls
from streams.dispatch.queues import PollQueues
from streams.kafka import KafkaLog, KafkaSettings
from streams.kafka.assignment import KafkaAssignment
from streams.kafka.outlet import KafkaOutlet
from streams.outward import TaskDesk
from streams.owners import OwnerDirectory
from streams.partition.machine import PartitionMachine
from streams.settings import KAFKA_PARTITIONS, NodeSettings


@asynccontextmanager
async def open_kafka(settings: NodeSettings, *, now_ms: Callable[[], int]) -> AsyncGenerator[Backend]:
    """Prepare to use the cluster that the settings name. Needs no broker yet."""
    if settings.kafka is None:
        message = "open_kafka needs the address of a broker in settings.kafka"
        raise ValueError(message)
    kafka = KafkaSettings(
        bootstrap=settings.kafka,
        topic_prefix=settings.topic_prefix,
        replication_factor=settings.replication,
    )
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(KafkaLog(kafka))
        outlet = await stack.enter_async_context(KafkaOutlet(kafka, log=log))
        directory = OwnerDirectory(log)

        def make_desk(queues: PollQueues, machine_of: Callable[[WorkflowId], PartitionMachine | None]) -> TaskDesk:
            del queues  # the pollers of all nodes are served from the topics
            return ClusterDesk(outlet, machine_of)

        yield Backend(
            log=log,
            partitions=settings.partitions or KAFKA_PARTITIONS,
            durable_queues=True,
            assignment=KafkaAssignment(kafka),
            make_desk=make_desk,
            make_polls=lambda queues: ClusterPolls(
                queues, kafka, log=log, now_ms=now_ms, url=settings.url, node_urls=directory.urls
            ),
            announce_owner=lambda partition, epoch: directory.announce(partition, settings.url, epoch),
            owner_url=directory.url,
            follow_owners=directory.run,
            ping=log.ping,
        )
