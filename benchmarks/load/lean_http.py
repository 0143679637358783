"""HTTP/1.1 for load: keep-alive connections, one request at a time on each, answers by callback.

Holds as much of HTTP as this server speaks: a status, `Content-Length`, a body. Must not be generous: anything else
ends the run. Keeps the invariant that every request sent has exactly one answer, also when the server is killed
meanwhile: a patient lane sends it again to the next server.

A coroutine and a future per request, and a general client's headers, cookies and redirects, would cost more than the
server's work on some requests; see README for what they cost here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

import msgspec

from benchmarks.results import BenchmarkFailed

OnReply = Callable[[int, bytes], None]

_RECONNECT_PAUSE_S = 0.005
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"Content-Length: "


def get_request(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()


def post_request(path: str, body: bytes) -> bytes:
    """Return the bytes of a POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + _HEAD_END + body


class _Request(msgspec.Struct, frozen=True):
    content: bytes
    on_reply: OnReply


class Lane:
    """A bounded number of connections to one server; requests wait in line for a free one.

    An async context manager: entered, all connections stand.
    """

    def __init__(self, port: int, *, connections: int, patient: bool = False) -> None:
        """Connect to nothing yet. `patient`: a lost connection is made anew and its request sent again."""
        self._port = port
        self._connections = connections
        self._patient = patient
        self._idle: list[_Connection] = []
        self._waiting: deque[_Request] = deque()
        self._group = asyncio.TaskGroup()
        self._closing = False
        self._opened: list[_Connection] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for _ in range(self._connections):
            await self._connect()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._closing = True
        for connection in self._opened:
            connection.close()
        await self._group.__aexit__(None, None, None)

    def send(self, content: bytes, on_reply: OnReply) -> None:
        """Send a request as soon as a connection is free; `on_reply` is called with status and body."""
        request = _Request(content, on_reply)
        if self._idle:
            self._idle.pop().send(request)
        else:
            self._waiting.append(request)

    def freed(self, connection: "_Connection") -> None:
        """Take back a connection whose request has been answered."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: "_Connection", request: _Request | None) -> None:
        """Take note that a connection is gone, with the request that was not answered on it."""
        if self._closing:
            return
        if not self._patient:
            message = "the server closed a connection"
            raise BenchmarkFailed(message)
        if connection in self._idle:
            self._idle.remove(connection)
        self._opened.remove(connection)
        if request is not None:
            self._waiting.appendleft(request)
        self._group.create_task(self._connect(), name="reconnect")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            try:
                _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            except OSError:
                if not self._patient:
                    raise
                await asyncio.sleep(_RECONNECT_PAUSE_S)
            else:
                self._opened.append(connection)
                self.freed(connection)
                return


class _Connection(asyncio.Protocol):
    """One connection: at most one request is under way."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: asyncio.Transport | None = None
        self._request: _Request | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (a TCP connection; says so to the type checker)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        request, self._request = self._request, None
        self._lane.lost(self, request)

    def send(self, request: _Request) -> None:
        """Send a request; the connection is free."""
        self._request = request
        assert self._transport is not None  # noqa: S101 (connections are used once they stand)
        self._transport.write(request.content)

    def close(self) -> None:
        """Close the connection; what is under way is not answered any more."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(_HEAD_END)
        if head_end < 0:
            self._received = received
            return
        length_at = received.find(_LENGTH, 0, head_end)
        length = 0
        if length_at >= 0:
            length_end = received.find(b"\r", length_at)
            length = int(received[length_at + len(_LENGTH) : length_end])
        body_at = head_end + len(_HEAD_END)
        if len(received) < body_at + length:
            self._received = received
            return
        self._received = b""
        request, self._request = self._request, None
        if request is None or len(received) > body_at + length:
            message = f"more was received than one answer to one request: {received[:200]!r}"
            raise BenchmarkFailed(message)
        self._lane.freed(self)
        request.on_reply(int(received[9:12]), received[body_at:])
