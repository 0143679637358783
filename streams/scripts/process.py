"""One script process, from the server's side.

Holds its start, the conversation and its end. Must not interpret a job or a result. Keeps the invariants that the
process is gone when its owner lets go of it, and that nothing it sends can be larger than what is expected.
"""

import asyncio
import contextlib
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Final, Self

import msgspec

import streams
from streams.scripts.framing import (
    DOCUMENT,
    FAILURE,
    JOB,
    READY,
    VALUE,
    FrameRefused,
    next_frame,
    packed,
)
from streams.scripts.limits import RESULT_BYTES_MAX

START_MS_MAX: Final = 10_000
"""A start takes 25 ms (measured); a machine that needs so much longer is in other trouble."""
READY_MS_MAX: Final = 2_000
"""After a result: for freeing what the script left behind."""
_WORDS_BYTES_MAX: Final = 4_096
"""Of what a process printed before it ended."""
_BOOT: Final = "import sys; sys.path[1:1] = sys.argv[2:]; from streams.scripts.child import main; main(int(sys.argv[1]))"
_protections: Final = msgspec.json.Decoder(list[str])


class ProcessLost(Exception):
    """The process ended, or said what it must not say. `reason` is for the log and the author."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ScriptProcess:
    """A process that waits for jobs. Made by `started`; its maker calls `end`, whatever happens."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        words: int,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._words = words
        self.protections: list[str] = []
        """What the process says it gave up; known once it started."""

    @classmethod
    async def started(cls) -> Self:
        """Start a process and wait until it takes jobs.

        Raises:
            ProcessLost: it ended at once, or took too long.
            OSError: the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        words, their_words = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            try:
                process = await _spawned(theirs, their_words)
            finally:
                theirs.close()
                os.close(their_words)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            os.close(words)
            raise
        child = cls(process, reader, writer, words)
        try:
            child.protections = _protections.decode(await child._told_ready(START_MS_MAX))
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known here."""
        return self._process.returncode is None and not self._reader.at_eof()

    async def ask(self, job: bytes, document: bytes) -> tuple[bytes, bytes]:
        """Hand over a job; return the tag (VALUE or FAILURE) and the body of what it came to.

        Waits as long as it takes: the caller sets the limit, and calls `end` when it is passed.

        Raises:
            ProcessLost: there will be no answer.
        """
        try:
            self._writer.write(packed(JOB, job))
            self._writer.write(packed(DOCUMENT, document))
            tag, body = await next_frame(self._reader, bytes_max=RESULT_BYTES_MAX)
        except (asyncio.IncompleteReadError, FrameRefused, OSError) as error:
            raise ProcessLost(await self._last_words(error)) from error
        if tag not in {VALUE, FAILURE}:
            raise ProcessLost(f"the script process answered with an unknown message {tag!r}")
        return tag, body

    async def wait_ready(self) -> bool:
        """Wait until it takes the next job; False if it ended or takes too long, and should be replaced."""
        try:
            await self._told_ready(READY_MS_MAX)
        except ProcessLost:
            return False
        return True

    async def end(self) -> None:
        """Kill the process and wait until it is gone. Returns at once the second time."""
        self.kill()
        await self._process.wait()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._words >= 0:
            os.close(self._words)
            self._words = -1

    def kill(self) -> None:
        """Kill the process without waiting for it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._writer.close()

    async def _told_ready(self, ms_max: int) -> bytes:
        try:
            async with asyncio.timeout(ms_max / 1_000):
                tag, body = await next_frame(self._reader, bytes_max=_WORDS_BYTES_MAX)
        except TimeoutError as error:
            raise ProcessLost(f"the script process was not ready within {ms_max} ms") from error
        except (asyncio.IncompleteReadError, FrameRefused, OSError) as error:
            raise ProcessLost(await self._last_words(error)) from error
        if tag != READY:
            raise ProcessLost(f"the script process was expected to be ready and said {tag!r}")
        return body

    async def _last_words(self, error: Exception) -> str:
        """End the process; return how it ended and what it printed."""
        if isinstance(error, FrameRefused):
            return str(error)
        with contextlib.suppress(TimeoutError):
            # It hung up: it is about to end by itself, and how it does is what one wants to know.
            async with asyncio.timeout(READY_MS_MAX / 1_000):
                await self._process.wait()
        try:
            printed = os.read(self._words, _WORDS_BYTES_MAX).decode(errors="replace").strip()
        except OSError:
            printed = ""
        return f"the script process ended with {_ending(self._process.returncode)}{': ' if printed else ''}{printed}"


async def _spawned(conversation: socket.socket, words: int) -> asyncio.subprocess.Process:
    """Start the interpreter isolated, without site packages but for the two engines, and with an empty environment.

    By the thread of the loop: the kernel ends a process together with the thread that started it.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        _BOOT,
        str(os.getpid()),
        *_search_path(),
        stdin=conversation.fileno(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=words,
        env={},
        cwd="/",
    )


def _search_path() -> list[str]:
    """Return where Podium and the two engines are, however they were installed."""
    found = [Path(next(iter(streams.__path__))).parent]
    for name in ("_quickjs", "jq"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"the package {name} is not installed; scripts need quickjs-ng and jq")
        found.append(Path(spec.origin).parent)
    return [str(path.resolve()) for path in dict.fromkeys(found)]


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code yet"
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
