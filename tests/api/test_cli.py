"""The `podium` command, as a process against a server process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from api.cli.server import Server

PODIUM = [sys.executable, "-m", "api.cli"]
DONE_AT_ONCE = {
    "name": "quick",
    "tasks": [
        {
            "name": "set",
            "taskReferenceName": "set",
            "type": "SET_VARIABLE",
            "inputParameters": {"a": "${workflow.input.a}"},
        }
    ],
    "outputParameters": {"a": "${workflow.variables.a}"},
}
FAILS_AT_ONCE = {
    "name": "fails",
    "tasks": [
        {
            "name": "stop",
            "taskReferenceName": "stop",
            "type": "TERMINATE",
            "inputParameters": {"terminationStatus": "FAILED", "terminationReason": "as planned"},
        }
    ],
}


def podium(*arguments: str, text_in: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*PODIUM, *arguments], input=text_in, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the server's data."""
    return tmp_path_factory.mktemp("podium") / "data"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[str]:
    """A server process with two workflow definitions; its address."""
    with subprocess.Popen(
        [*PODIUM, "serve", "--port", "0", "--data", str(data)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            lines = map(orjson.loads, process.stderr)
            url = next(str(line["url"]) for line in lines if line["event"] == "listening")
            next(line for line in lines if line["event"] == "serving")
            for definition in (DONE_AT_ONCE, FAILS_AT_ONCE):
                Server(url).text("POST", "/api/metadata/workflow", definition)
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert process.returncode == 0


def test_start_prints_the_id_and_describe_shows_the_workflow(server: str) -> None:
    """Standard output is the id and nothing else; `describe` takes it."""
    started = podium("start", "quick", "--input", '{"a": 5}', "--server", server)
    assert started.returncode == 0, started.stderr
    workflow_id = started.stdout.strip()
    described = podium("describe", workflow_id, "--server", server + "/api")
    assert described.returncode == 0, described.stderr
    for word in (workflow_id, "quick", "COMPLETED", "SET_VARIABLE"):
        assert word in described.stdout
    as_json = orjson.loads(podium("describe", workflow_id, "--json", "--server", server).stdout)
    assert as_json["output"] == {"a": 5}


def test_start_that_waits_prints_the_output_or_exits_with_1(server: str, tmp_path: Path) -> None:
    """A script reads the output, or sees that the workflow failed and why."""
    given = tmp_path / "input.json"
    given.write_text('{"a": [1]}')
    completed = podium("start", "quick", "--input", f"@{given}", "--wait", "--server", server)
    assert (completed.returncode, orjson.loads(completed.stdout)) == (0, {"a": [1]})
    piped = podium("start", "quick", "--input", "@-", "--wait", "--server", server, text_in='{"a": 2}')
    assert orjson.loads(piped.stdout) == {"a": 2}
    failed = podium("start", "fails", "--wait", "--server", server)
    assert failed.returncode == 1
    assert "as planned" in failed.stderr


def test_refusal_of_the_server_is_told_in_its_words_with_exit_code_1(server: str) -> None:
    """An unknown definition, an unknown workflow."""
    refused = podium("start", "nobody", "--server", server)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nobody" in refused.stderr
    unknown = podium("describe", "nope", "--server", server)
    assert unknown.returncode == 1
    assert "nope" in unknown.stderr


def test_second_server_on_the_same_directory_is_refused(server: str, data: Path) -> None:
    """One sentence that says what to do, not a traceback."""
    second = podium("serve", "--port", "0", "--data", str(data))
    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert str(data) in second.stderr


def test_second_server_on_the_same_port_is_refused(server: str, tmp_path: Path) -> None:
    """Before anything is opened."""
    port = server.rpartition(":")[2]
    second = podium("serve", "--port", port, "--data", str(tmp_path / "other"))
    assert second.returncode == 1
    assert port in second.stderr
    assert not (tmp_path / "other").exists()


def test_replay_beside_a_running_server(server: str, data: Path) -> None:
    """The log is only read, so nobody has to stop the server to see what happened."""
    Server(server).text("POST", "/api/metadata/workflow?overwrite=true", DONE_AT_ONCE)
    workflow_id = Server(server).text("POST", "/api/workflow", {"name": "quick", "input": {"a": 6}})
    replayed = podium("replay", workflow_id, "--data", str(data))
    assert replayed.returncode == 0, replayed.stderr
    for word in ("workflow_started", "COMPLETED", 'variables {"a":6}'):
        assert word in replayed.stdout


def test_replay_without_a_log_says_where_it_looked(tmp_path: Path) -> None:
    """One sentence that names the directory, not a traceback."""
    refused = podium("replay", "any", "--data", str(tmp_path))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert str(tmp_path) in refused.stderr


def test_replay_of_a_stopped_server(tmp_path: Path) -> None:
    """Every event as a line, then the state that they lead to; an unknown id is exit code 1."""
    data = tmp_path / "data"
    with subprocess.Popen(
        [*PODIUM, "serve", "--port", "0", "--data", str(data)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = map(orjson.loads, process.stderr)
        url = next(str(line["url"]) for line in lines if line["event"] == "listening")
        Server(url).text("POST", "/api/metadata/workflow", DONE_AT_ONCE)
        workflow_id = Server(url).text("POST", "/api/workflow", {"name": "quick", "input": {"a": 5}})
        process.terminate()
        process.communicate(timeout=30)
    replayed = podium("replay", workflow_id, "--data", str(data))
    assert replayed.returncode == 0, replayed.stderr
    for word in ("workflow_started", "variables_set", "workflow_ended", "COMPLETED", 'variables {"a":5}'):
        assert word in replayed.stdout
    assert podium("replay", "nope", "--data", str(data)).returncode == 1


def test_unreachable_server_is_exit_code_3_with_what_to_do(free_port: int) -> None:
    """The sentence names the address and the way to start a server."""
    failed = podium("start", "quick", "--server", f"http://127.0.0.1:{free_port}")
    assert failed.returncode == 3
    assert str(free_port) in failed.stderr
    assert "podium serve" in failed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "quick", "--input", "[1]"],
        ["start", "quick", "--input", "@/nowhere.json"],
        ["start", "quick", "--priority", "500"],
        ["start"],
        ["describe", "x", "--server", "ftp://x"],
        ["serve", "--host", "0.0.0.0"],  # noqa: S104 (that is the point)
        ["serve", "--port", "99999"],
        ["nothing"],
    ],
    ids=" ".join,
)
def test_wrong_call_is_exit_code_2(arguments: list[str]) -> None:
    """And says what was wrong, without a traceback."""
    failed = podium(*arguments)
    assert failed.returncode == 2
    assert failed.stderr
    assert "Traceback" not in failed.stderr


def test_version_is_printed() -> None:
    """One line."""
    assert podium("version").stdout.strip()
