"""A real server process for tests, to be killed and started again.

Holds the process and its address. Must not hide a failure: a server that does not come up fails the test with its log.
Keeps the invariant that nothing it started outlives the test.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

UP_WITHIN_S = 30.0


class ServerProcess:
    """`podium serve` as a child process, always on the same port."""

    def __init__(self, port: int, log_path: Path, *arguments: str) -> None:
        """`arguments` are further ones of `podium serve`."""
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._arguments = arguments
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    async def start(self) -> None:
        """Start the process and wait until it is healthy."""
        executable = Path(sys.executable).parent / "podium"
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a test may wait for a fork
                [executable, "serve", "--port", str(self._port), *self._arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "PODIUM_LOG_LEVEL": "warning"},
            )
        await self.wait_healthy()

    async def wait_healthy(self) -> None:
        """Wait until the server says that it can do its work."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(UP_WITHIN_S):
            while True:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise AssertionError(f"the server ended:\n{self._log_path.read_text()[-4000:]}")
                try:
                    async with session.get(f"{self.url}/health") as reply:
                        if reply.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)  # asks again: nothing else tells when a port is open

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process, at once unless another signal is given, and wait until it has gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
