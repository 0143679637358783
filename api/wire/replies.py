"""Answers in the forms that Conductor's clients expect.

Holds four constructors. Must not know what is answered. Keeps the invariants that JSON always says
`application/json`, that ids go out as bare text, and that 204 has no Content-Type: the JavaScript client
takes `{}` for a task otherwise.
"""

from collections.abc import Mapping

import orjson
from aiohttp import web

from engine.json_value import JsonValue


def json_reply(value: JsonValue, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def text_reply(text: str) -> web.Response:
    """Answer with a bare text, such as an id."""
    return web.Response(body=text.encode(), content_type="text/plain", charset="utf-8")


def empty_reply() -> web.Response:
    """Answer that it is done: 200, an empty body and no Content-Type, so that no client tries to parse it."""
    return web.Response()


def no_content() -> web.Response:
    """Answer that there is nothing: 204 without a Content-Type."""
    return web.Response(status=204)
