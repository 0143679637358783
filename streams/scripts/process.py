"""One script process, from the server's side.

Holds its start, the conversation and its end. Must not interpret a job or a result. Keeps the invariants that the
process is gone when its owner lets go of it, and that nothing it sends can be larger than what is expected.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import socket
import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, Self

import msgspec

import streams
from streams.scripts.framing import DOCUMENT, FAILURE, JOB, READY, VALUE, FrameRefused, next_frame, packed
from streams.scripts.limits import RESULT_BYTES_MAX
from streams.scripts.spawning import collect, spawn, wait_exit

START_MS_MAX: Final = 10_000
"""A start takes 25 ms (measured); a machine that needs so much longer is in other trouble."""
READY_MS_MAX: Final = 2_000
"""After a result: for freeing what the script left behind."""
_WORDS_BYTES_MAX: Final = 4_096
"""Of what a process printed before it ended."""
_BOOT: Final = (
    "import sys; sys.path[1:1] = sys.argv[2:]; from streams.scripts.child import main; main(int(sys.argv[1]))"
)
_STANDARD: Final = 3
"""Descriptors below have a meaning to every program."""
_protections: Final = msgspec.json.Decoder(list[str])


class ProcessLost(Exception):
    """The process ended, or said what it must not say. `reason` is for the log and the author."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ScriptProcess:
    """A process that waits for jobs. Made by `started`; its maker calls `end`, whatever happens."""

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, errors: int, threads: Executor
    ) -> None:
        self.pid = pid
        self.protections: list[str] = []
        """What the process says it gave up; known once it started."""
        self._reader = reader
        self._writer = writer
        self._errors = errors
        self._threads = threads
        self._exit: asyncio.Future[int | None] | None = None
        self._collected = False

    @classmethod
    async def started(cls, threads: Executor) -> Self:
        """Start a process and wait until it takes jobs.

        Args:
            threads: Where to block. The kernel ends a process together with the thread that started it: these threads
                live as long as the process is wanted.

        Raises:
            ProcessLost: it ended at once, or took too long.
            OSError: the system has no room for another process.
            ImportError: an engine is not installed.
        """
        ours, theirs = socket.socketpair()
        errors, their_errors = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        writer: asyncio.StreamWriter | None = None
        try:
            # First what may be cancelled without harm: from the start on, there is a process to be ended.
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            pid = await _spawned(theirs.fileno(), their_errors, threads)
        except BaseException:
            os.close(errors)
            if writer is None:
                ours.close()
            else:
                await _closed(writer)
            raise
        finally:
            theirs.close()
            os.close(their_errors)
        process = cls(pid, reader, writer, errors, threads)
        try:
            process.protections = _protections.decode(await process._told_ready(START_MS_MAX))
        except BaseException:
            await process.end()
            raise
        return process

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known here."""
        return self._exit is None and not self._reader.at_eof()

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
        """Kill the process and wait until it is gone. Nothing is left to do the second time."""
        self.kill()
        await self._gone()
        await _closed(self._writer)
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1

    def kill(self) -> None:
        """Kill the process without waiting for it."""
        # Later the number may belong to another process.
        if not self._collected:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._writer.close()

    async def _gone(self) -> int | None:
        if self._exit is None:
            self._exit = asyncio.get_running_loop().run_in_executor(self._threads, wait_exit, self.pid)
        # Whoever stops waiting does not stop the thread that waits.
        code = await asyncio.shield(self._exit)
        if not self._collected:
            collect(self.pid)
            self._collected = True
        return code

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
        """Return how the process ended and what it printed; one that hung up is ending by itself."""
        if isinstance(error, FrameRefused):
            return str(error)
        code: int | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_MS_MAX / 1_000):
                code = await self._gone()
        try:
            printed = os.read(self._errors, _WORDS_BYTES_MAX).decode(errors="replace").strip()
        except OSError:
            printed = ""
        ending = "an unknown end" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        return f"the script process ended with {ending}{': ' if printed else ''}{printed}"


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _spawned(conversation: int, errors: int, threads: Executor) -> int:
    """Start the interpreter isolated: without environment, and without site packages but for the two engines."""
    command = [sys.executable, "-I", "-S", "-c", _BOOT, str(os.getpid()), *_search_path()]
    # Where the server has no standard streams, ours could have their numbers and be closed too early.
    theirs = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD) for descriptor in (conversation, errors)]
    starting = asyncio.get_running_loop().run_in_executor(
        threads, lambda: spawn(command, conversation=theirs[0], errors=theirs[1])
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # It is being started all the same, and would have no owner.
        pid = await starting
        os.kill(pid, signal.SIGKILL)
        await asyncio.get_running_loop().run_in_executor(threads, wait_exit, pid)
        collect(pid)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)


def _search_path() -> list[str]:
    """Return where Podium and the two engines are, however they were installed."""
    found = [Path(next(iter(streams.__path__))).parent]
    for name in ("_quickjs", "jq"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"the package {name} is not installed; scripts need quickjs-ng and jq")
        found.append(Path(spec.origin).parent)
    return [str(path.resolve()) for path in dict.fromkeys(found)]
