"""One waiting fetch for all partitions that this process follows on a broker.

Holds who follows what, and one task per broker and pace, which asks for news of all of them at once and hands
them out. Must not deal with trouble: a follower whose partition is in any is sent away, and finds out by
itself. Keeps two invariants: a follower that has no room is not asked for, so what is read ahead is bounded;
and one that comes, or has room again, waits for others at most `_JOIN_S`.

A request that waits cannot be added to, and a broker reads the next one of a connection only when it has
answered; so it is ended by closing the connection. That happens only when somebody comes while nothing arrives
for anybody.

What this process itself appends need not come back from the broker: the acknowledgement tells its offset. A
follower that stands just there is given the records at once. This is in order: it stands there only when it
has been given everything before, and the records of one batch lie one behind the other. Meanwhile the broker
is asked less often.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from aiokafka.conn import AIOKafkaConnection
from aiokafka.structs import TopicPartition

from streams.errors import LogUnavailable
from streams.kafka import replies
from streams.kafka.cluster import NETWORK_ERRORS, Cluster, close_connection
from streams.kafka.fetching import Fetched, FetchSession
from streams.kafka.lanes import Batch
from streams.kafka.settings import KafkaSettings

_JOIN_S: Final = 0.005
"""How long a newcomer waits for the request that is under way; those that come together cost one new request."""
_OWN_S: Final = 0.004
"""Pause after an answer that brought nothing but what this process had appended itself."""
_LAZY_S: Final = 0.02
"""Pause of those that can wait: what comes meanwhile comes together. A twentieth of what a search may lag behind."""


class Follower(Protocol):
    """Somebody who follows a partition."""

    place: TopicPartition
    """With the topic's full name."""

    @property
    def position(self) -> int:
        """The offset of the next record that is wanted."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether more is wanted now. Who has room again calls `Tail.wake`."""
        ...

    def take(self, fetched: Fetched) -> bool:
        """Take news, or return False: then the follower has left. Records before the position come twice."""
        ...

    def take_own(self, base_offset: int, batch: Batch) -> None:
        """Take what this process has appended, at just the position; `tell` follows, now or soon."""
        ...

    def tell(self) -> None:
        """Wake up whoever waits for what was taken."""
        ...

    def sent_away(self) -> None:
        """Learn that nothing comes any more, because the partition or its broker is in trouble."""
        ...


class Tail:
    """The followers of one process. An async context manager."""

    def __init__(self, cluster: Cluster, settings: KafkaSettings, *, is_sending: Callable[[str, int], bool]) -> None:
        """Follow nothing yet. `is_sending` tells whether this process is appending to a partition just now."""
        self._cluster = cluster
        self._is_sending = is_sending
        # The connection gives up on a request after the timeout: the broker must have answered before.
        self._wait_ms = settings.timeout_ms // 2
        self._lines: dict[tuple[int, bool], list[_Line]] = {}
        self._line_of: dict[Follower, _Line] = {}
        self._followers: dict[TopicPartition, list[Follower]] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        # The group is not told of an error in the block: it would wrap it.
        await self._tasks.__aexit__(None, None, None)

    def join(self, follower: Follower, *, node: int, lazy: bool) -> None:
        """Follow a partition that a node leads, until sent away. `lazy`: news may come some milliseconds late."""
        lines = self._lines.setdefault((node, lazy), [])
        # A session knows one position per partition: who follows the same one as somebody else needs another.
        line = next((line for line in lines if follower.place not in line.followers), None)
        if line is None:
            line = _Line(self._cluster, node, wait_ms=self._wait_ms, is_sending=self._is_sending, is_lazy=lazy)
            lines.append(line)
            self._running.append(self._tasks.create_task(line.run()))
        self._line_of[follower] = line
        line.followers[follower.place] = follower
        self._followers.setdefault(follower.place, []).append(follower)
        line.wake(follower.place)

    def leave(self, follower: Follower) -> None:
        """Follow no more. Idempotent."""
        line = self._line_of.pop(follower, None)
        if line is None:
            return
        self._followers[follower.place].remove(follower)
        if not self._followers[follower.place]:
            del self._followers[follower.place]
        line.leave(follower)

    def wake(self, follower: Follower) -> None:
        """Say that a follower has room again."""
        line = self._line_of.get(follower)
        if line is not None:
            line.wake(follower.place)

    def stored(self, place: TopicPartition, base_offset: int, batch: Batch) -> None:
        """Give a batch that this process has appended to those who stand where it begins."""
        for follower in self._followers.get(place, ()):
            if follower.position == base_offset and follower.has_room:
                follower.take_own(base_offset, batch)
                self._line_of[follower].moved(follower)


