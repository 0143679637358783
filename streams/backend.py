"""What differs between a node alone and a node on a cluster, in one place.

Holds the choice of log, assignment, task queues and owner directory. Must not hold anything that both have in common. Keeps the
invariant that everything else of the shell is the same program in both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from engine.ids import WorkflowId
from streams.dispatch.local import LocalDesk
from streams.dispatch.queues import PollQueues
from streams.embedded.assignment import EmbeddedAssignment
from streams.embedded.log import SqliteLog
from streams.outward import TaskDesk
from streams.partition.machine import PartitionMachine
from streams.ports import Assignment, Log
from streams.settings import EMBEDDED_PARTITIONS, NodeSettings

MachineOf = Callable[[WorkflowId], PartitionMachine | None]


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a node and what goes with it.

    `durable_queues`: dispatched tasks are in a topic, so they outlive the process that dispatched them; such a node also announces
    ended workflows, because somebody else can read the topic. `announce_owner` tells the other nodes who owns a partition, and
    `owner_url` is what they told.
    """

    log: Log
    partitions: int
    durable_queues: bool
    assignment: Assignment
    make_desk: Callable[[PollQueues, MachineOf], TaskDesk]
    feed: Callable[[PollQueues], AbstractAsyncContextManager[None]]
    announce_owner: Callable[[int, str], Awaitable[None]]
    owner_url: Callable[[int], str | None]
    ping: Callable[[], Awaitable[bool]]


@asynccontextmanager
async def open_embedded(settings: NodeSettings) -> AsyncIterator[Backend]:
    """Open the log in the data directory.

    Raises:
        StoreLocked: another process uses the directory.
        LogUnavailable, StoreFull: the directory cannot be used.
    """
    partitions = settings.partitions or EMBEDDED_PARTITIONS

    async def no_other_node(partition: int, url: str) -> None:
        del partition, url

    async with SqliteLog(settings.data_dir) as log:
        yield Backend(
            log=log,
            partitions=partitions,
            durable_queues=False,
            assignment=EmbeddedAssignment(partitions=partitions),
            make_desk=LocalDesk,
            feed=_no_feed,
            announce_owner=no_other_node,
            owner_url=lambda _: None,
            ping=log.ping,
        )


@asynccontextmanager
async def _no_feed(queues: PollQueues) -> AsyncIterator[None]:
    """The owner fills the queues itself."""
    del queues
    yield
