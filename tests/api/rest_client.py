"""A client of the REST interface in the words of the tests.

Holds what a test says often: ask, and the answer must look so. Must not know a running server. Keeps the
invariants that an answer of another status or type than expected fails the test with the server's words, and that
every answer is what the document of the interface says.
"""

from typing import Any

import orjson
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from engine.json_value import JsonObject, JsonValue
from streams.service import Node
from tests.api.described import check_answer


class Rest:
    """What a client can do, in the words of the tests."""

    def __init__(self, client: TestClient[web.Request, web.Application], node: Node) -> None:
        self.client = client
        self.node = node

    async def call(self, method: str, path: str, body: JsonValue = None, **options: Any) -> ClientResponse:  # noqa: ANN401 (options of the client)
        """Send a request, the body as JSON if there is one, and read the whole answer."""
        if body is not None:
            options["data"] = orjson.dumps(body)
            options.setdefault("headers", {"Content-Type": "application/json"})
        response = await self.client.request(method, path, **options)
        await response.read()
        await check_answer(method, response)
        return response

    async def json(self, method: str, path: str, body: JsonValue = None, *, status: int = 200) -> JsonValue:
        """Return the JSON of an answer that must have a status."""
        response = await self.call(method, path, body)
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        return orjson.loads(await response.read())

    async def text(self, method: str, path: str, body: JsonValue = None) -> str:
        """Return the text of an answer that must be 200 and text."""
        response = await self.call(method, path, body)
        assert response.status == 200, await response.text()
        assert response.content_type == "text/plain"
        return await response.text()

    async def done(self, method: str, path: str, body: JsonValue = None, *, status: int = 200) -> None:
        """Ask for something that answers nothing: an empty body and no Content-Type."""
        response = await self.call(method, path, body)
        assert response.status == status, await response.text()
        assert await response.read() == b""
        assert "Content-Type" not in response.headers

    async def refused(self, method: str, path: str, body: JsonValue = None, *, status: int) -> JsonObject:
        """Return the error of an answer that must refuse with a status."""
        error: JsonObject = await self.json(method, path, body, status=status)
        assert error["status"] == status
        assert error["message"]
        return error

    async def register(self, name: str, *tasks: JsonObject, **fields: object) -> None:
        """Register a workflow definition."""
        await self.done("POST", "/api/metadata/workflow", {"name": name, "tasks": tasks, **fields})

    async def poll(self, task_type: str, *, count: int = 1, timeout_ms: int = 1_000) -> list[JsonObject]:
        """Return the tasks of a batch poll."""
        path = f"/api/tasks/poll/batch/{task_type}?workerid=w1&count={count}&timeout={timeout_ms}"
        tasks: list[JsonObject] = await self.json("GET", path)
        return tasks

    async def take(self, task_type: str) -> JsonObject:
        """Return the one task that must be there."""
        (task,) = await self.poll(task_type)
        return task


def simple(ref: str, **fields: object) -> JsonObject:
    """Return a SIMPLE task of a definition, named as its reference."""
    return {"name": ref, "taskReferenceName": ref, "type": "SIMPLE", **fields}


def result(task: JsonObject, status: str = "COMPLETED", **fields: object) -> JsonObject:
    """Return the report on a polled task."""
    named = {"workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"]}
    return {**named, "workerId": "w1", "status": status, "outputData": {}, **fields}
