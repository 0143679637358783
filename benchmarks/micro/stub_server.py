"""A server that answers every request with the same few bytes: what is left is the client's cost.

Must not parse more than it needs to find a request's end. Keeps the invariant that it costs less than any client.

Run as `python -m benchmarks.micro.stub_server CONFIG`.
"""

import asyncio
import signal
import sys

import msgspec

from benchmarks.load.peer import say

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 36\r\n\r\n"
    b"00000000-0000-0000-0000-000000000000"
)


class StubConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen."""

    port: int


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (says so to the type checker)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"}", b"\r\n\r\n")):
            self._transport.write(_ANSWER)


async def serve(config: StubConfig) -> None:
    """Serve until SIGTERM."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    server = await loop.create_server(_Answering, "127.0.0.1", config.port)
    say("ready")
    await told.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=StubConfig)))
