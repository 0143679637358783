"""The hop to the process that owns a workflow.

Holds the repetition of a whole request at the owner, and the wait while nobody owns the partition. Must not
interpret what goes through. Keeps the invariant that a request hops once: a process that is asked on behalf
of another answers for itself, or 503.
"""

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final, Self

import aiohttp
import msgspec
import structlog
from aiohttp import web
from yarl import URL

from api.errors import TryLater
from api.routing import Handler
from api.wire.reading import read_bytes
from streams.service import NotOwner

HOPPED_HEADER: Final = "X-Podium-Hopped"
WAIT_MS_MAX: Final = 9_000
"""For an owner, in all.

A partition of a process that died changes hands within the session timeout (6 s) and a second or two.
"""
PAUSE_MS: Final = 50
"""Between two looks for an owner."""
HOP_MS_MAX: Final = 30_000
"""For the owner's answer: longer than its own wait for a decision, and than a long poll."""
CONNECTIONS_MAX: Final = 5_000
"""To other processes, in all. Long polls hop too, and each holds a connection while it waits."""

_PASSED_ON: Final = ("Content-Type", "Accept")
_CREDENTIALS: Final = ("Authorization", "X-Authorization")
_REPEATABLE: Final = frozenset({"GET", "HEAD"})
"""Asking twice changes nothing, so no answer is as good as no connection."""
_PASSED_BACK: Final = ("Content-Type", "Retry-After")

_log = structlog.get_logger(__name__)


class HopAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner answered."""

    status: int
    body: bytes
    headers: dict[str, str]


class OwnerUnreachable(Exception):
    """The owner was not reached: it has not seen the request, or the request can be repeated without harm."""


class Hop:
    """Calls to other processes of the cluster. An async context manager; opens no connection before the first call."""

    def __init__(self) -> None:
        """Make it. Enter it before the first request is served."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(total=HOP_MS_MAX / 1000, sock_connect=2),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        request: web.Request,
        owner: str,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> HopAnswer:
        """Ask another process on behalf of a request, with its credential; that process answers for itself.

        `path` is encoded, with its query.

        Raises:
            OwnerUnreachable: no connection, so nothing was sent; or no answer to a question that can be asked again.
            TryLater: it was sent, and no answer came.
        """
        if self._session is None:
            message = "the session to other processes is not open"
            raise OwnerUnreachable(message)
        url = URL(owner.rstrip("/") + path, encoded=True)
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers={**headers, **_credentials(request), HOPPED_HEADER: "1"},
                allow_redirects=False,
            ) as response:
                passed_back = {name: response.headers[name] for name in _PASSED_BACK if name in response.headers}
                return HopAnswer(status=response.status, body=await response.read(), headers=passed_back)
        except aiohttp.ClientConnectorError as error:
            raise OwnerUnreachable(str(error)) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if method in _REPEATABLE:
                raise OwnerUnreachable(str(error)) from error
            message = f"{owner} owns the workflow and did not answer: {error!r}"
            raise TryLater(message) from error

    async def answer(self, request: web.Request, handler: Handler, away: NotOwner) -> web.StreamResponse:
        """Answer a request whose workflow lives elsewhere, or nowhere yet: at its owner, or here once it came here.

        Raises:
            TryLater: the request has hopped already, or no owner answered in time.
        """
        if is_hopped(request):
            message = f"{away}, not by the process that was asked on behalf of another: ask again"
            raise TryLater(message) from away
        deadline = time.monotonic() + WAIT_MS_MAX / 1000
        while True:
            if away.url is not None:
                try:
                    return await self.repeat(request, away.url)
                except OwnerUnreachable as error:
                    _log.info("owner_unreachable", owner=away.url, workflow_id=away.workflow_id, error=str(error))
            if time.monotonic() >= deadline:
                message = f"{away}; no owner answered within {WAIT_MS_MAX} ms: ask again"
                raise TryLater(message) from away
            await asyncio.sleep(PAUSE_MS / 1000)
            try:
                return await handler(request)
            except NotOwner as still_away:
                away = still_away

    async def repeat(self, request: web.Request, owner: str) -> web.Response:
        """Answer a request with what its owner answers.

        Raises:
            OwnerUnreachable: no connection: nothing was sent.
            TryLater: it was sent, and no answer came.
        """
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        path = request.rel_url.raw_path_qs
        body = await read_bytes(request)
        answer = await self.call(request, owner, request.method, path, body=body, headers=headers)
        return web.Response(status=answer.status, body=answer.body or None, headers=answer.headers)


def _credentials(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _CREDENTIALS if name in request.headers}


def is_hopped(request: web.Request) -> bool:
    """Tell whether another process asks on behalf of its client."""
    return HOPPED_HEADER in request.headers