class _Line:
    """One connection to one broker, with one request under way for all its followers that have room."""

    def __init__(
        self, cluster: Cluster, node: int, *, wait_ms: int, is_sending: Callable[[str, int], bool], is_lazy: bool
    ) -> None:
        self.followers: dict[TopicPartition, Follower] = {}
        self.is_lazy = is_lazy
        self._cluster = cluster
        self._node = node
        self._wait_ms = wait_ms
        self._is_sending = is_sending
        self._session = FetchSession()
        self._connection: AIOKafkaConnection | None = None
        self._news = asyncio.Event()
        self._asked: set[TopicPartition] = set()
        """For whom the broker is asked, as it remembers."""
        self._moved: dict[TopicPartition, None] = {}
        """Whose position, room or presence may be another than the broker remembers."""
        self._is_waiting = False
        self._ending: asyncio.TimerHandle | None = None
        self._was_ended = False

    def wake(self, place: TopicPartition) -> None:
        """Ask for somebody who was not asked for until now, at once or when the request under way has had its time."""
        self._moved[place] = None
        self._news.set()
        if self._is_waiting and self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(_JOIN_S, self._end_request)

    def moved(self, follower: Follower) -> None:
        """Take note that a follower has taken something itself."""
        self._moved[follower.place] = None
        if not self.is_lazy:
            follower.tell()

    def leave(self, follower: Follower) -> None:
        """Ask no more for a follower."""
        if self.followers.get(follower.place) is follower:
            del self.followers[follower.place]
            self._moved[follower.place] = None

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self._news.clear()
                connection = await self._connected()
                changed, gone = self._changes()
                if connection is None or not self._asked:
                    # Nobody is asked for, so the broker is not told who has gone: it must forget them all later.
                    self._session.begin_anew()
                    await self._news.wait()
                    continue
                fetched = await self._ask(connection, changed, gone)
                if fetched:
                    is_foreign = self._hand_out(fetched)
                    if self.is_lazy or not is_foreign:
                        await asyncio.sleep(_LAZY_S if self.is_lazy else _OWN_S)
        finally:
            await self._disconnect()

    def _changes(self) -> tuple[dict[TopicPartition, int], list[TopicPartition]]:
        """Return what the broker must be told: positions that it does not know, and who is not asked for any more."""
        if self._session.is_new:
            self._asked.clear()
            self._moved.update(dict.fromkeys(self.followers))
        changed: dict[TopicPartition, int] = {}
        gone: list[TopicPartition] = []
        for place in self._moved:
            follower = self.followers.get(place)
            if follower is not None:
                follower.tell()
            if follower is not None and follower.has_room:
                changed[place] = follower.position
                self._asked.add(place)
            elif place in self._asked:
                gone.append(place)
                self._asked.discard(place)
        self._moved.clear()
        return changed, gone

    async def _connected(self) -> AIOKafkaConnection | None:
        """Return the connection, made anew if need be; None if nobody needs it, or it cannot be made."""
        if self._connection is not None and self._connection.connected():
            return self._connection
        self._session.begin_anew()
        if self.followers:
            try:
                self._connection = await self._cluster.connect(self._node)
            except LogUnavailable:
                self._send_away(tuple(self.followers))
            else:
                return self._connection
        return None

    async def _ask(
        self, connection: AIOKafkaConnection, changed: dict[TopicPartition, int], gone: list[TopicPartition]
    ) -> Sequence[Fetched]:
        """Ask once; return what there was, nothing if the request was ended or there is trouble."""
        self._is_waiting, self._was_ended = True, False
        try:
            answer: Any = await connection.send(self._session.request(changed, gone, wait_ms=self._wait_ms))
        except NETWORK_ERRORS:
            await self._disconnect()
            if not self._was_ended:
                self._send_away(tuple(self._asked))
            return ()
        finally:
            self._is_waiting = False
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None
        self._session.answered(answer)
        if answer.code not in (replies.NONE, *replies.SESSION_LOST):
            self._send_away(tuple(self._asked))
        fetched: Sequence[Fetched] = answer.fetched
        return fetched

    def _hand_out(self, answer: Sequence[Fetched]) -> bool:
        """Give followers what was fetched; return whether any of it is not, or may not be, of this process."""
        is_foreign = False
        for fetched in answer:
            place = fetched.place
            follower = self.followers.get(place)
            if follower is None:
                continue
            if fetched.data:
                self._moved[place] = None
            before = follower.position
            if fetched.code != replies.NONE or not follower.take(fetched):
                self._send_away([place])
            elif follower.position != before and not self._is_sending(*place):
                is_foreign = True
        return is_foreign

    def _end_request(self) -> None:
        """Close the connection, unless all who have room are asked for by now."""
        self._ending = None
        missing = any(
            place not in self._asked and place in self.followers and self.followers[place].has_room
            for place in self._moved
        )
        if missing and self._connection is not None:
            self._was_ended = True
            self._connection.close()

    def _send_away(self, places: Iterable[TopicPartition]) -> None:
        for place in places:
            follower = self.followers.get(place)
            if follower is not None:
                follower.sent_away()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_connection(connection)
