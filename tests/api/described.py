"""The document of the interface, as the tests hold answers against it.

Holds the check of one answer. Must not know a running server. Keeps the invariant that an answer passes only if the
document has its operation, its status, its media type and every one of its fields: for the check, and for it alone,
objects are closed, so that a field which nobody described fails a test.
"""

import copy
from functools import cache

import jsonschema_rs
import orjson
from aiohttp import ClientResponse

from api.openapi import document
from api.openapi.building import path_pattern
from api.routes.table import ROUTES
from api.routing import Route
from api.version import version
from engine.json_value import JsonObject, JsonValue


@cache
def described() -> JsonObject:
    """Return the document."""
    return document(ROUTES, version=version())


def route_of(method: str, path: str) -> Route | None:
    """Return the route that answers a request, as the router finds it: the first that fits."""
    for route in ROUTES:
        if route.method == method and path_pattern(route.path).fullmatch(path):
            return route
    return None


async def check_answer(method: str, response: ClientResponse) -> None:
    """Hold an answer against its operation. An answer from 400 on, also of no operation at all, is an ErrorResponse."""
    route = route_of(method, response.url.raw_path)
    responses: JsonObject = {} if route is None else described()["paths"][route.path][method.lower()]["responses"]
    told = responses.get(str(response.status))
    if told is None:
        assert response.status >= 400, f"{method} {response.url}: the document does not know status {response.status}"
        told = described()["components"]["responses"]["Error"]
    body = await response.read()
    content = told.get("content", {})
    if not body:
        assert "application/json" not in content, f"{method} {response.url}: an empty body, described as JSON"
        return
    assert response.content_type in content, f"{method} {response.url}: {response.content_type} is not described"
    assert {name for name in told.get("headers", {}) if name not in response.headers} == set()
    if response.content_type == "application/json":
        check_value(content["application/json"]["schema"], orjson.loads(body), of=f"{method} {response.url}")


def check_value(schema: JsonObject, value: JsonValue, *, of: str) -> None:
    """Hold a value against a schema of the document."""
    errors = [
        f"{error.instance_path}: {error.message[:300]}" for error in _validator(orjson.dumps(schema)).iter_errors(value)
    ]
    assert errors == [], f"{of} is answered otherwise than the document says"


@cache
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    components = _closed(copy.deepcopy(described()["components"]["schemas"]))
    return jsonschema_rs.Draft202012Validator({**_closed(orjson.loads(schema)), "components": {"schemas": components}})


def _closed(value: JsonValue) -> JsonValue:
    """Return a schema in which objects have no properties but those described."""
    if isinstance(value, list):
        return [_closed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    closed = {name: _closed(inner) for name, inner in value.items()}
    if isinstance(value.get("properties"), dict) and value.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
