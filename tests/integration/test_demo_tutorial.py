"""Claims about `docs/tutorial.md` and the worker it teaches: what is written there works when it is typed in.

Holds runs of the tutorial's own code blocks on a real server. Must not hold a second copy of them. Keeps the
claim that a reader who copies the blocks in their order gets the output that the text promises.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.processes import Processes, free_port
from deploy.demo.rest import PodiumServer

PROJECT = Path(__file__).parents[2]
TUTORIAL = (PROJECT / "docs" / "tutorial.md").read_text()
WRITTEN_URL = "http://127.0.0.1:8080"

pytestmark = pytest.mark.slow


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Yield what starts processes; everything is ended after the test."""
    with Processes(logs=tmp_path / "logs") as started:
        yield started


@pytest.fixture
def server(tmp_path: Path, processes: Processes) -> PodiumServer:
    """Return a Podium server with an empty data folder."""
    server = PodiumServer(f"http://127.0.0.1:{free_port()}")
    start_server(server, processes, tmp_path)
    return server


def start_server(server: PodiumServer, processes: Processes, tmp_path: Path) -> None:
    """Start Podium at a server's URL, on the data folder of this test; return when it is ready."""
    podium, port = Path(sys.executable).parent / "podium", server.url.rpartition(":")[2]
    command = [str(podium), "serve", "--data", str(tmp_path / "podium"), "--port", port]
    started = processes.start("server", command)
    give_up_at = time.monotonic() + 30
    while not server.is_healthy():
        assert started.process.poll() is None, started.last_words()
        assert time.monotonic() < give_up_at, started.last_words()


def blocks(language: str, server: PodiumServer) -> list[str]:
    """Return the tutorial's code blocks of one language, in order, with the URL of this server."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL, flags=re.DOTALL | re.MULTILINE)
    return [block.replace(WRITTEN_URL, server.url) for block in found]


def type_in(script: str) -> str:
    """Run lines of shell as a reader would, stopping at the first that fails; return what they printed."""
    run = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def ended(server: PodiumServer, workflow_id: str) -> dict[str, Any]:
    """Return a workflow as soon as it has ended."""
    give_up_at = time.monotonic() + 30
    while (workflow := server.workflow(workflow_id))["status"] == "RUNNING":
        assert time.monotonic() < give_up_at, workflow
    return workflow


def start_worker(processes: Processes, tmp_path: Path, code: str) -> None:
    """Save code as a file beside a copy of `worker.py`, and run it."""
    (tmp_path / "worker.py").write_bytes((PROJECT / "deploy" / "demo" / "worker.py").read_bytes())
    (tmp_path / "my_worker.py").write_text(code)
    processes.start("my_worker", [sys.executable, str(tmp_path / "my_worker.py")])


@pytest.mark.parametrize("worker", [0, 1], ids=["toy loop", "worker.py"])
def test_tutorial_typed_in_gives_the_output_that_it_promises(
    worker: int, server: PodiumServer, processes: Processes, tmp_path: Path
) -> None:
    """The shell blocks and either of the two Python workers bring the greeting to its end."""
    *until_worker, look = blocks("sh", server)

    said = type_in("\n".join([*until_worker, 'echo "id=$WORKFLOW_ID"']))
    start_worker(processes, tmp_path, blocks("python", server)[worker])
    workflow_id = said.rpartition("id=")[2].strip()
    workflow = ended(server, workflow_id)

    assert '"name":"Ada"' in said.replace(" ", "")
    assert workflow["status"] == "COMPLETED", workflow
    assert workflow["output"] == {"text": "Hello Ada", "letters": 9}
    assert workflow_id in type_in(f"PODIUM={server.url} WORKFLOW_ID={workflow_id}\n{look}")


def start_printing(server: PodiumServer, kind: str, *, response_timeout_seconds: int) -> str:
    """Register and start a workflow of one task, `press`, with one retry; return its id."""
    press: dict[str, Any] = {"name": "press", "retryCount": 1, "retryDelaySeconds": 0}
    press["responseTimeoutSeconds"] = response_timeout_seconds
    task: dict[str, Any] = {"name": "press", "taskReferenceName": "press_ref", "type": "SIMPLE"}
    task["inputParameters"] = {"kind": "${workflow.input.kind}"}
    definition = {"name": "printing", "version": 1, "schemaVersion": 2, "tasks": [task]}
    server.register(task_definitions=[press], workflow_definition=definition)
    return server.start(name="printing", version=1, workflow_input={"kind": kind})


HANDLERS = """
import sys
import time
from worker import TerminalFailure, Worker


def handler(task):
    kind = task["inputData"]["kind"]
    if kind == "slow":
        time.sleep(2.5)
    if kind == "terminal":
        raise TerminalFailure("the paper is upside down")
    if kind == "error":
        raise OSError("the paper is gone")
    if kind == "unsendable":
        return {"set": {1, 2}}
    return {"kind": kind}


Worker(server="http://127.0.0.1:8080", task_type="press", worker_id="press-1").run(handler)
"""


@pytest.mark.parametrize(
    ("kind", "status", "attempts", "reason"),
    [
        ("good", "COMPLETED", ["COMPLETED"], None),
        ("slow", "COMPLETED", ["COMPLETED"], None),
        ("terminal", "FAILED", ["FAILED_WITH_TERMINAL_ERROR"], "the paper is upside down"),
        ("error", "FAILED", ["FAILED", "FAILED"], "OSError: the paper is gone"),
        (
            "unsendable",
            "FAILED",
            ["FAILED", "FAILED"],
            "TypeError: Object of type set is not JSON serializable",
        ),
    ],
)
def test_worker_reports_every_outcome_of_its_handler(
    *,
    kind: str,
    status: str,
    attempts: list[str],
    reason: str | None,
    server: PodiumServer,
    processes: Processes,
    tmp_path: Path,
) -> None:
    """With one retry and a response timeout of a second, each attempt is told once, and none is lost."""
    start_worker(processes, tmp_path, HANDLERS.replace(WRITTEN_URL, server.url))

    workflow = ended(server, start_printing(server, kind, response_timeout_seconds=1))

    assert workflow["status"] == status, workflow
    assert [attempt["status"] for attempt in workflow["tasks"]] == attempts
    if reason is not None:
        assert {attempt["reasonForIncompletion"] for attempt in workflow["tasks"]} == {reason}


def test_worker_outlives_a_crash_of_the_server(server: PodiumServer, processes: Processes, tmp_path: Path) -> None:
    """The server is killed while the work goes on; its successor gets the result of the first attempt."""
    start_worker(processes, tmp_path, HANDLERS.replace(WRITTEN_URL, server.url))
    workflow_id = start_printing(server, "slow", response_timeout_seconds=60)
    give_up_at = time.monotonic() + 30
    while server.workflow(workflow_id)["tasks"][0]["status"] != "IN_PROGRESS":
        assert time.monotonic() < give_up_at, server.workflow(workflow_id)

    processes.kill("server")
    start_server(server, processes, tmp_path)
    workflow = ended(server, workflow_id)

    assert workflow["status"] == "COMPLETED", workflow
    assert [(attempt["status"], attempt["workerId"]) for attempt in workflow["tasks"]] == [("COMPLETED", "press-1")]
