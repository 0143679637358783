"""The interface, described: as OpenAPI for programs, as a page for people.

Must not describe anything itself: `api.openapi` makes the document of the routes. Keeps two invariants: the page runs
its own script and nothing else, whatever an answer holds, and loads nothing from anywhere but this server; and all of
it may be read by anybody, because it says what every Podium does and nothing of this one.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

import api.openapi
from api.access.permissions import Need
from api.keys import DECLARED
from api.openapi import document
from api.routing import JSON, Reply, Route, shows
from api.version import version
from engine.json_value import JsonObject
from streams.asyncapi import yaml_of

YAML: Final = "application/yaml"
HTML: Final = "text/html"

_PAGE: Final = Path(api.openapi.__file__).with_name("page.html")


def routes() -> tuple[Route, ...]:
    """Return the routes of the document, where Conductor has them."""
    yaml = (Reply(about="The same, as YAML.", media=YAML, of=str),)
    page = (Reply(about="The page.", media=HTML, of=str),)
    return (
        Route.get("/api-docs", show_document, Need.NOTHING, replies=shows(JsonObject, "The document.")),
        Route.get("/api-docs.yaml", show_yaml, Need.NOTHING, replies=yaml),
        Route.get("/swagger-ui/index.html", show_page, Need.NOTHING, replies=page),
    )


async def show_document(request: web.Request) -> web.Response:
    """Answer with the OpenAPI document of this interface."""
    body = _json(request.config_dict[DECLARED])
    return web.Response(body=body, content_type=JSON, headers={"X-Content-Type-Options": "nosniff"})


async def show_yaml(request: web.Request) -> web.Response:
    """Answer with the OpenAPI document as YAML."""
    body = yaml_of(orjson.loads(_json(request.config_dict[DECLARED]))).encode()
    return web.Response(body=body, content_type=YAML, headers={"X-Content-Type-Options": "nosniff"})


async def show_page(request: web.Request) -> web.Response:
    """Answer with a page that shows the document, and sends requests for its reader."""
    page, policy = _page()
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
    return web.Response(text=page, content_type=HTML, charset="utf-8", headers=headers)


@cache
def _json(declared: tuple[Route, ...]) -> bytes:
    # A tenth of a second, once in the life of a process that is ever asked.
    return orjson.dumps(document(declared, version=version()))


@cache
def _page() -> tuple[str, str]:
    """Return the page, and the policy that admits its own script and style by their hashes."""
    page = _PAGE.read_text(encoding="utf-8")
    script, style = (re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {_hashes(script)}; style-src {_hashes(style)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _hashes(texts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
