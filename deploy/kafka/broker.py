"""A real Kafka for development, tests and benchmarks: no container, a JVM per node on loopback.

Holds the life of a cluster of one node or more: formatted on first start, started, stopped, killed, started
again on the same data and ports. It must not be part of an installed Podium. The invariant: when `start`
returns, every node answers clients and knows all its peers; when the process that started a node dies,
however it dies, the node dies too.

Use it as a context manager, or run this file for a broker in the foreground:

    with KafkaBroker(folder) as broker:
        ...  # broker.bootstrap is "127.0.0.1:<port>"

All methods block: a coroutine enters it by `async with` and calls the rest through `asyncio.to_thread`.
"""

import argparse
import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.kafka.jars import BrokerUnavailable, broker_jars, cache_folder, java_command
from deploy.kafka.node import Node
from deploy.kafka.settings import NodeAddress, server_properties

# One id for every cluster started here: data folders are told apart by their place, and a fixed id spares a
# question to the folder. Sixteen bytes in URL-safe base64, as the storage tool wants it.
_CLUSTER_ID: Final = "cG9kaXVtLWxvb3BiYWNrMQ"

# A start takes 2 to 4 s on an idle machine; the rest is for a machine that is busy with the tests themselves.
_START_S_MAX: Final = 60.0
_PROBE_PAUSE_S: Final = 0.05


class BrokerStartFailed(Exception):
    """A node ended or did not answer in time. The message ends with the tail of its log."""


