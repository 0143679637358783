"""The HTTP application: every route, and what happens around each.

Holds the assembly and the one middleware: errors become JSON, requests of another process's workflows hop
there, mutating requests leave one log line. Must not open the node: the composition root brings it. Keeps the
invariant that whatever is asked, the answer is one that Conductor's clients understand.

One middleware, not three: each costs every request a coroutine, and the hot routes are short.
"""

import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import web

from api.access.gate import Gate
from api.access.guard import PRINCIPAL
from api.access.permissions import Need
from api.errors import RETRY_AFTER_SECONDS, ApiError, error_body, error_json, status_of
from api.hop import Hop
from api.keys import DECLARED, GATE, GRAPHS, HOP, NODE
from api.routes.table import ROUTES
from api.routing import Handler, needs_of
from api.wire.replies import json_reply
from streams.errors import StreamsError
from streams.service import Node, NotOwner

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one request, decompressed, if the settings do not say otherwise."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NEEDS: Final = needs_of(ROUTES)
"""What is not here is aiohttp's own: the answers that there is no such route or no such method."""
_BUSY: Final = frozenset(route.handler for route in ROUTES if route.busy)
_UNAUTHORIZED: Final = 401
_UNAVAILABLE: Final = 503
_SERVER_ERROR: Final = 500

_log = structlog.get_logger(__name__)


def build_app(node: Node, *, gate: Gate | None = None, body_bytes_max: int = BODY_BYTES_MAX) -> web.Application:
    """Return the application that serves a node, to everybody unless a gate asks for credentials.

    Bodies may have `body_bytes_max` bytes, decompressed.
    """
    app = web.Application(client_max_size=body_bytes_max, middlewares=[surface])
    app[NODE] = node
    app[GRAPHS] = node.graphs
    app[HOP] = Hop()
    app[GATE] = gate or Gate()
    app[DECLARED] = ROUTES
    app.cleanup_ctx.append(_open_hop)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    return app


@web.middleware
async def surface(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request, whatever happens inside."""
    if request.method in _SAFE_METHODS or handler in _BUSY:
        return await _answered(request, handler)
    begun = time.perf_counter()
    response = await _answered(request, handler)
    _log.info(
        "request",
        method=request.method,
        path=request.rel_url.raw_path,
        status=response.status,
        ms=round((time.perf_counter() - begun) * 1000, 1),
    )
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        request[PRINCIPAL] = await request.config_dict[GATE].admit(request, _NEEDS.get(handler, Need.NOTHING))
        return await handler(request)
    except NotOwner as away:
        try:
            return await request.config_dict[HOP].answer(request, handler, away)
        except (ApiError, StreamsError) as error:
            return _error_reply(error)
    except (ApiError, StreamsError) as error:
        return _error_reply(error)
    except web.HTTPException as error:
        return _http_reply(request, error)
    except Exception as error:  # noqa: BLE001 (the last line of defence: no client may see a traceback)
        # A defect. The client learns that there was one, the log learns what it was.
        _log.exception("request_failed", method=request.method, path=request.rel_url.raw_path)
        message = f"{request.method} {request.path} failed inside the server: {type(error).__name__}"
        return json_reply(error_json(_SERVER_ERROR, message, code="INTERNAL"), _SERVER_ERROR)


def _error_reply(error: ApiError | StreamsError) -> web.Response:
    status = status_of(error)
    reply = web.Response(status=status, body=error_body(error), content_type="application/json")
    if status == _UNAUTHORIZED:
        reply.headers["WWW-Authenticate"] = "Bearer"
    if status == _UNAVAILABLE:
        reply.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return reply


def _http_reply(request: web.Request, error: web.HTTPException) -> web.Response:
    """Say in JSON what aiohttp would say in text: no such route, no such method, a request that breaks the protocol."""
    match error:
        case web.HTTPNotFound():
            message, code = f"there is no route {request.path}", "ROUTE_NOT_FOUND"
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message, code = f"{request.path} takes {allowed}, not {request.method}", "METHOD_NOT_ALLOWED"
        case _:
            message, code = error.text or error.reason, "HTTP_ERROR"
    reply = json_reply(error_json(error.status, message, code=code), error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        reply.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return reply


async def _open_hop(app: web.Application) -> AsyncIterator[None]:
    async with app[HOP]:
        yield
