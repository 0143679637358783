"""Who gets which partition, and how members of the group agree on it without anybody stopping in vain.

Holds the arithmetic of sharing and the form in which members write to each other. Must not own anything.
Keeps two invariants: a partition is given to a new member only after the old one has said, by joining again,
that it no longer owns it; and a partition that need not move does not.

aiokafka knows only the eager protocol, in which every member gives up everything at each change of
membership; for an owner that must read a whole partition to recover, that is an outage. Here each member
tells, when it joins, what it owns now. The leader of the group shares everything out evenly, leaves with each
what it may keep, and keeps back what somebody else still owns. Who has lost something stops it, then joins
again, and the next round gives it away.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

_VERSION: Final = 0
_NAME: Final = "podium-cooperative-1"
"""Members that speak another form must not meet: a changed form is a new name."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says when it joins: what it owns, and by which round it was given that."""

    round: int = 0
    owned: frozenset[int] = frozenset()


_NO_CLAIM: Final = Claim()


def share(partitions: int, claims: Mapping[str, Claim]) -> Mapping[str, frozenset[int]]:
    """Return what each member is to own after this round.

    Claims of an older round than the newest are void: that member was thrown out, and others own its
    partitions since.
    """
    newest = max((claim.round for claim in claims.values()), default=0)
    owned = {
        member: {number for number in claim.owned if number < partitions} if claim.round == newest else set()
        for member, claim in claims.items()
    }
    # Who owns most is served first, so that the members with one partition more are those that have it
    # already.
    members = sorted(owned, key=lambda member: (-len(owned[member]), member))
    quotas = {
        member: partitions // len(members) + (position < partitions % len(members))
        for position, member in enumerate(members)
    }
    given: dict[str, set[int]] = {}
    taken: set[int] = set()
    for member in members:
        given[member] = set(sorted(owned[member] - taken)[: quotas[member]])
        taken |= given[member]
    # What two members claim is kept back too: it must first be given up by one of them.
    held_elsewhere = {number for member, numbers in owned.items() for number in numbers if number not in given[member]}
    for member in members:
        given[member] -= held_elsewhere
    free = iter(sorted(set(range(partitions)) - taken - held_elsewhere))
    for member in members:
        while len(given[member]) < quotas[member] and (number := next(free, None)) is not None:
            given[member].add(number)
    return {member: frozenset(numbers) for member, numbers in given.items()}


class CooperativeAssignor:
    """Speaks `share` over aiokafka's group protocol, for one topic. One object per member."""

    name = _NAME

    def __init__(self) -> None:
        self.owned: AbstractSet[int] = frozenset()
        self._round = 0

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this member says when it joins."""
        claim = Claim(round=self._round, owned=frozenset(self.owned))
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), msgspec.json.encode(claim))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> Mapping[str, ConsumerProtocolMemberAssignment]:
        """Return what everybody gets; called on the member that leads the group."""
        claims = {member: _claim_of(said.user_data) for member, said in members.items()}
        (topic,) = {topic for said in members.values() for topic in said.subscription}
        partitions = len(cluster.partitions_for_topic(topic) or ())
        following = max(claim.round for claim in claims.values()) + 1
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, [(topic, sorted(numbers))], msgspec.json.encode(Claim(round=following))
            )
            for member, numbers in share(partitions, claims).items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Take note of the round that this member was given something by."""
        self._round = _claim_of(assignment.user_data).round


def _claim_of(data: bytes | None) -> Claim:
    try:
        return msgspec.json.decode(data or b"{}", type=Claim)
    except msgspec.MsgspecError:
        return _NO_CLAIM
