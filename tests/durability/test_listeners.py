"""A server that is killed while a listener has a message and has not acknowledged it."""

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.json_value import JsonObject
from tests.durability.server import ServerProcess

WITHIN_S = 30


class Hook:
    """A listener that acknowledges when it may."""

    def __init__(self) -> None:
        """Acknowledge nothing yet."""
        self.may_acknowledge = asyncio.Event()
        self.got: list[tuple[str, JsonObject]] = []
        self._arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        """Take a message."""
        self.got.append((request.headers["Idempotency-Key"], await request.json()))
        self._arrived.set()
        await self.may_acknowledge.wait()
        return web.json_response({})

    async def wait_got(self, count: int) -> None:
        """Return when so many messages have come."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.got) < count:
                self._arrived.clear()
                await self._arrived.wait()


async def test_kill_nine_before_the_acknowledgement_tells_the_listener_again(tmp_path: Path, free_port: int) -> None:
    """The same message under the same id, before the next one of its workflow; what was acknowledged not again."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/hook", hook.handle)
    arguments = ("--data", str(tmp_path / "data"), "--allow-private-targets")
    async with (
        TestServer(app) as listener,
        ServerProcess(free_port, tmp_path / "server.log", *arguments) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        definition = {
            "name": "told",
            "tasks": [{"name": "n", "taskReferenceName": "n", "type": "NOOP"}],
            "workflowStatusListenerEnabled": True,
            "workflowStatusListenerSink": str(listener.make_url("/hook")),
        }
        async with session.post("/api/metadata/workflow", json=definition) as reply:
            assert reply.status == 200
        async with session.post("/api/workflow", json={"name": "told"}) as reply:
            workflow_id = await reply.text()
        await hook.wait_got(1)
        server.kill()
        hook.may_acknowledge.set()
        await server.start()
        await hook.wait_got(3)
    assert [message["event"] for _, message in hook.got] == ["started", "started", "completed"]
    assert hook.got[0] == hook.got[1]
    assert all(key == message["messageId"] for key, message in hook.got)
    assert {message["workflowId"] for _, message in hook.got} == {workflow_id}
