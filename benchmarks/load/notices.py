"""How workers tell the client that a task has ended: fixed records over a pipe.

Holds the record and both ends. Must not carry more than the workflow's number and an instant. Keeps the invariant that
the instant is the worker's own, taken when the server had acknowledged the result (or, if asked for, when the task
arrived): what the pipe and the client add does not count.

A record is far below the size up to which writes to a pipe are atomic, so several workers may share one.
"""

import os
import struct
import time
from collections.abc import Iterator

_RECORD = struct.Struct("<qq")
_READ_BYTES = 65_536


class NoticeWriter:
    """The worker's end."""

    def __init__(self, descriptor: int) -> None:
        """Write to an open pipe."""
        self._descriptor = descriptor

    def tell(self, number: int, at_ns: int) -> None:
        """Tell that a task of workflow `number` ended at an instant of the monotonic clock."""
        os.write(self._descriptor, _RECORD.pack(number, at_ns))


class NoticeReader:
    """The client's end, non-blocking."""

    def __init__(self, descriptor: int) -> None:
        """Read from an open pipe."""
        self._descriptor = descriptor
        self._rest = b""
        os.set_blocking(descriptor, False)

    def read(self) -> Iterator[tuple[int, int]]:
        """Yield number and instant of every notice that is there."""
        try:
            received = self._rest + os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        whole = len(received) - len(received) % _RECORD.size
        self._rest = received[whole:]
        yield from _RECORD.iter_unpack(received[:whole])


def now_ns() -> int:
    """Return the instant by the clock that all processes of this machine share."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
