"""Who owns which partition, by a real group on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.kafka import KafkaAssignment, KafkaLog, KafkaSettings
from streams.topics import COMMANDS, TopicSpec

PARTITIONS = 4
EVERYTHING = frozenset(range(PARTITIONS))


class Ledger:
    """Who owns what now. Fails when somebody gains what another one has not given up."""

    def __init__(self) -> None:
        self.owned: dict[str, set[int]] = {}
        self.changed = asyncio.Condition()
        self.violations: list[str] = []

    def owner(self, name: str) -> "Owner":
        """Return an owner that writes into this ledger."""
        self.owned[name] = set()
        return Owner(self, name)

    async def wait_shared(self, *sizes: int) -> None:
        """Wait until all partitions are owned, in shares of these sizes."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(
                lambda: (
                    sorted(len(own) for own in self.owned.values()) == sorted(sizes)
                    and set().union(*self.owned.values()) == EVERYTHING
                )
            )


class Owner:
    """A `PartitionOwner` that only keeps book."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self.told: list[tuple[str, frozenset[int]]] = []

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Note it."""
        async with self._ledger.changed:
            self.told.append(("assigned", partitions))
            for other, owned in self._ledger.owned.items():
                if owned & partitions:
                    self._ledger.violations.append(f"{self._name} gained {owned & partitions} of {other}")
            self._ledger.owned[self._name] |= partitions
            self._ledger.changed.notify_all()

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Note it."""
        async with self._ledger.changed:
            self.told.append(("revoked", partitions))
            self._ledger.owned[self._name] -= partitions
            self._ledger.changed.notify_all()


@asynccontextmanager
async def member(settings: KafkaSettings, owner: Owner) -> AsyncIterator[None]:
    """Run an assignment while the block runs."""
    assignment = KafkaAssignment(settings, session_ms=6_000, heartbeat_ms=200)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(assignment.run(owner))
        yield
        running.cancel()


async def create_commands(settings: KafkaSettings) -> None:
    """Make the topic whose partitions are shared."""
    async with KafkaLog(settings) as log:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=PARTITIONS)])


async def test_partitions_move_to_a_member_that_joins_and_back_when_it_leaves(settings: KafkaSettings) -> None:
    """Two processes share; nothing is owned twice, and what need not move is not interrupted."""
    await create_commands(settings)
    ledger = Ledger()
    first, second = ledger.owner("first"), ledger.owner("second")
    async with member(settings, first):
        await ledger.wait_shared(4, 0)
        async with member(settings, second):
            await ledger.wait_shared(2, 2)
            kept = frozenset(ledger.owned["first"])
        await ledger.wait_shared(4, 0)
    assert ledger.violations == []
    assert first.told[0] == ("assigned", EVERYTHING)
    assert first.told[1] == ("revoked", EVERYTHING - kept)
    assert first.told[2] == ("assigned", EVERYTHING - kept)
    # At its end each member is told to stop what it owned.
    assert first.told[-1] == ("revoked", EVERYTHING)
    assert second.told == [("assigned", EVERYTHING - kept), ("revoked", EVERYTHING - kept)]


async def test_a_cancelled_assignment_has_revoked_everything(settings: KafkaSettings) -> None:
    """`run` does not return before the owner has stopped."""
    await create_commands(settings)
    ledger = Ledger()
    owner = ledger.owner("only")
    async with member(settings, owner):
        await ledger.wait_shared(4)
    assert ledger.owned == {"only": set()}
    assert owner.told[-1] == ("revoked", EVERYTHING)
