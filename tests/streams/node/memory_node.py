"""A real node over a log in memory.

Holds the composition that `open_node` makes for the embedded log, with the log exchanged. Must not replace any other
part. Keeps the invariant that a node which is left, for whatever reason, leaves nothing running.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from streams.backend import Backend
from streams.dispatch.local import LocalDesk
from streams.dispatch.queues import PollQueues
from streams.embedded.assignment import EmbeddedAssignment
from streams.memory import MemoryLog
from streams.node import RunningNode
from streams.node_history import NoHistory
from streams.settings import NodeSettings

FOR_NOBODY = Path("no-directory-is-used")


class OwnPolls:
    """The queues of a node that its own decisions fill."""

    def __init__(self, queues: PollQueues) -> None:
        """Serve these queues."""
        self.poll = queues.poll
        self.sizes = queues.sizes
        self.poll_records = queues.poll_records
        self.last_poll_ms = queues.last_poll_ms

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.get_running_loop().create_future()


async def _nothing(*_: object) -> None:
    """Tell nobody."""


def backend_over(log: MemoryLog, *, partitions: int = 1) -> Backend:
    """Return what a node that is alone needs, over a log in memory."""
    return Backend(
        log=log,
        partitions=partitions,
        durable_queues=False,
        assignment=EmbeddedAssignment(partitions=partitions),
        make_desk=LocalDesk,
        make_polls=OwnPolls,
        announce_owner=_nothing,
        follow_owners=lambda: asyncio.sleep(3_600),
        owner_url=lambda _: None,
        ping=log.ping,
    )


@asynccontextmanager
async def memory_node(
    log: MemoryLog, *, partitions: int = 1, wait_up: bool = True, snapshot_every_ms: int = 3_600_000
) -> AsyncGenerator[RunningNode]:
    """Run a node over an open log."""
    settings = NodeSettings(
        data_dir=FOR_NOBODY, url="http://127.0.0.1:0", history=False, snapshot_every_ms=snapshot_every_ms
    )
    node = RunningNode(settings, backend_over(log, partitions=partitions), NoHistory())
    async with asyncio.TaskGroup() as group:
        life = group.create_task(node.run())
        try:
            if wait_up:
                await node.wait_up()
            yield node
        finally:
            life.cancel()
