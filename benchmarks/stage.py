"""Where a benchmark takes place: a folder of its own, a broker if one is wanted, and the server.

Holds the assembly and its order. Must not keep anything for the next benchmark: each begins empty. Keeps the invariant
that everything it made is gone at the end of the block.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.rest import Rest
from benchmarks.server import Server
from deploy.kafka.broker import KafkaBroker
from streams.topics import task_topic

TOPIC_PREFIX = "podium."


class Log(StrEnum):
    """Which log the server stands on."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


class Stage:
    """A server on a fresh log. A context manager."""

    def __init__(
        self, log: Log, *arguments: str, profile_to: Path | None = None, command: list[str] | None = None
    ) -> None:
        """Prepare nothing yet.

        Args:
            log: The kind of log.
            arguments: Further arguments of `podium serve`.
            profile_to: Have the server sample itself and write where its time went to this file.
            command: What to run instead of the installed `podium`.
        """
        self.log = log
        self._arguments = arguments
        self._profile_to = profile_to
        self._command = command
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._broker: KafkaBroker | None = None
        self._server: Server | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podium-bench-")))
            arguments = list(self._arguments)
            if self.log is Log.KAFKA:
                self._broker = stack.enter_context(KafkaBroker(self._folder / "kafka"))
                arguments += ["--kafka", self._broker.bootstrap, "--topic-prefix", TOPIC_PREFIX]
            command = self._command
            if self._profile_to is not None:
                command = [sys.executable, "-m", "benchmarks.profiled_server", str(self._profile_to)]
            self._server = Server(self._folder / "data", *arguments, command=command)
            stack.enter_context(self._server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def server(self) -> Server:
        """The server."""
        assert self._server is not None  # noqa: S101 (it is there inside the block)
        return self._server

    @property
    def keeps_history(self) -> bool:
        """Whether the server finds workflows that have ended."""
        return "--no-history" not in self._arguments

    @property
    def bootstrap(self) -> str:
        """The address of the broker."""
        assert self._broker is not None  # noqa: S101 (asked for on Kafka only)
        return self._broker.bootstrap

    def pids(self) -> dict[str, list[int]]:
        """Return the processes whose CPU time is to be told: server and broker."""
        pids = {"server": [self.server.pid]}
        if self._broker is not None and (broker_pid := self._broker.pid()) is not None:
            pids["broker"] = [broker_pid]
        return pids

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Have the server sample itself while the block runs, if that was asked for."""
        if self._profile_to is None:
            yield
            return
        os.kill(self.server.pid, signal.SIGUSR1)
        yield
        os.kill(self.server.pid, signal.SIGUSR2)

    def register(self, workflow: dict[str, object], tasks: list[dict[str, object]]) -> None:
        """Register a workflow and its tasks; on Kafka, make the topics that workers will consume."""
        with Rest(self.server.port) as rest:
            rest.register([workflow], list(tasks))
        if self._broker is not None:
            asyncio.run(_make_topics(self._broker.bootstrap, [str(task["name"]) for task in tasks]))


async def _make_topics(bootstrap: str, task_types: list[str]) -> None:
    names = [TOPIC_PREFIX + task_topic(name).name for name in task_types]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        known = set(await admin.list_topics())
        missing = [NewTopic(name, 1, 1) for name in names if name not in known]
        if missing:
            await admin.create_topics(missing)
    finally:
        await admin.close()
