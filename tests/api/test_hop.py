"""Requests for workflows of another process: two small applications behind the real middleware, on loopback."""

from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.access.gate import Gate
from api.app import surface
from api.hop import HOPPED_HEADER, Hop
from api.keys import GATE, HOP
from api.routing import Handler
from engine.ids import WorkflowId
from streams.service import NotOwner

PATH = "/api/workflow/{workflowId}/pause"


async def open_hop(app: web.Application) -> AsyncIterator[None]:
    """Open the session to other processes, as the application does."""
    async with app[HOP]:
        yield


def process(handler: Handler) -> web.Application:
    """Return a process with one route."""
    app = web.Application(middlewares=[surface])
    app[GATE] = Gate()
    app[HOP] = Hop()
    app.cleanup_ctx.append(open_hop)
    app.router.add_route("PUT", PATH, handler)
    return app


async def owner(request: web.Request) -> web.Response:
    """Answer with what came, so that the test sees it."""
    seen = {
        "path": request.rel_url.raw_path_qs,
        "body": (await request.read()).decode(),
        "hopped": request.headers.get(HOPPED_HEADER),
        "type": request.headers.get("Content-Type"),
    }
    return web.Response(body=orjson.dumps(seen), status=202, content_type="application/json")


async def test_request_is_repeated_at_the_owner_with_all_that_matters() -> None:
    """Path as it was encoded, query, body and type go there; status, body and type come back."""
    async with TestServer(process(owner)) as there:

        async def elsewhere(request: web.Request) -> web.Response:
            raise NotOwner(WorkflowId("w"), str(there.make_url("/")))

        async with TestClient(TestServer(process(elsewhere))) as client:
            response = await client.put("/api/workflow/a%2Fb/pause?reason=x%20y", data=b'{"a": 1}')
            seen = orjson.loads(await response.read())
    assert (response.status, response.content_type) == (202, "application/json")
    assert (seen["path"], seen["body"], seen["hopped"]) == ("/api/workflow/a%2Fb/pause?reason=x%20y", '{"a": 1}', "1")


async def test_request_that_has_hopped_does_not_hop_again() -> None:
    """Two processes that take each other for the owner do not play ball: 503, ask again."""

    async def elsewhere(request: web.Request) -> web.Response:
        raise NotOwner(WorkflowId("w"), "http://127.0.0.1:9")

    async with TestClient(TestServer(process(elsewhere))) as client:
        response = await client.put("/api/workflow/w/pause", headers={HOPPED_HEADER: "1"})
        error = orjson.loads(await response.read())
    assert (response.status, response.headers["Retry-After"], error["retryable"]) == (503, "1", True)
    assert "w" in error["message"]


async def test_request_waits_until_the_partition_has_an_owner() -> None:
    """While nobody is known to own it, the request is tried again here; it may have come here."""
    answers = iter([None, None, "here"])

    async def at_the_third_time(request: web.Request) -> web.Response:
        if next(answers) is None:
            raise NotOwner(WorkflowId("w"), None)
        return web.Response(text="done")

    async with TestClient(TestServer(process(at_the_third_time))) as client:
        response = await client.put("/api/workflow/w/pause")
        assert (response.status, await response.text()) == (200, "done")


async def test_owner_that_is_gone_is_given_up_when_another_is_known(free_port: int) -> None:
    """A dead process is in the log as the owner until the next one claims the partition."""
    async with TestServer(process(owner)) as there:
        urls = iter([f"http://127.0.0.1:{free_port}", str(there.make_url("/"))])

        async def elsewhere(request: web.Request) -> web.Response:
            raise NotOwner(WorkflowId("w"), next(urls))

        async with TestClient(TestServer(process(elsewhere))) as client:
            response = await client.put("/api/workflow/w/pause")
    assert response.status == 202


async def test_nobody_owns_it_in_time_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait has an end, and the answer says to ask again."""
    monkeypatch.setattr("api.hop.WAIT_MS_MAX", 120)

    async def nobody(request: web.Request) -> web.Response:
        raise NotOwner(WorkflowId("w"), None)

    async with TestClient(TestServer(process(nobody))) as client:
        response = await client.put("/api/workflow/w/pause")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
