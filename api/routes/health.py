"""Whether the server can work, and which one it is.

Must not judge: the node does. Keeps the invariant that 200 means that a start would be taken now.

Source: Conductor's `HealthCheckResource`, `VersionResource`.
"""

from aiohttp import web

from api.access.permissions import Need
from api.keys import node_of
from api.routing import JSON, Reply, Route, shows, tells
from api.version import version
from api.wire.outcomes import Health
from api.wire.replies import json_reply, text_reply

_HEALTH = shows(
    Health,
    "The server can work.",
    Reply(status=503, about="It cannot work, and says why.", media=JSON, of=Health),
)


def routes() -> tuple[Route, ...]:
    """Return the routes of health and version. Probes ask at the root, clients under `/api`."""
    return (
        Route.get("/health", get_health, Need.NOTHING, replies=_HEALTH),
        Route.get("/api/health", get_health, Need.NOTHING, replies=_HEALTH),
        Route.get("/api/version", get_version, Need.NOTHING, replies=tells("The version.")),
    )


async def get_health(request: web.Request) -> web.Response:
    """Answer with what is well and what is not: 200 if the server can work, else 503."""
    health = await node_of(request).health()
    return json_reply(health, 200 if health.get("healthy") else 503)


async def get_version(request: web.Request) -> web.Response:
    """Answer with the version."""
    return text_reply(version())
