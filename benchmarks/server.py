"""The server under test: `podium serve` as a process of its own.

Holds starting, waiting and ending. Must not configure more than a benchmark needs: what is measured is what users get
by default. Keeps the invariants that no server outlives the block, and that a server which ends by itself ends the run
with its last words.
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks.results import BenchmarkFailed
from deploy.kafka.broker import free_ports

UP_WITHIN_S = 60.0
GRACE_S = 20.0
_PROBE_PAUSE_S = 0.002
_OK = 200


class Server:
    """A server on a data directory and a port of its own. A context manager; may be ended and started again."""

    def __init__(self, data: Path, *arguments: str, command: Sequence[str] | None = None) -> None:
        """Start nothing yet.

        Args:
            data: Its data directory; the log of the process is beside it.
            arguments: Further arguments of `podium serve`.
            command: What to run instead of the installed `podium`.
        """
        self.port = free_ports(1)[0]
        self._data = data
        self._arguments = arguments
        self._command = command or [str(Path(sys.executable).with_name("podium"))]
        self._log = data.with_name(f"{data.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        if self._process is None:
            message = "the server has not been started"
            raise BenchmarkFailed(message)
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> float:
        """Start the process, wait until it is healthy, and return how long both took, in seconds."""
        begun = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "serve", "--data", str(self._data), "--port", str(self.port), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")},
            )
        self._wait_healthy(begun + UP_WITHIN_S)
        return time.monotonic() - begun

    def stop(self) -> None:
        """End the process in order, by force if that takes too long. Idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._end(signal.SIGKILL)

    def last_words(self) -> str:
        """Return the end of what the process printed."""
        return self._log.read_text(errors="replace")[-3000:]

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_healthy(self, until: float) -> None:
        """Ask again and again: nothing else tells when a port is open."""
        process = self._process
        while process is not None and time.monotonic() < until:
            if process.poll() is not None:
                message = f"the server ended with {process.returncode} while it started:\n{self.last_words()}"
                raise BenchmarkFailed(message)
            if _is_healthy(self.port):
                return
            time.sleep(_PROBE_PAUSE_S)
        self.kill()
        message = f"the server was not healthy within {UP_WITHIN_S:.0f} s:\n{self.last_words()}"
        raise BenchmarkFailed(message)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
