"""The assignment of partitions to the processes of a cluster, by a consumer group over `commands`.

Holds this process's membership: joining, staying, applying what is assigned. Must not read a record nor
commit an offset: the group is used for its membership alone. Keeps the order of the port: what is lost is
stopped, and only then given back to the group; what is gained is begun afterwards.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from streams.kafka.cluster import NETWORK_ERRORS
from streams.kafka.settings import KafkaSettings, member_arguments
from streams.kafka.sharing import CooperativeAssignor
from streams.ports import PartitionOwner
from streams.topics import COMMANDS

_POLL_MS: Final = 500
"""aiokafka reports errors of the membership to whoever asks for records, and expects to be asked."""
_RETRY_S: Final = 1.0
"""Pause before joining anew after an error; nothing is decided by the speed of that."""

_log = structlog.get_logger(__name__)


class KafkaAssignment:
    """Membership of a consumer group over `commands`."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str = "podium",
        session_ms: int = 6_000,
        heartbeat_ms: int = 1_000,
    ) -> None:
        """Join nothing yet.

        Args:
            settings: The cluster.
            group: Processes of one group share the partitions. The prefix of topics comes before it.
            session_ms: A process that is not heard of for this long has lost its partitions.
            heartbeat_ms: How often it is heard of. Also how late a member learns that the partitions are
                shared anew.
        """
        self._settings = settings
        self._group = settings.topic_prefix + group
        self._session_ms = session_ms
        self._heartbeat_ms = heartbeat_ms
        self._topic = settings.topic_prefix + COMMANDS
        self._assignor = CooperativeAssignor()
        self._owned: frozenset[int] = frozenset()
        self._assigned: frozenset[int] = frozenset()
        self._changed = asyncio.Event()

    async def run(self, owner: PartitionOwner) -> None:
        """See `Assignment`. Needs no broker to begin: it joins when there is one."""
        try:
            while True:
                consumer = self._make_consumer()
                try:
                    await self._take_part(consumer, owner)
                except BaseException:
                    # 1. Stop owning, 2. leave the group: so that nobody is given what is not given up.
                    await self._apply(owner, frozenset())
                    raise
                finally:
                    await _stop(consumer, self._settings.timeout_ms)
                # What is owned stays owned: whether somebody else owns it meanwhile, the log says.
                await asyncio.sleep(_RETRY_S)
        finally:
            await self._apply(owner, frozenset())

    async def _take_part(self, consumer: AIOKafkaConsumer, owner: PartitionOwner) -> None:
        """Be a member until an error of the network or the group."""
        try:
            await consumer.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll(consumer))
                group.create_task(self._obey(consumer, owner))
        except* NETWORK_ERRORS as errors:
            _log.warning("assignment_interrupted", group=self._group, reason=repr(errors.exceptions[0]))

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        """Ask for records, of which there are none, to hear of errors and to be taken for alive."""
        while True:
            await consumer.getmany(timeout_ms=_POLL_MS)

    async def _obey(self, consumer: AIOKafkaConsumer, owner: PartitionOwner) -> None:
        """Apply one assignment after the other; having lost something, join again to say that it is free."""
        listener = _Listener(consumer, self._note)
        consumer.subscribe([self._topic], listener=listener)
        while True:
            await self._changed.wait()
            self._changed.clear()
            if await self._apply(owner, self._assigned):
                consumer.subscribe([self._topic], listener=listener)

    def _note(self, assigned: frozenset[int]) -> None:
        self._assigned = assigned
        # Until it is stopped, what is lost is still claimed; and what is gained is claimed before it is
        # begun.
        self._assignor.owned = self._owned | assigned
        self._changed.set()

    async def _apply(self, owner: PartitionOwner, assigned: frozenset[int]) -> bool:
        """Stop what is not assigned, then begin what is; return whether something was stopped."""
        lost, gained = self._owned - assigned, assigned - self._owned
        if lost:
            await owner.on_revoked(lost)
            self._owned -= lost
        self._assignor.owned = self._owned | gained
        if gained:
            self._owned |= gained
            await owner.on_assigned(gained)
        if lost or gained:
            _log.info("partitions_assigned", group=self._group, owned=sorted(self._owned), lost=sorted(lost))
        return bool(lost)

    def _make_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **member_arguments(
                self._settings,
                group=self._group,
                session_ms=self._session_ms,
                heartbeat_ms=self._heartbeat_ms,
                assignors=(self._assignor,),
            )
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Hears of assignments, within the group's own task, and passes them on without waiting."""

    def __init__(self, consumer: AIOKafkaConsumer, note: Callable[[frozenset[int]], None]) -> None:
        self._consumer = consumer
        self._note = note

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing has to be given up before it is known what is lost: see `sharing`."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Take note, and see to it that no record is fetched."""
        self._consumer.pause(*assigned)
        self._note(frozenset(place.partition for place in assigned))


async def _stop(consumer: AIOKafkaConsumer, timeout_ms: int) -> None:
    """Leave the group and close the connections, or give up on a broker that does not answer."""
    with contextlib.suppress(*NETWORK_ERRORS):
        async with asyncio.timeout(timeout_ms / 1_000):
            await consumer.stop()
