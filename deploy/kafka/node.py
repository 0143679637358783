"""One node of a Kafka cluster: its files and its process.

Holds how a JVM is started, stopped and killed. It must not know the cluster that the node is part of. The
invariant: a node never outlives the process that started it, however that one ends.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.kafka.settings import NodeAddress

# An orderly stop hands over leaders and flushes logs; a node that has not ended by then is killed.
_STOP_S_MAX: Final = 20.0
_LOG_TAIL_CHARS: Final = 3000


class Node:
    """One JVM: its files, its process and the watcher that outlives a killed parent."""

    def __init__(self, address: NodeAddress, folder: Path) -> None:
        self.address = address
        self.log_path = folder / "broker.log"
        self.properties_path = folder / "server.properties"
        self.data_folder = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the JVM runs; it may not answer yet."""
        return self.process is not None and self.process.poll() is None

    def launch(self, command: Sequence[str]) -> None:
        """Start the JVM and return at once; what it writes is appended to its log."""
        with self.log_path.open("ab") as log:
            # A session of its own: a Ctrl-C in the terminal reaches this program, which then stops the node
            # in order.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # The watcher reads a pipe whose only writer is this process: it ends when this process does, even by
        # SIGKILL.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'cat >/dev/null; kill -9 "$0"', str(self.process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self, *, kill: bool) -> None:
        """End the JVM, in order or by SIGKILL, and return when it is gone. Idempotent."""
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        try:
            self.process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            self._dismiss_watcher()
            self.process = None

    def log_tail(self) -> str:
        """Return the end of what the JVM wrote, over all its starts."""
        return self.log_path.read_text(errors="replace")[-_LOG_TAIL_CHARS:] if self.log_path.exists() else ""

    def _dismiss_watcher(self) -> None:
        # Killed before its pipe is closed: else it would aim at a process id that is free to be used again.
        if self._watcher is None:
            return
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        self._watcher = None
