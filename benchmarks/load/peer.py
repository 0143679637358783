"""Both sides of the talk between the harness and its client and worker processes.

Holds the child's helpers (say, wait for the go, fail loudly) and the parent's handle of a child. Must not know what a
child does. Keeps the invariants that a child which fails ends the run with its traceback, and that children die with
the block that started them.

A child says one word or one JSON text per line on standard output; the parent says `go`.
"""

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Self

import msgspec

from benchmarks.machine import REPOSITORY_ROOT
from benchmarks.results import BenchmarkFailed

_GRACE_S = 10.0


class Peer:
    """A child process of the harness. A context manager."""

    def __init__(self, module: str, config: msgspec.Struct, *, descriptors: Sequence[int] = ()) -> None:
        """Start nothing yet. `descriptors` are open files that the child inherits under the same numbers."""
        self._command = [sys.executable, "-m", module, msgspec.json.encode(config).decode()]
        self._name = module
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._running().pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=self._descriptors,
            cwd=REPOSITORY_ROOT,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        process = self._running()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def hear(self, *, within_s: float) -> bytes:
        """Return the next line that the child says.

        Raises:
            BenchmarkFailed: it has ended, or says nothing in time.
        """
        process = self._running()
        assert process.stdout is not None  # noqa: S101 (it was asked for a pipe)
        until = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                if not selector.select(max(0.0, until - time.monotonic())):
                    message = f"{self._name} was to say something within {within_s:.0f} s and did not"
                    raise BenchmarkFailed(message)
                said = os.read(process.stdout.fileno(), 1 << 20)
                if not said:
                    raise BenchmarkFailed(f"{self._name} ended:\n{self._last_words()}")
                self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def go(self) -> None:
        """Let the child go on."""
        process = self._running()
        assert process.stdin is not None  # noqa: S101 (it was asked for a pipe)
        process.stdin.write(b"go\n")
        process.stdin.flush()

    def check(self) -> None:
        """Raise if the child has ended.

        Raises:
            BenchmarkFailed: with its last words.
        """
        if self._running().poll() is not None:
            raise BenchmarkFailed(f"{self._name} ended:\n{self._last_words()}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            message = f"{self._name} has not been started"
            raise BenchmarkFailed(message)
        return self._process

    def _last_words(self) -> str:
        return self._running().communicate(timeout=_GRACE_S)[1][-3_000:].decode(errors="replace")


def say(text: str) -> None:
    """Tell the harness."""
    print(text, flush=True)


def wait_go() -> None:
    """Wait until the harness says go. Blocks the process, which has nothing else to do."""
    if sys.stdin.readline().strip() != "go":
        message = "the harness went away"
        raise BenchmarkFailed(message)


@contextlib.asynccontextmanager
async def failing_loudly() -> AsyncIterator["asyncio.Future[None]"]:
    """Yield a future that fails with the first exception of any callback.

    Figures of a run with errors are worth nothing, and a callback that raises would otherwise only be logged.
    """
    loop = asyncio.get_running_loop()
    failure: asyncio.Future[None] = loop.create_future()

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not failure.done():
            failure.set_exception(error if isinstance(error, Exception) else BenchmarkFailed(context["message"]))

    loop.set_exception_handler(fail)
    try:
        yield failure
    finally:
        loop.set_exception_handler(None)
        failure.cancel()


async def first_of(work: Coroutine[Any, Any, object], failure: "asyncio.Future[None]") -> None:
    """Wait for work to be done, or for the failure of a callback, whose exception is raised."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work, name="work")
        either: list[asyncio.Future[Any]] = [working, failure]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if failure.done() and not working.done():
            working.cancel()
            failure.result()
