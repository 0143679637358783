"""Messages between the server and a script process: a length, a tag, a body.

Holds packing, and reading on either side. Must not look into a body. Keeps the invariant that neither side takes in
more than it is willing to: a length above the reader's bound ends the conversation.
"""

import os
import struct
from collections.abc import Callable
from typing import Final, Protocol

JOB: Final = b"J"
"""To the process: what to do, as a JSON object. A document follows."""
DOCUMENT: Final = b"D"
"""To the process: the input, as JSON."""
READY: Final = b"R"
"""From the process: it can take a job. The first time with its protections, as a JSON list."""
VALUE: Final = b"V"
"""From the process: the result, as JSON."""
FAILURE: Final = b"F"
"""From the process: why there is no result, as a JSON object."""

_HEADER: Final = struct.Struct("!Ic")
HEADER_BYTES: Final = _HEADER.size
_READ_BYTES: Final = 256 * 1024


class FrameRefused(Exception):
    """The other side announced a message that is larger than it may be."""


class ByteSource(Protocol):
    """Where the server reads from; an `asyncio.StreamReader` is one."""

    async def readexactly(self, n: int) -> bytes:
        """Wait for exactly `n` bytes."""
        ...


def packed(tag: bytes, body: bytes = b"") -> bytes:
    """Return a message as it travels."""
    return _HEADER.pack(len(body), tag) + body


async def next_frame(source: ByteSource, *, bytes_max: int) -> tuple[bytes, bytes]:
    """Read one message: its tag and its body.

    Raises:
        FrameRefused: it is larger than `bytes_max`.
        asyncio.IncompleteReadError: the process ended.
    """
    size, tag = _unpacked(await source.readexactly(HEADER_BYTES), bytes_max)
    return tag, await source.readexactly(size) if size else b""


def read_frame(
    descriptor: int, *, bytes_max: int, read: Callable[[int, int], bytes] = os.read
) -> tuple[bytes, bytes] | None:
    """Wait for one message on a descriptor; None when the other side is gone.

    Raises:
        FrameRefused: it is larger than `bytes_max`.
    """
    header = _read_exactly(descriptor, HEADER_BYTES, read)
    if header is None:
        return None
    size, tag = _unpacked(header, bytes_max)
    body = _read_exactly(descriptor, size, read)
    return None if body is None else (tag, body)


def write_frame(descriptor: int, tag: bytes, body: bytes = b"") -> None:
    """Send one message, waiting until the other side has taken it."""
    rest = memoryview(packed(tag, body))
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _unpacked(header: bytes, bytes_max: int) -> tuple[int, bytes]:
    size, tag = _HEADER.unpack(header)
    if size > bytes_max:
        raise FrameRefused(f"a message of {size} bytes was announced, at most {bytes_max} are taken")
    return size, tag


def _read_exactly(descriptor: int, size: int, read: Callable[[int, int], bytes]) -> bytes | None:
    pieces: list[bytes] = []
    while size > 0:
        piece = read(descriptor, min(size, _READ_BYTES))
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
