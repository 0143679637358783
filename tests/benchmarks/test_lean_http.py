"""Claims about the client that makes the load."""

import asyncio
import functools

from aiohttp import web

from benchmarks.load.lean_http import Lane, get_request, post_request
from benchmarks.load.peer import failing_loudly


async def _serving(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def _echo() -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(body=body) if body else web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    return app


async def test_every_request_gets_its_own_answer(free_port: int) -> None:
    """More requests than connections wait in line, and large bodies come whole."""
    runner = await _serving(_echo(), free_port)
    bodies = [b"x" * size for size in (1, 10, 200_000, 3, 70_000)]
    answers: dict[int, tuple[int, bytes]] = {}
    over = asyncio.Event()

    def answered(number: int, status: int, body: bytes) -> None:
        answers[number] = (status, body)
        if len(answers) == len(bodies):
            over.set()

    async with failing_loudly(), Lane(free_port, connections=2) as lane:
        for number, body in enumerate(bodies):
            lane.send(post_request("/echo", body), functools.partial(answered, number))
        await asyncio.wait_for(over.wait(), 10)
    await runner.cleanup()

    assert answers == {number: (200, body) for number, body in enumerate(bodies)}


async def test_an_answer_without_a_body_is_an_answer(free_port: int) -> None:
    """204 has no length and is complete with its head."""
    runner = await _serving(_echo(), free_port)
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async with Lane(free_port, connections=1) as lane:
        lane.send(get_request("/echo"), lambda status, body: answer.set_result((status, body)))
        assert await asyncio.wait_for(answer, 10) == (204, b"")
    await runner.cleanup()


async def test_a_patient_lane_sends_again_to_the_next_server(free_port: int) -> None:
    """A request that the server took to its death is answered by the one after it."""
    taken = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        taken.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("POST", "/echo", hang)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async with Lane(free_port, connections=1, patient=True) as lane:
        lane.send(post_request("/echo", b"once"), lambda _, body: answer.set_result(body))
        await asyncio.wait_for(taken.wait(), 10)
        await runner.cleanup()
        runner = await _serving(_echo(), free_port)
        assert await asyncio.wait_for(answer, 10) == b"once"
    await runner.cleanup()
