"""The line of appends to one partition of Kafka, and the batches that are made of it.

Holds what waits, what is on its way, and under which producer id and sequence number. Must not send. Keeps
two invariants: sequence numbers ascend without gap under one producer id, which is what the broker checks;
and a batch, once built, is never built differently.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.appendable import record_bytes
from streams.errors import Fenced, StreamsError
from streams.ports import NewRecord

_RECORD_FRAME_BYTES: Final = 32
"""At most this much is added to the key and value of a record: two lengths, flags, relative time and offset."""
_SEQUENCE_END: Final = 2**31
"""Sequence numbers are 32 bits with sign; after the last comes 0."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker knows a producer by."""

    producer_id: int
    epoch: int


class Call:
    """An append as its caller made it: one or more pieces that go, in order, each whole into a batch."""

    __slots__ = ("_expected", "_first", "_pieces_left", "deadline_s", "future")

    def __init__(self, future: asyncio.Future[int], *, deadline_s: float, pieces: int) -> None:
        self.future = future
        self.deadline_s = deadline_s
        self._pieces_left = pieces
        self._first = -1
        self._expected = -1

    def stored(self, offset: int, count: int) -> None:
        """Take note that the next piece is in the log, at an offset; with the last piece, answer the caller."""
        if self._first < 0:
            self._first = offset
        elif offset != self._expected:
            self.failed(Fenced(f"somebody else appended between offsets {self._expected - 1} and {offset}"))
        self._expected = offset + count
        self._pieces_left -= 1
        if self._pieces_left == 0 and not self.future.done():
            self.future.set_result(self._first)

    def failed(self, error: StreamsError) -> None:
        """Answer the caller with an error of its own."""
        if not self.future.done():
            self.future.set_exception(type(error)(str(error)))


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one call that fit into one batch."""

    call: Call
    records: Sequence[NewRecord]
    size: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it is sent, again and again if need be."""

    pieces: Sequence[Piece]
    count: int
    at_ms: int
    data: bytes


class Lane:
    """The appends to one partition. `node` is its leader, `identity` its producer; None while it is to be found."""

    __slots__ = ("_queue", "_sequence", "batch", "identity", "name", "node", "partition")

    def __init__(self, name: str, partition: int) -> None:
        self.name = name
        self.partition = partition
        self.node: int | None = None
        self.identity: Identity | None = None
        self.batch: Batch | None = None
        self._queue: deque[Piece] = deque()
        self._sequence = 0

    @property
    def waits(self) -> bool:
        """Whether there is anything to send."""
        return self.batch is not None or bool(self._queue)

    @property
    def deadline_s(self) -> float:
        """When the oldest outstanding call has waited long enough; only asked while the lane waits."""
        oldest = self.batch.pieces[0] if self.batch is not None else self._queue[0]
        return oldest.call.deadline_s

    def outstanding(self) -> set[asyncio.Future[int]]:
        """Return the futures of all calls that have no answer yet."""
        sent = () if self.batch is None else self.batch.pieces
        return {piece.call.future for piece in (*sent, *self._queue)}

    def put(self, pieces: Sequence[Piece]) -> None:
        """Add the pieces of one call to the end."""
        self._queue.extend(pieces)

    def next_batch(self, *, bytes_max: int) -> Batch:
        """Return the batch to send: the one that was sent before, or one of all that waits and fits."""
        if self.batch is None:
            self.batch = self._build(bytes_max)
        return self.batch

    def stored(self, base_offset: int) -> None:
        """Take note that the batch on its way is in the log, and answer the callers that were waiting for it."""
        batch, self.batch = self.batch, None
        if batch is None:
            return
        self._sequence = (self._sequence + batch.count) % _SEQUENCE_END
        offset = base_offset
        for piece in batch.pieces:
            piece.call.stored(offset, len(piece.records))
            offset += len(piece.records)

    def fail(self, error: StreamsError, *, rest: StreamsError | None = None) -> None:
        """Answer every caller with an error, those whose batch was not sent with `rest`, and begin a new producer."""
        batch, self.batch = self.batch, None
        sent = () if batch is None else batch.pieces
        waiting, self._queue = self._queue, deque()
        self.identity = None
        self._sequence = 0
        for piece in sent:
            piece.call.failed(error)
        for piece in waiting:
            piece.call.failed(rest or error)

    def _build(self, bytes_max: int) -> Batch:
        if self.identity is None:
            raise RuntimeError(f"{self.name}[{self.partition}] has no producer id; route it before it is sent")
        pieces = [self._queue.popleft()]
        size = pieces[0].size
        while self._queue and size + self._queue[0].size <= bytes_max:
            size += self._queue[0].size
            pieces.append(self._queue.popleft())
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.epoch,
            base_sequence=self._sequence,
            batch_size=bytes_max,
        )
        now_ms = time.time_ns() // 1_000_000
        count = 0
        for piece in pieces:
            for record in piece.records:
                if builder.append(count, now_ms, record.key, record.value, []) is None:
                    raise RuntimeError(f"a record that was measured to fit a batch of {bytes_max} bytes did not")
                count += 1
        return Batch(pieces=pieces, count=count, at_ms=now_ms, data=bytes(builder.build()))


def cut(call_records: Sequence[NewRecord], *, bytes_max: int) -> list[tuple[list[NewRecord], int]]:
    """Return the records of a call in runs that fit a batch each, with the size of each run. Usually there is one."""
    runs: list[tuple[list[NewRecord], int]] = []
    for record in call_records:
        size = record_bytes(record) + _RECORD_FRAME_BYTES
        if runs and runs[-1][1] + size <= bytes_max:
            runs[-1][0].append(record)
            runs[-1] = (runs[-1][0], runs[-1][1] + size)
        else:
            runs.append(([record], size))
    return runs
