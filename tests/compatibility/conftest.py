"""One real server, and one set of worker processes of the SDK, for all tests of the folder.

Must not hold a test's own definitions: names are the tests' to choose, each its own. Keeps the invariant that nothing
which was started here outlives the session.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.kafka.broker import free_ports
from tests.compatibility.sdk import Sdk
from tests.durability.server import ServerProcess

REPOSITORY_ROOT = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the folder's tests as slow: they run in one process then, and share what stands here.

    The SDK warns of the fields that its own models deprecate whenever it reads or writes one.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning"))


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on an embedded log; its HTTP tasks may call this machine."""
    folder = tmp_path_factory.mktemp("server")
    process = ServerProcess(
        free_ports(1)[0], folder / "server.log", "--data", str(folder / "data"), "--allow-private-targets"
    )
    asyncio.run(process.start())
    yield process.url
    process.kill(signal.SIGTERM)


@pytest.fixture(scope="session")
def sdk(server_url: str) -> Sdk:
    """The Python SDK, pointed at the server."""
    return Sdk(server_url)


@pytest.fixture(scope="session")
def workers(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The SDK's worker processes. They are there some seconds after this; the first task waits for them."""
    log_path = tmp_path_factory.mktemp("workers") / "workers.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.compatibility.worker_program"],
            cwd=REPOSITORY_ROOT,
            env={**os.environ, "CONDUCTOR_SERVER_URL": f"{server_url}/api"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield
    process.terminate()
    try:
        process.wait(timeout=10)
    finally:
        with contextlib.suppress(ProcessLookupError):  # none of the SDK's own processes has been left
            os.killpg(process.pid, signal.SIGKILL)


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"temperature": 21}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""


@pytest.fixture(scope="session")
def weather_url() -> Iterator[str]:
    """A service of this machine that HTTP tasks can call."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{service.server_port}/weather"
        service.shutdown()
        thread.join()
