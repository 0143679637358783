"""Claims about the messages between the server and a script process."""

import asyncio
import os

import pytest

from streams.scripts.framing import (
    DOCUMENT,
    HEADER_BYTES,
    JOB,
    READY,
    FrameRefused,
    next_frame,
    packed,
    read_frame,
    write_frame,
)


def _reader(raw: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    return reader


async def test_messages_arrive_as_they_were_sent_one_after_the_other() -> None:
    """Tags and bodies come out of one stream in order, an empty body too."""
    reader = _reader(packed(JOB, b"one") + packed(READY) + packed(DOCUMENT, bytes(70_000)))

    assert [await next_frame(reader, bytes_max=70_000) for _ in range(3)] == [
        (JOB, b"one"),
        (READY, b""),
        (DOCUMENT, bytes(70_000)),
    ]


async def test_message_above_the_bound_is_refused_before_it_is_read() -> None:
    """The length alone is enough: the body need not be there."""
    reader = _reader(packed(JOB, bytes(11))[:HEADER_BYTES])

    with pytest.raises(FrameRefused, match="11 bytes was announced, at most 10"):
        await next_frame(reader, bytes_max=10)


@pytest.mark.parametrize("kept", range(HEADER_BYTES + 3))
async def test_message_that_breaks_off_is_an_incomplete_read(kept: int) -> None:
    """Wherever a process ends, the server notices."""
    with pytest.raises(asyncio.IncompleteReadError):
        await next_frame(_reader(packed(JOB, b"abc")[:kept]), bytes_max=10)


@pytest.mark.parametrize("bytes_at_once", [1, 2, 5, 1_000])
def test_script_process_reads_messages_from_pieces_of_any_size(bytes_at_once: int) -> None:
    """A pipe may give less than was asked for."""
    raw = packed(JOB, b"a job") + packed(DOCUMENT, b"[1, 2]") + packed(READY)[:-1]
    position = 0

    def read(_: int, size: int) -> bytes:
        nonlocal position
        piece = raw[position : position + min(size, bytes_at_once)]
        position += len(piece)
        return piece

    assert read_frame(0, bytes_max=10, read=read) == (JOB, b"a job")
    assert read_frame(0, bytes_max=10, read=read) == (DOCUMENT, b"[1, 2]")
    assert read_frame(0, bytes_max=10, read=read) is None


def test_script_process_refuses_what_is_too_large() -> None:
    """A bound holds on its side as well."""
    ours, theirs = os.pipe()
    try:
        write_frame(theirs, JOB, bytes(11))
        with pytest.raises(FrameRefused):
            read_frame(ours, bytes_max=10)
    finally:
        os.close(ours)
        os.close(theirs)
