"""What differs between a node alone and a node on a cluster, in one place.

Holds the choice of log, assignment, task queues and owner directory. Must not hold anything that both have in common.
Keeps the invariant that everything else of the shell is the same program in both.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from engine.ids import WorkflowId
from streams.dispatch.local import LocalDesk
from streams.dispatch.queues import PollQueues
from streams.embedded.assignment import EmbeddedAssignment
from streams.embedded.log import SqliteLog
from streams.outward import TaskDesk
from streams.partition.machine import PartitionMachine
from streams.ports import Assignment, Log
from streams.service import TaskPolls
from streams.settings import EMBEDDED_PARTITIONS, NodeSettings

MachineOf = Callable[[WorkflowId], PartitionMachine | None]


class NodePolls(TaskPolls, Protocol):
    """The polls of a node, with the background work that fills them."""

    async def run(self) -> None:
        """Fill the queues until cancelled."""
        ...


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a node and what goes with it.

    `durable_queues`: dispatched tasks are in a topic, so they outlive the process that dispatched them; such a node
    also announces ended workflows, because somebody else can read the topic. `announce_owner(partition, epoch)` tells
    the other nodes who owns a partition, `follow_owners` listens to what they tell, and `owner_url` is what is known.
    """

    log: Log
    partitions: int
    durable_queues: bool
    assignment: Assignment
    make_desk: Callable[[PollQueues, MachineOf], TaskDesk]
    make_polls: Callable[[PollQueues], NodePolls]
    announce_owner: Callable[[int, int], Awaitable[None]]
    follow_owners: Callable[[], Coroutine[None, None, None]]
    owner_url: Callable[[int], str | None]
    ping: Callable[[], Awaitable[bool]]


@asynccontextmanager
async def open_embedded(settings: NodeSettings) -> AsyncGenerator[Backend]:
    """Open the log in the data directory.

    Raises:
        StoreLocked: another process uses the directory.
        LogUnavailable, StoreFull: the directory cannot be used.
    """
    partitions = settings.partitions or EMBEDDED_PARTITIONS
    async with SqliteLog(settings.data_dir) as log:
        yield Backend(
            log=log,
            partitions=partitions,
            durable_queues=False,
            assignment=EmbeddedAssignment(partitions=partitions),
            make_desk=LocalDesk,
            make_polls=_OwnQueues,
            announce_owner=_nobody_to_tell,
            follow_owners=_nobody_to_follow,
            owner_url=lambda _: None,
            ping=log.ping,
        )


class _OwnQueues:
    """The polls of a node whose own decisions fill the queues."""

    def __init__(self, queues: PollQueues) -> None:
        self.poll = queues.poll
        self.sizes = queues.sizes
        self.poll_records = queues.poll_records
        self.last_poll_ms = queues.last_poll_ms

    async def run(self) -> None:
        """Do nothing until cancelled: the owner of the tasks fills the queues itself."""
        await asyncio.get_running_loop().create_future()


async def _nobody_to_tell(partition: int, epoch: int) -> None:
    del partition, epoch


async def _nobody_to_follow() -> None:
    await asyncio.get_running_loop().create_future()
