"""The relay: from `outgoing`, where messages for listeners wait, to their sinks.

Holds the reading, the order, the repetitions and the end of patience. Must not be waited for by a decision: appending
to `outgoing` is all that a decision's effects do. Keeps these invariants:

1. a message is forgotten only when its sink has acknowledged it, or when it lies in `dead-letter` with the reason;
   a crash in between sends it again, under the same id;
2. messages of one workflow are sent one after the other, in their order; those of different workflows beside each
   other, a bounded number at a time. What is not sent yet waits in the log, not in memory;
3. what a recovery has put into `outgoing` a second time is not sent a second time by the same process.

How far the relay is, the topic itself says: what has been sent is trimmed from it.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from streams.errors import OffsetOutOfRange, StreamsError
from streams.outward import dead_letter
from streams.ports import Log, LogRecord
from streams.publishing.messages import OutgoingMessage, SinkFailed, SinkRefused
from streams.publishing.sinks import Sinks
from streams.topics import DEAD_LETTER, OUTGOING

BATCH_MAX: Final = 200
"""Messages under way at once, and what a crash sends again at most."""
READ_WAIT_MS: Final = 1_000
LOOK_EVERY_S: Final = 30.0
"""Also when nobody says that something is there: a former owner may have left it."""
DONE_IDS_MAX: Final = 10_000
"""Of messages that this process has dealt with; more than recovery repeats."""
AGAIN_AFTER_S_MIN: Final = 0.25
AGAIN_AFTER_S_MAX: Final = 10.0

_decoder: Final = msgspec.json.Decoder(OutgoingMessage)
_log = structlog.get_logger(__name__)


class Relays:
    """The relays of the partitions that this process owns. `run` until cancelled."""

    def __init__(self, log: Log, sinks: Sinks, *, patience_s: float) -> None:
        """Send to `sinks` what `log` holds. A message that is not taken for `patience_s` is parked."""
        self._log = log
        self._sinks = sinks
        self._patience_s = patience_s
        self._changes: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()
        self._wakes: dict[int, asyncio.Event] = {}
        self._done: dict[str, None] = {}
        """Ids of the last messages that were acknowledged or parked, oldest first."""

    def own(self, partition: int, *, owned: bool) -> None:
        """Begin, or stop, to relay a partition. Does not wait."""
        self._changes.put_nowait((partition, owned))

    def wake(self, partition: int) -> None:
        """Take note that there is something to relay."""
        wake = self._wakes.get(partition)
        if wake is not None:
            wake.set()

    async def run(self) -> None:
        """Relay what is owned."""
        running: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                partition, owned = await self._changes.get()
                if owned and partition not in running:
                    self._wakes[partition] = asyncio.Event()
                    running[partition] = group.create_task(self._relay(partition), name=f"relay-{partition}")
                elif not owned and partition in running:
                    running.pop(partition).cancel()
                    del self._wakes[partition]

    async def _relay(self, partition: int) -> None:
        wake = self._wakes[partition]
        while True:
            wake.clear()
            try:
                await self._drain(partition)
            except StreamsError as error:
                _log.warning("relay_waits", partition=partition, reason=str(error))
                await asyncio.sleep(AGAIN_AFTER_S_MAX)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await wake.wait()

    async def _drain(self, partition: int) -> None:
        """Send what is there, and forget what has been sent.

        Raises:
            LogUnavailable, StoreFull: the log is away; everything not trimmed yet is sent again.
        """
        held = await self._log.offsets(OUTGOING, partition)
        position = held.earliest
        if position >= held.next:
            return
        reader = self._log.reader(OUTGOING, partition, from_offset=position)
        try:
            while position < held.next:
                records = await reader.read(records_max=BATCH_MAX, wait_ms=READ_WAIT_MS)
                if records:
                    await self._send(records)
                    position = records[-1].offset + 1
                    await self._log.trim(OUTGOING, partition, before_offset=position)
                held = await self._log.offsets(OUTGOING, partition)
        except OffsetOutOfRange:
            return  # somebody else has sent and trimmed them: the partition has moved
        finally:
            await reader.close()

    async def _send(self, records: Sequence[LogRecord]) -> None:
        """Send a batch: the messages of one workflow one after the other, different workflows beside each other."""
        lanes: defaultdict[bytes | None, list[LogRecord]] = defaultdict(list)
        for record in records:
            lanes[record.key].append(record)
        async with asyncio.TaskGroup() as group:
            for lane in lanes.values():
                group.create_task(self._send_in_order(lane), name="relay-lane")

    async def _send_in_order(self, records: Sequence[LogRecord]) -> None:
        for record in records:
            try:
                message = _decoder.decode(record.value or b"")
            except (msgspec.ValidationError, msgspec.DecodeError) as error:
                await self._park(record, f"it is no message: {error}")
                continue
            if message.message_id in self._done:
                continue
            reason = await self._send_one(message)
            if reason:
                await self._park(record, reason)
            self._done[message.message_id] = None
            if len(self._done) > DONE_IDS_MAX:
                del self._done[next(iter(self._done))]

    async def _send_one(self, message: OutgoingMessage) -> str:
        """Send a message, again and again if need be; return why it was given up, "" if it arrived."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._patience_s
        again_after_s = AGAIN_AFTER_S_MIN
        while True:
            try:
                await self._sinks.publish(message)
            except SinkRefused as error:
                return str(error)
            except SinkFailed as error:
                if loop.time() + again_after_s > deadline_s:
                    return f"{message.sink} did not take it for {self._patience_s} s: {error}"
                await asyncio.sleep(again_after_s)
                again_after_s = min(2 * again_after_s, AGAIN_AFTER_S_MAX)
            except Exception as error:  # noqa: BLE001 - one message must not end the node, nor hold up those behind it
                _log.exception("message_broke", message_id=message.message_id, sink=message.sink)
                return f"{type(error).__name__}: {error}"
            else:
                return ""

    async def _park(self, record: LogRecord, reason: str) -> None:
        """Put a message aside, where an operator finds it with the reason; as long as that takes."""
        _log.warning("message_parked", partition=record.partition, offset=record.offset, reason=reason)
        while True:
            try:
                await self._log.append(DEAD_LETTER, 0, [dead_letter(record, reason)])
            except StreamsError as error:
                if not error.retriable:
                    _log.error("message_lost", partition=record.partition, offset=record.offset, reason=str(error))
                    return
                await asyncio.sleep(AGAIN_AFTER_S_MAX)
            else:
                return
