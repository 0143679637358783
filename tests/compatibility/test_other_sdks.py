"""Claims about SDKs other than today's Python one: its older line, and JavaScript's.

Holds one scenario each, run as a program of its own in an environment of its own. Must not speak to the server itself.
Keeps the claim that what was written years ago, or in another language, finds the same server.
"""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from api.access.keys import new_key, new_key_file, write_key_file
from api.access.permissions import Role
from deploy.kafka.broker import free_ports
from tests.compatibility.installing import HERE, javascript, older_python
from tests.durability.server import ServerProcess

PROGRAM_WITHIN_S = 40


def run(*command: str | Path, server_url: str, **environment: str) -> Any:  # noqa: ANN401 - what the program saw
    """Run a program against the server and return the JSON object that it printed last."""
    done = subprocess.run(
        command,
        env={**os.environ, "CONDUCTOR_SERVER_URL": f"{server_url}/api", **environment},
        capture_output=True,
        text=True,
        timeout=PROGRAM_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_python_sdk_of_the_1_1_line_polls_singly_and_completes_a_task(server_url: str) -> None:
    """Its worker takes one task per poll and reports through `POST /tasks`; the workflow completes."""
    saw = run(older_python(), HERE / "older" / "smoke.py", server_url=server_url)

    assert saw["found"] == saw["started"]
    assert (saw["status"], saw["output"], saw["polls"]) == ("COMPLETED", {"double": 42}, 1)
    status, body = saw["refused"]
    assert status == 404
    assert "older-unknown" in body


def test_javascript_sdk_works_starts_acts_and_searches(server_url: str) -> None:
    """Its worker, its executor and its search: chunked bodies, text ids, 204s and a body-less PUT all arrive."""
    program = javascript() / "smoke.mjs"
    program.write_bytes((HERE / "javascript" / "smoke.mjs").read_bytes())

    saw = run("node", program, server_url=server_url)

    assert saw["found"] == saw["ids"]
    assert saw["statuses"] == ["COMPLETED"] * 5
    assert saw["shouted"] == ["A!", "B!", "C!", "D!", "!"]
    assert saw["attempts"] == [1, 1, 1, 1, 2]
    assert saw["workers"] == ["js-worker"]
    assert saw["hits"] == sorted(saw["ids"])
    assert saw["acted"] == ["PAUSED", "COMPLETED", "RUNNING", "TERMINATED", "RUNNING"]
    assert saw["acting"] == [["first", "COMPLETED", {"by": "name"}], ["second", "SKIPPED", {"skipped": True}]]
    assert "js-unknown" in saw["refusal"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server that asks for keys, and the environment in which the SDKs find one."""
    key, secret = new_key("sdk", [Role.ADMIN], now_ms=0)
    write_key_file(tmp_path / "keys.json", replace(new_key_file(), keys=(key,)))
    arguments = ("--data", str(tmp_path / "data"), "--key-file", str(tmp_path / "keys.json"))
    process = ServerProcess(free_ports(1)[0], tmp_path / "server.log", *arguments)
    asyncio.run(process.start())
    yield process.url, {"CONDUCTOR_AUTH_KEY": key.id, "CONDUCTOR_AUTH_SECRET": secret}
    process.kill(signal.SIGTERM)


def test_sdks_log_in_unchanged_where_a_key_is_asked_for(guarded: tuple[str, dict[str, str]]) -> None:
    """The same programs, told of a key by their environment alone; without one they are turned away."""
    server_url, key = guarded
    program = javascript() / "smoke.mjs"
    program.write_bytes((HERE / "javascript" / "smoke.mjs").read_bytes())

    assert run("node", program, server_url=server_url, **key)["statuses"] == ["COMPLETED"] * 5
    older = run(older_python(), HERE / "older" / "smoke.py", server_url=server_url, **key)
    assert older["status"] == "COMPLETED"
    with pytest.raises(AssertionError, match="401"):
        run(older_python(), HERE / "older" / "smoke.py", server_url=server_url)