class KafkaBroker:
    """A Kafka cluster on loopback: one node, or several with replication factor 3 and two in-sync replicas.

    Nodes are numbered from 1. Ports are chosen once, when the object is made, so a node that was stopped or
    killed comes back where its clients look for it. Data stays in `data_dir` until its owner removes it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        nodes: int = 1,
        heap_mb: int = 512,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Choose ports, start nothing.

        Args:
            data_dir: Holds data, properties and log of each node; made if it is missing, reused if it is not.
            port: Where the first node listens, the others follow on the next ports; 0 takes any free ports.
            nodes: Number of nodes, each a broker and a controller.
            heap_mb: Heap of each JVM.
            settings: Further lines of server.properties, which win over those of `settings.py`.
        """
        free = free_ports(2 * nodes)
        ports = range(port, port + nodes) if port else free[nodes:]
        self._cluster = tuple(
            NodeAddress(node_id=number, port=client, controller_port=controller)
            for number, (client, controller) in enumerate(zip(ports, free[:nodes], strict=True), start=1)
        )
        self._nodes = {
            address.node_id: Node(address, data_dir / f"node-{address.node_id}") for address in self._cluster
        }
        self._heap_mb = heap_mb
        self._settings = dict(settings or {})

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, as clients take them: `host:port` with commas between."""
        return ",".join(address.endpoint for address in self._cluster)

    def log_path(self, node: int = 1) -> Path:
        """Return the file that holds what the JVM of a node wrote, over all its starts."""
        return self._nodes[node].log_path

    def pid(self, node: int = 1) -> int | None:
        """Return the process id of a node, or None if it is not running."""
        process = self._nodes[node].process
        return process.pid if process is not None and process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def start(self, *nodes: int) -> None:
        """Start the named nodes, or all that do not run, and return when every running node answers clients.

        Raises:
            BrokerUnavailable: this machine has no Java, or the jars cannot be fetched.
            BrokerStartFailed: a node ended, or did not answer within a minute; no node is left running.
        """
        starting = [self._nodes[number] for number in nodes or self._nodes if not self._nodes[number].running]
        try:
            self._format(starting)
            for node in starting:
                node.launch(self._java("kafka.Kafka", str(node.properties_path)))
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self, *nodes: int) -> None:
        """End the named nodes, or all, in order: leaders are handed over and logs flushed. Idempotent."""
        self._end(nodes, kill=False)

    def kill(self, *nodes: int) -> None:
        """End the named nodes, or all, by SIGKILL, as a crash would. Idempotent."""
        self._end(nodes, kill=True)

    def _end(self, nodes: Sequence[int], *, kill: bool) -> None:
        # All at once: a controller that stops in order asks a majority, which would be gone for the last
        # ones.
        ending = [self._nodes[number] for number in nodes or self._nodes]
        threads = [threading.Thread(target=node.end, kwargs={"kill": kill}) for node in ending]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _java(self, main_class: str, *arguments: str, log_level: str = "warn") -> list[str]:
        return [
            java_command(),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}",
            "-Dorg.slf4j.simpleLogger.logFile=System.out",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
            "-cp",
            f"{broker_jars()}/*",
            main_class,
            *arguments,
        ]

    def _format(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            node.properties_path.parent.mkdir(parents=True, exist_ok=True)
            node.properties_path.write_text(
                server_properties(
                    node.address, self._cluster, log_folder=str(node.data_folder), overrides=self._settings
                )
            )
            if (node.data_folder / "meta.properties").exists():
                continue
            command = self._java(
                "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(node.properties_path)
            )
            done = subprocess.run(command, capture_output=True, text=True, timeout=_START_S_MAX, check=False)
            if done.returncode != 0:
                raise BrokerStartFailed(f"node {node.address.node_id} was not formatted:\n{done.stdout}{done.stderr}")

    def _wait_ready(self) -> None:
        expected = sum(node.running for node in self._nodes.values())
        deadline = time.monotonic() + _START_S_MAX
        for node in self._nodes.values():
            if node.running:
                _wait_listening(node, deadline)
        while (found := asyncio.run(_brokers_known_at(self.bootstrap))) < expected:
            if time.monotonic() > deadline:
                raise BrokerStartFailed(
                    f"{expected} nodes were expected in the cluster, {found} are there:\n{self._tails()}"
                )
            time.sleep(_PROBE_PAUSE_S)

    def _tails(self) -> str:
        return "\n".join(node.log_tail() for node in self._nodes.values())


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on now; somebody may take one before it is used."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def _wait_listening(node: Node, deadline: float) -> None:
    while True:
        if not node.running:
            raise BrokerStartFailed(f"node {node.address.node_id} ended while it started:\n{node.log_tail()}")
        try:
            socket.create_connection(("127.0.0.1", node.address.port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise BrokerStartFailed(
                    f"node {node.address.node_id} did not listen on {node.address.endpoint} "
                    f"within {_START_S_MAX:.0f} s:\n{node.log_tail()}"
                ) from None
            time.sleep(_PROBE_PAUSE_S)
        else:
            return


async def _brokers_known_at(bootstrap: str) -> int:
    """Return how many brokers the cluster says it has; 0 while it does not answer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return 0
    finally:
        await admin.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker in the foreground until Ctrl-C or SIGTERM, or only fetch its jars; return the status."""
    parser = argparse.ArgumentParser(description="A Kafka broker on loopback, for development.")
    parser.add_argument("--port", type=int, default=9092, help="port of the first node, 0 for any (default 9092)")
    parser.add_argument("--nodes", type=int, default=1, help="number of nodes (default 1)")
    parser.add_argument("--data", type=Path, help="folder of the data (default: in the cache folder, kept)")
    parser.add_argument("--fetch-only", action="store_true", help="fetch the jars and end")
    chosen = parser.parse_args(arguments)
    # `start` may take seconds: a signal that arrives meanwhile ends it by an exception, and the nodes with
    # it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        broker_jars()
        if chosen.fetch_only:
            return 0
        data = chosen.data or cache_folder() / f"data-{chosen.nodes}"
        with KafkaBroker(data, port=chosen.port, nodes=chosen.nodes) as broker:
            print(f"Kafka is ready at {broker.bootstrap}, data in {data}. Ctrl-C stops it.", flush=True)
            signal.pause()
    except (BrokerUnavailable, BrokerStartFailed) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
