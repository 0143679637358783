"""Which faults a seed has, and how strong they are.

Holds the draw and its one-line text. Must not cause a fault: whoever the fault befalls asks here. Keeps the swarm's
idea: each seed has a few kinds of faults only, some of them strong, because faults that are always all there hide
each other.
"""

import math
from enum import Enum
from random import Random
from typing import Final

import msgspec

FAULT_PHASE_MS: Final = 40_000
"""How long faults go on. Long enough for several owners of a partition, one after the other and at once."""


class Fate(Enum):
    """What becomes of an append."""

    FINE = "fine"
    LOST = "lost"
    """Nothing is stored; the caller hears that nothing is known."""
    TORN = "torn"
    """The first records are stored and the rest is not, as when a large append takes several requests."""
    UNSAID = "unsaid"
    """All is stored, but the caller hears that nothing is known."""
    LATE = "late"
    """The caller hears that nothing is known, and only then all is stored."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """The world of one seed. Chances are per occasion; counts are expected occurrences in the fault phase."""

    partitions: int = 1
    processes: int = 1
    durable_queues: bool = True
    """Tasks are dispatched into a topic; else into the memory of the owner."""
    small_records: bool = False
    """Records may hold little, so that decisions are cut into parts."""
    small_table: bool = False
    """Few workflows are held unpacked."""
    crashes: float = 0.0
    step_crash: float = 0.0
    """The chance of a crash at each named step of an owner."""
    pauses: float = 0.0
    rebalances: float = 0.0
    append_fault: float = 0.0
    slow: float = 0.0
    duplicates: float = 0.0
    """Of commands, task records and results."""
    early_reads: bool = False
    """Owners read a few commands again that were decided before."""
    workers_lost: float = 0.0
    workers_late: float = 0.0
    workers_twice: float = 0.0
    workers_failing: float = 0.0
    poison: float = 0.0
    misrouted: float = 0.0
    """Commands that are sent to another partition than their workflow's."""
    skew_ms: int = 0
    clock_jumps: float = 0.0
    unregistered: float = 0.0
    """Definitions that are gone from the registry for a while: nothing new starts by them, what runs goes on."""
    operations: float = 0.0
    """Of operators, per workflow."""
    snapshots: float = 0.0
    """Per second and owner, 0 for none."""
    evictions: bool = False

    def mask(self) -> str:
        """Return what differs from a world without faults, as one line."""
        plain = Faults()
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value != getattr(plain, name):
                shown.append(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}")
        return " ".join(shown) or "none"

    def fate(self, rng: Random) -> Fate:
        """Draw what becomes of one append."""
        if not self.append_fault or rng.random() >= self.append_fault:
            return Fate.FINE
        return rng.choice(_UNHAPPY)


_UNHAPPY: Final = (Fate.LOST, Fate.TORN, Fate.UNSAID, Fate.LATE)


def draw_faults(rng: Random) -> Faults:
    """Draw the world of a seed."""

    def some(chance: float, low: float, high: float) -> float:
        """Return 0, or with a chance a strength: small ones as likely as large ones."""
        if rng.random() >= chance:
            return 0.0
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    processes = rng.choice((1, 2, 2, 3, 3))
    return Faults(
        partitions=rng.choice((1, 2, 2, 3)),
        processes=processes,
        durable_queues=rng.random() < 0.6,
        small_records=rng.random() < 0.25,
        small_table=rng.random() < 0.3,
        crashes=some(0.5, 0.5, 8),
        step_crash=some(0.4, 0.001, 0.03),
        pauses=some(0.5, 0.5, 8),
        rebalances=some(0.5, 0.5, 12) if processes > 1 else 0.0,
        append_fault=some(0.4, 0.005, 0.1),
        slow=some(0.5, 0.01, 0.2),
        duplicates=some(0.5, 0.01, 0.3),
        early_reads=rng.random() < 0.4,
        workers_lost=some(0.5, 0.02, 0.2),
        workers_late=some(0.4, 0.02, 0.3),
        workers_twice=some(0.5, 0.02, 0.4),
        workers_failing=some(0.6, 0.05, 0.5),
        poison=some(0.3, 0.5, 6),
        misrouted=some(0.5, 0.05, 0.5),
        skew_ms=int(some(0.4, 10, 5_000)),
        clock_jumps=some(0.15, 0.5, 3),
        unregistered=some(0.3, 0.5, 4),
        operations=some(0.6, 0.3, 3),
        snapshots=some(0.6, 0.05, 1.0),
        evictions=rng.random() < 0.4,
    )
