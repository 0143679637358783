"""A secret that is planted where workflows use it, and looked for everywhere else."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from engine.json_value import JsonObject
from streams.history.clients import open_clients
from streams.history.settings import HistorySettings
from tests.durability.server import ServerProcess

CANARY = "canary-5f1c9d7e"
IN_ENVIRONMENT = "canary-of-the-environment-8831"
WITHIN_S = 30


def definition(port: int) -> JsonObject:
    """Return a workflow that hands the secret to a worker, a request, a request that fails, and a script."""
    token = "${workflow.secrets.TOKEN}"
    request = {
        "uri": f"http://127.0.0.1:{port}/take",
        "method": "POST",
        "headers": {"X-Token": token},
        "body": {"t": token},
    }
    broken = {"uri": f"http://127.0.0.1:1/{token}?k={token}", "method": "GET", "headers": {"X-Bad": f"{token}\n"}}
    away = {"uri": f"http://127.0.0.1:1/?k={token}", "method": "GET"}
    tasks: list[JsonObject] = [
        {
            "name": "use",
            "taskReferenceName": "use",
            "type": "SIMPLE",
            "inputParameters": {"a": ["x", f"Bearer {token}"]},
        },
        {"name": "h", "taskReferenceName": "request", "type": "HTTP", "inputParameters": {"http_request": request}},
        {
            "name": "h",
            "taskReferenceName": "broken",
            "type": "HTTP",
            "optional": True,
            "inputParameters": {"http_request": broken},
        },
        {
            "name": "h",
            "taskReferenceName": "away",
            "type": "HTTP",
            "optional": True,
            "inputParameters": {"http_request": away},
        },
        {
            "name": "i",
            "taskReferenceName": "script",
            "type": "INLINE",
            "inputParameters": {
                "t": token,
                "e": "${workflow.env.MARK}",
                "expression": "$.t.length * 1000 + $.e.length",
            },
        },
        {
            "name": "i",
            "taskReferenceName": "thrown",
            "type": "INLINE",
            "optional": True,
            "inputParameters": {"t": token, "expression": "(() => { throw new Error($.t) })()"},
        },
        {"name": "late", "taskReferenceName": "late", "type": "SIMPLE", "inputParameters": {"t": token}},
    ]
    return {"name": "canary", "version": 1, "schemaVersion": 2, "ownerEmail": "a@example.com", "tasks": tasks}


class Client:
    """REST, with every answer kept."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Ask `url`."""
        self._session = session
        self._url = url
        self.answers: list[str] = []

    async def ask(self, method: str, path: str, body: object = None, *, handed_out: bool = False) -> str:
        """Return the body of an answer. The tasks that are handed out may hold the secret, nothing else may."""
        async with self._session.request(method, f"{self._url}/api{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status < 300, text
        if not handed_out:
            self.answers.append(text)
        return text

    async def poll(self, task_type: str) -> JsonObject:
        """Return a task as soon as there is one."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                text = await self.ask(
                    "GET", f"/tasks/poll/batch/{task_type}?count=1&timeout=500&workerid=w", handed_out=True
                )
                for task in json.loads(text):
                    return dict(task)

    async def complete(self, task: JsonObject) -> None:
        """Report that a task is done."""
        result = {"workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"], "status": "COMPLETED"}
        await self.ask("POST", "/tasks", {**result, "outputData": {"done": True}})

    async def ended(self, workflow_id: str) -> JsonObject:
        """Return a workflow when it has ended."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                workflow = dict(json.loads(await self.ask("GET", f"/workflow/{workflow_id}")))
                if workflow["status"] != "RUNNING":
                    return workflow
                await asyncio.sleep(0.1)  # asked again: the workflow runs by itself

    async def searchable(self, name: str) -> None:
        """Return when the history has a workflow's end."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = json.loads(await self.ask("GET", f"/workflow/search?query=workflowType='{name}'"))
                if [one for one in found["results"] if one["status"] == "COMPLETED"]:
                    return
                await asyncio.sleep(0.1)  # asked again: the projection follows by itself


@pytest.fixture
async def taken() -> AsyncIterator[tuple[int, list[str]]]:
    """A service that takes the secret, and what it was given."""
    given: list[str] = []

    async def take(request: web.Request) -> web.Response:
        given.append(request.headers["X-Token"] + await request.text())
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/take", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1], given
    await runner.cleanup()


@pytest.mark.slow
async def test_secret_reaches_who_needs_it_and_is_found_nowhere_else(
    tmp_path: Path, free_port: int, taken: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the log, the snapshots, the history, the output or any view, after failures, a crash and a stop."""
    port, given = taken
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "TOKEN").write_text(CANARY + "\n")
    monkeypatch.setenv("MARK", IN_ENVIRONMENT)
    data, log = tmp_path / "data", tmp_path / "server.log"
    arguments = ["--data", str(data), "--secrets-dir", str(secrets), "--env-name", "MARK", "--log-level", "debug"]
    arguments += ["--allow-private-targets", "--snapshot-every-ms", "100"]
    async with ServerProcess(free_port, log, *arguments) as server, aiohttp.ClientSession() as session:
        client = Client(session, server.url)
        await client.ask("POST", "/metadata/workflow", definition(port))
        workflow_id = await client.ask("POST", "/workflow/canary", {})

        task = await client.poll("use")
        assert task["inputData"] == {"a": ["x", f"Bearer {CANARY}"]}
        await client.complete(task)
        server.kill()  # with requests and scripts under way
        await server.start()
        late = await client.poll("late")
        assert late["inputData"] == {"t": CANARY}
        for path in (f"/tasks/{late['taskId']}", f"/workflow/{workflow_id}/tasks", "/tasks/queue/all"):
            await client.ask("GET", path)
        await client.complete(late)
        workflow = await client.ended(workflow_id)
        tasks = {task["referenceTaskName"]: task for task in workflow["tasks"]}
        await client.ask("GET", f"/workflow/{workflow_id}/status?includeOutput=true")
        await client.searchable("canary")
        server.kill(signal.SIGTERM)

    assert workflow["status"] == "COMPLETED"
    assert given
    assert set(given) == {CANARY + json.dumps({"t": CANARY}, separators=(",", ":"))}
    assert tasks["script"]["outputData"] == {"result": len(CANARY) * 1000 + len(IN_ENVIRONMENT)}
    assert [tasks[ref]["status"] for ref in ("broken", "away", "thrown")] == ["COMPLETED_WITH_ERRORS"] * 3
    assert "***" in tasks["thrown"]["reasonForIncompletion"]
    for mark in (CANARY, IN_ENVIRONMENT):
        assert [answer for answer in client.answers if mark in answer] == []
        assert mark not in log.read_text()
        assert files_with(data, mark.encode()) == []
    history = rows_of(data / "history")  # its files are compressed, so its rows are looked through as well
    for text in (CANARY, IN_ENVIRONMENT):
        assert text not in history
    assert "workflow.secrets.TOKEN" in history  # the same search does find what is there
    assert files_with(data, b"workflow.secrets.TOKEN") != []


