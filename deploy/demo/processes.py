"""The operating system processes of the demo: the server and the workers.

Holds starting, killing and ending them. Must not know what they do. Keeps the invariant that what was started
here is ended here (unless it shall stay), together with its children, and nothing else ever gets a signal.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

GRACE_SECONDS: Final = 10
"""How long a process may take to end by itself after SIGTERM, then it is killed. The server gives its requests 8."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process that runs, or ran. Everything it prints goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Return the process id; it is also the id of the process group."""
        return self.process.pid

    def last_words(self) -> str:
        """Return the end of what the process printed."""
        return self.log.read_text(errors="replace")[-2000:].strip() or "(it printed nothing)"


class Processes:
    """A context manager: on exit the youngest process is ended first, so workers end before their server."""

    def __init__(self, *, logs: Path) -> None:
        """Write the output of each process to a file of its name in `logs`."""
        self._logs = logs
        self._started: dict[str, Started] = {}
        self._killed: set[str] = set()
        self.keep = False
        """Set it to leave everything running at the end."""

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.keep:
            return
        # First tell all, then wait: an impatient second Ctrl-C finds nobody who was not told.
        youngest_first = [one.process for one in reversed(self._started.values())]
        for process in youngest_first:
            _signal_group(process, signal.SIGTERM)
        for process in youngest_first:
            _wait_or_kill(process)

    def start(self, name: str, command: Sequence[str | Path]) -> Started:
        """Start a process in a process group of its own, so that its children can be ended with it."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The demo shows the defaults: settings for a server of the user's own stay out of it.
                env={name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")},
            )
        self._started[name] = Started(name=name, process=process, log=log)
        return self._started[name]

    def kill(self, name: str) -> Started:
        """Kill a process and its children at once, as a crash of its machine would."""
        one = self._started[name]
        self._killed.add(name)
        _signal_group(one.process, signal.SIGKILL)
        one.process.wait()
        return one

    def all(self) -> Sequence[Started]:
        """Return everything that was started, oldest first."""
        return list(self._started.values())

    def first_crashed(self) -> Started | None:
        """Return a process that ended without being asked to, if there is one."""
        ended = (
            one for one in self._started.values() if one.name not in self._killed and one.process.poll() is not None
        )
        return next(ended, None)


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # A process that was waited for has given its id back; the system may have given it to a stranger.
    if process.poll() is None:
        os.killpg(process.pid, number)
