"""One view of the cluster: its brokers, who leads which partition, and connections to them.

Holds one metadata client of aiokafka for a whole process, opened at first need and anew after the cluster was
lost from sight. Must not know what is appended or read. Keeps the invariant that every failure to reach a
broker leaves here as `LogUnavailable`.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from streams.errors import LogUnavailable
from streams.kafka.settings import KafkaSettings, client_arguments, connection_arguments

NETWORK_ERRORS: Final = (KafkaError, OSError, TimeoutError)
"""What aiokafka raises when a broker is not there, breaks off or does not answer in time."""

_CLOSE_S_MAX: Final = 0.2
"""A connection closes within one turn of the loop, unless its broker hangs and takes no more bytes."""
_RETRY_MS: Final = 50
"""Pause of aiokafka between its own attempts; a leader is elected in some hundred milliseconds."""


class Cluster:
    """The brokers as this process knows them. Entered once, shared by all that speaks to them."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaClient | None = None
        self._opening = asyncio.Lock()
        self._names: set[str] = set()
        self._doubted = False
        self._left = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        await self._drop()

    def expect(self, names: Iterable[str]) -> None:
        """Name topics that will be used, so that one question tells all their leaders."""
        self._names.update(names)

    def doubt(self) -> None:
        """Say that something known here was wrong: the next question asks the cluster."""
        self._doubted = True

    async def leader(self, name: str, partition: int) -> int:
        """Return the node that leads a partition.

        Raises:
            LogUnavailable: no broker answers, the partition has no leader now, or it does not exist.
        """
        client = await self._opened()
        place = TopicPartition(name, partition)
        node = client.cluster.leader_for_partition(place)
        if self._doubted or name not in self._names or node in (None, -1):
            await self._refresh(client, name)
            node = client.cluster.leader_for_partition(place)
        if node is None:
            raise LogUnavailable(f"the cluster has no partition {partition} of topic {name}; create the topic first")
        if node == -1:
            raise LogUnavailable(f"partition {partition} of topic {name} has no leader now")
        return int(node)

    async def partitions(self, name: str) -> int | None:
        """Return how many partitions a topic has, or None if there is no such topic.

        Raises:
            LogUnavailable: no broker answers.
        """
        client = await self._opened()
        found = client.cluster.partitions_for_topic(name)
        if found is None:
            await self._refresh(client, name)
            found = client.cluster.partitions_for_topic(name)
        return None if found is None else len(found)

    def partitions_known(self, name: str) -> int | None:
        """Return how many partitions a topic had when the cluster was last asked, or None if it did not say."""
        if self._client is None:
            return None
        found = self._client.cluster.partitions_for_topic(name)
        return None if found is None else len(found)

    async def brokers(self) -> int:
        """Return how many brokers the cluster has now.

        Raises:
            LogUnavailable: no broker answers.
        """
        return len((await self.ask(MetadataRequest([]))).brokers)

    async def ask(self, request: Any, *, node: int | None = None) -> Any:  # noqa: ANN401  aiokafka has no types
        """Send a request to a node, or to any, and return the response.

        Raises:
            LogUnavailable: the node cannot be reached or does not answer.
        """
        client = await self._opened()
        try:
            return await client.send(client.get_random_node() if node is None else node, request)
        except NETWORK_ERRORS as error:
            self.doubt()
            raise self._unreachable(error) from error

    async def ask_controller(self, request: Any) -> Any:  # noqa: ANN401  aiokafka has no types
        """Send a request to the broker that passes changes of the cluster on, and return the response.

        Raises:
            LogUnavailable: it cannot be reached or does not answer.
        """
        client = await self._opened()
        controller = client.cluster.controller
        return await self.ask(request, node=None if controller is None else controller.nodeId)

    async def connect(self, node: int) -> AIOKafkaConnection:
        """Return a connection of one's own to a node; the caller closes it.

        Raises:
            LogUnavailable: the node cannot be reached.
        """
        client = await self._opened()
        broker = client.cluster.broker_metadata(node)
        if broker is None:
            self.doubt()
            raise LogUnavailable(f"the cluster has no broker {node} any more")
        try:
            return await create_conn(broker.host, broker.port, **connection_arguments(self._settings))
        except NETWORK_ERRORS as error:
            self.doubt()
            raise self._unreachable(error) from error

    async def _opened(self) -> AIOKafkaClient:
        async with self._opening:
            if self._left:
                raise LogUnavailable("the log on Kafka was left; use it while its block runs")
            if self._client is None:
                client = AIOKafkaClient(retry_backoff_ms=_RETRY_MS, **client_arguments(self._settings))
                try:
                    await client.bootstrap()
                    if self._names:
                        await client.set_topics(self._names)
                except BaseException as error:
                    await client.close()
                    if isinstance(error, NETWORK_ERRORS):
                        raise self._unreachable(error) from error
                    raise
                self._doubted = False
                self._client = client
            return self._client

    async def _refresh(self, client: AIOKafkaClient, name: str) -> None:
        self._doubted = False
        self._names.add(name)
        known = False
        # A client that is dropped meanwhile never answers: the wait needs an end of its own.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.timeout_ms / 1_000):
                await client.add_topic(name)  # asks the cluster only when the topic is new to the client
                known = await client.force_metadata_update()
        if not known:
            # None of the brokers known from before answers: begin again at the addresses of the settings.
            if self._client is client:
                await self._drop()
            raise LogUnavailable(f"no broker of {self._settings.bootstrap} answers")

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _unreachable(self, error: BaseException) -> LogUnavailable:
        return LogUnavailable(f"no broker of {self._settings.bootstrap} answers: {error!r}")


async def close_connection(connection: AIOKafkaConnection) -> None:
    """Close a connection that was made by `Cluster.connect`, and return when it is closed."""
    closing = connection.close()
    if closing is not None and not closing.done():
        await asyncio.wait((closing,), timeout=_CLOSE_S_MAX)