@pytest.mark.slow
async def test_secret_that_is_not_there_fails_the_task_for_good(tmp_path: Path, free_port: int) -> None:
    """With a reason that says what to do, as soon as somebody would take the task."""
    async with (
        ServerProcess(free_port, tmp_path / "log", "--data", str(tmp_path / "data")) as server,
        aiohttp.ClientSession() as session,
    ):
        client = Client(session, server.url)
        task = {
            "name": "use",
            "taskReferenceName": "use",
            "type": "SIMPLE",
            "inputParameters": {"a": "${workflow.env.HOME}"},
        }
        await client.ask("POST", "/metadata/workflow", {"name": "w", "schemaVersion": 2, "tasks": [task]})
        workflow_id = await client.ask("POST", "/workflow/w", {})

        polled = await client.ask("GET", "/tasks/poll/batch/use?count=1&timeout=200&workerid=w")
        workflow = await client.ended(workflow_id)

    assert json.loads(polled) == []
    assert workflow["status"] == "FAILED"
    assert workflow["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert "the environment variable 'HOME' is not known to the server: name it with --env-name" in str(workflow)
    assert os.environ["HOME"] not in str(workflow["tasks"][0]["inputData"])


def files_with(folder: Path, mark: bytes) -> list[str]:
    """Return the files under a folder whose bytes contain a mark."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in files if mark in path.read_bytes()]


def rows_of(folder: Path) -> str:
    """Return every row of every table of a history, as text."""
    clients = open_clients(HistorySettings(directory=folder))
    try:
        tables = clients.lookups.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
        return "\n".join(str(clients.lookups.rows(f"SELECT * FROM `{name}`")) for (name,) in tables)  # noqa: S608
    finally:
        clients.close()
