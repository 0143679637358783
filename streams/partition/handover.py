"""What an owner hands to the projection of the same process, so that it need not be read from the log again.

Holds the turns of one partition that the log has acknowledged and nobody has taken yet, up to a bound. Must not hold
anything that the log does not: a turn comes here only after its offset was the expected one (`PartitionMachine.
acknowledged`), never from an owner that has lost the partition. Keeps the invariant that nothing depends on it:
whatever is missing here, for whatever reason, is in the log at the offset where it is looked for.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from streams.partition.chain import ChainPosition
from streams.partition.turn import Decided, Turn

HANDED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the decisions' JSON, for large payloads."""


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is in the log from `first_offset` on, one record per decision. `position` is behind it."""

    first_offset: int
    decided: Sequence[Decided]
    position: ChainPosition


class Handover:
    """The acknowledged turns of one partition, oldest first. For one taker, in the event loop."""

    def __init__(self, *, decisions_max: int, bytes_max: int = HANDED_BYTES_MAX) -> None:
        """Begin closed: there is no owner yet. Nobody takes anything where `decisions_max` is 0."""
        self.is_open = False
        self.next_offset = 0
        """The first offset that the owner has not told of."""
        self._decisions_max = decisions_max
        self._bytes_max = bytes_max
        self._turns: deque[Handed] = deque()
        self._decisions = 0
        self._bytes = 0
        self._waiting: asyncio.Future[None] | None = None

    def open(self, next_offset: int) -> None:
        """Expect turns from this offset on: an owner of this process has begun to decide."""
        self._clear()
        self.is_open = True
        self.next_offset = next_offset
        self._wake()

    def close(self) -> None:
        """Expect no more turns. What was not taken is left to the log."""
        self._clear()
        self.is_open = False
        self._wake()

    def offer(self, turn: Turn, position: ChainPosition) -> None:
        """Hand over a turn that the log has acknowledged; the chain stands at `position` behind it.

        A turn that holds a decision in parts is left to the log, and one that finds no room empties all: the taker is
        far behind, and reads from the log until it is not.
        """
        self.next_offset = position.next_offset
        if self._decisions_max and len(turn.records) == len(turn.decided):
            handed = Handed(
                first_offset=position.next_offset - len(turn.records), decided=turn.decided, position=position
            )
            self._count(handed, 1)
            self._turns.append(handed)
            if self._decisions > self._decisions_max or self._bytes > self._bytes_max:
                self._clear()
        self._wake()

    def take(self, offset: int) -> Handed | None:
        """Return, and let go, the turn that begins at an offset; None if the log must be read there.

        Turns that begin before it are let go: they have been read from the log, or will be.
        """
        while self._turns and self._turns[0].first_offset <= offset:
            handed = self._turns.popleft()
            self._count(handed, -1)
            if handed.first_offset == offset:
                return handed
        return None

    @property
    def first_offset(self) -> int:
        """Where the log need not be read on: at the oldest turn that is here, or behind all that was told of."""
        return self._turns[0].first_offset if self._turns else self.next_offset

    async def wait_news(self, *, timeout_ms: int) -> None:
        """Return when the owner has something to tell, or after a time."""
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((self._waiting,), timeout=timeout_ms / 1_000)
        finally:
            self._waiting = None

    def _count(self, handed: Handed, sign: int) -> None:
        self._decisions += sign * len(handed.decided)
        self._bytes += sign * sum(len(item.value) for item in handed.decided)

    def _clear(self) -> None:
        self._turns.clear()
        self._decisions = self._bytes = 0

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
