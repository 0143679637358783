"""What a request costs the harness: its own client beside aiohttp's.

Holds the comparison that decided which of them makes the load. Must not include a real server. Keeps the invariant that
both send the same requests over the same number of connections.
"""

import asyncio
import time

import aiohttp

from benchmarks.load.lean_http import Lane, post_request
from benchmarks.load.peer import Peer
from benchmarks.micro.stub_server import StubConfig
from benchmarks.results import Result
from deploy.kafka.broker import free_ports

CONNECTIONS = 32
_BODY = b'{"workflowInstanceId":"w","taskId":"w~1","status":"COMPLETED","outputData":{"number":1}}'
_PATH = "/api/tasks"


def run_client_cost(*, requests: int = 20_000) -> Result:
    """Send requests with either client to a stub and compare the CPU time of this process."""
    port = free_ports(1)[0]
    with Peer("benchmarks.micro.stub_server", StubConfig(port=port)) as stub:
        stub.hear(within_s=30)
        lean_s = asyncio.run(_with_lean(port, requests))
        aiohttp_s = asyncio.run(_with_aiohttp(port, requests))
    return Result(
        case="clients of the harness",
        figures={
            "requests": requests,
            "lean_cpu_us_per_request": 1e6 * lean_s / requests,
            "aiohttp_cpu_us_per_request": 1e6 * aiohttp_s / requests,
        },
    )


async def _with_lean(port: int, requests: int) -> float:
    over = asyncio.Event()
    left = requests

    def answered(status: int, body: bytes) -> None:
        nonlocal left
        left -= 1
        if left >= CONNECTIONS:
            lane.send(post_request(_PATH, _BODY), answered)
        elif not left:
            over.set()

    async with Lane(port, connections=CONNECTIONS) as lane:
        begun = time.process_time()
        for _ in range(CONNECTIONS):
            lane.send(post_request(_PATH, _BODY), answered)
        await over.wait()
        return time.process_time() - begun


async def _with_aiohttp(port: int, requests: int) -> float:
    url = f"http://127.0.0.1:{port}{_PATH}"

    async def send_some(session: aiohttp.ClientSession) -> None:
        for _ in range(requests // CONNECTIONS):
            async with session.post(url, data=_BODY, headers={"Content-Type": "application/json"}) as reply:
                await reply.read()

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        begun = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(send_some(session), name="send-some")
        return time.process_time() - begun
