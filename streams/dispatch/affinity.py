"""Which worker takes from which partition of a type's queue.

Holds the arithmetic only: rendezvous hashing of the workers seen lately over the partitions. Must not know a task.
Keeps the invariant that, while the same workers poll, a key always meets the same worker, and that a worker that comes
or goes moves only its share of the keys.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

SEEN_LATELY_MS: Final = 15_000
"""A long poll lasts at most 5 s; a worker that has not come back for three of them is gone."""


def partition_of_key(key: str, partitions: int) -> int:
    """Return the queue partition of an affinity key."""
    return _hash(key) % partitions


def winner(share: int | str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that a share of the work (a partition's number, a name) belongs to, None without any."""
    return max(candidates, key=lambda candidate: (_hash(f"{share}\0{candidate}"), candidate), default=None)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
