"""Who the caller is: a token for a key, and what it grants.

Must not check anything itself: the gate does. Keeps the invariant that a server which asks for no credentials has no
such route, because Conductor's clients take a 404 for that and go on without.

Source: Orkes' `POST /api/token`, `GET /api/token/userInfo`.
"""

from aiohttp import web

from api.access.guard import principal_of
from api.access.permissions import Need
from api.errors import NotFound
from api.keys import GATE
from api.routing import Route, needed, shows
from api.wire.outcomes import Caller, Token
from api.wire.reading import read_object
from api.wire.replies import json_reply
from api.wire.violations import Wire, validated


class TokenRequest(Wire):
    """What the holder of a key sends for a token."""

    key_id: str
    key_secret: str


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/token`."""
    token = shows(Token, "The token, valid for an hour.")
    return (
        Route.post("/api/token", give_token, Need.NOTHING, body=needed(TokenRequest), replies=token),
        Route.get("/api/token/userInfo", show_caller, Need.KNOWN, replies=shows(Caller, "Who calls.")),
    )


async def give_token(request: web.Request) -> web.Response:
    """Answer with a token for a key. Whoever has it may do for an hour what the key may."""
    gate = request.config_dict[GATE]
    if gate.is_open:
        raise _no_credentials(request)
    wanted = validated(TokenRequest, await read_object(request))
    token = gate.token_for(wanted.key_id, wanted.key_secret)
    if token is None:
        raise _no_credentials(request)
    return json_reply({"token": token}, headers={"Cache-Control": "no-store"})


async def show_caller(request: web.Request) -> web.Response:
    """Answer with who calls, and with what it may do."""
    if request.config_dict[GATE].is_open:
        raise _no_credentials(request)
    principal = principal_of(request)
    return json_reply(
        {
            "id": principal.subject,
            "name": principal.subject,
            "roles": [{"name": role.value} for role in principal.roles],
            "workflows": principal.workflows,
            "taskTypes": principal.task_types,
        }
    )


def _no_credentials(request: web.Request) -> NotFound:
    return NotFound(f"there is no route {request.path}: this server has no keys to give tokens for")
