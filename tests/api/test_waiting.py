"""What open workflows and tasks wait for, over REST and on the terminal."""

import asyncio
import io

import pytest
from rich.console import Console

from api.cli import describe
from api.cli.server import Server
from tests.api.rest_client import Rest, result, simple


async def test_open_workflow_says_what_it_waits_for_and_an_ended_one_does_not(rest: Rest) -> None:
    """The queue's pollers are those that this node has seen."""
    await rest.register("greetings", simple("greet"), simple("part"))
    path = f"/api/workflow/{await rest.text('POST', '/api/workflow/greetings', {})}"
    workflow = await rest.json("GET", path)
    (task,) = workflow["tasks"]
    assert task["waitingFor"]["kind"] == "WORKER"
    assert task["waitingFor"]["lastPollAtMs"] == 0
    assert task["waitingFor"]["sentence"].endswith("no worker has polled it here")
    assert workflow["waitingFor"]["kind"] == "TASKS"
    assert workflow["waitingFor"]["sentence"].startswith("greet: in the queue of type greet")
    assert "waitingFor" in await rest.json("GET", f"{path}?includeTasks=false")
    taken = await rest.take("greet")
    assert "waitingFor" not in taken
    async with asyncio.timeout(5):  # the claim of a poll is decided behind its answer
        while (found := await rest.json("GET", path))["tasks"][0]["status"] != "IN_PROGRESS":
            await asyncio.sleep(0)
    assert found["tasks"][0]["waitingFor"]["kind"] == "WORKER_AT_WORK"
    await rest.text("POST", "/api/tasks", result(taken))
    await rest.text("POST", "/api/tasks", result(await rest.take("part")))
    ended = await rest.json("GET", path)
    assert ended["status"] == "COMPLETED"
    assert "waitingFor" not in str(ended)


async def test_describe_shows_what_is_awaited(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the head and beside the task."""
    await rest.register("greetings", simple("ask", type="HUMAN"))
    workflow_id = await rest.text("POST", "/api/workflow/greetings", {})
    screen = io.StringIO()
    monkeypatch.setattr(describe, "Console", lambda: Console(file=screen, width=200))
    server = Server(str(rest.client.make_url("/")).rstrip("/"))
    await asyncio.to_thread(describe.describe, server, workflow_id, as_json=False)
    assert "waits for ask: a person has to complete it" in screen.getvalue()
    assert screen.getvalue().count("a person has to complete it") == 2
