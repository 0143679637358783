"""Schemas: the registry of JSON Schemas that definitions name.

Must not judge a schema: `api.wire.schemas` does. Keeps the invariants that a list of schemas is taken whole or not at
all, and that a caller who is limited to workflows of some names changes schemas of these names only.

Source: the schema resource of Orkes' server, as Conductor's SDKs call it; the open-source server has none.
"""

import time
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from api.access.guard import check_workflow
from api.access.permissions import Need
from api.errors import NotFound
from api.keys import node_of
from api.routing import DONE, Route, needed, shows
from api.wire.parameters import Flag
from api.wire.reading import integer_from_path, read_json
from api.wire.replies import empty_reply, json_reply
from api.wire.schemas import SchemaDef, schema_def_from
from engine import definitions as engine
from streams.service import Definitions
from streams.task_wire import definition_json

NEW_VERSION: Final = Flag(name="newVersion", about="Register each behind the newest version of its name.")


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/schema`."""
    given, one, path = needed(list[SchemaDef]), shows(SchemaDef, "The schema."), "/api/schema"
    return (
        Route.post(path, put_schemas, Need.AUTHOR, takes=(NEW_VERSION,), body=given, replies=(DONE,)),
        Route.get(path, list_schemas, Need.READ, replies=shows(list[SchemaDef], "The schemas.")),
        Route.get(f"{path}/{{name}}", get_newest_schema, Need.READ, replies=one),
        Route.delete(f"{path}/{{name}}", delete_schemas, Need.AUTHOR, replies=(DONE,)),
        Route.get(f"{path}/{{name}}/{{version}}", get_schema, Need.READ, replies=one),
        Route.delete(f"{path}/{{name}}/{{version}}", delete_schema, Need.AUTHOR, replies=(DONE,)),
    )


async def put_schemas(request: web.Request) -> web.Response:
    """Register one schema or a list of them; with `newVersion=true` each behind the newest version of its name."""
    body = await read_json(request)
    values = body if isinstance(body, list) else [body]
    found = [
        schema_def_from(value, at=f"[{index}]" if isinstance(body, list) else "") for index, value in enumerate(values)
    ]
    for schema in found:
        check_workflow(request, schema.name)
    is_new = NEW_VERSION.of(request.query)
    definitions = node_of(request).definitions
    for schema in found:
        await _put(definitions, schema, is_new=is_new)
    return empty_reply()


async def list_schemas(request: web.Request) -> web.Response:
    """Answer with every version of every schema."""
    return json_reply([definition_json(schema) for schema in node_of(request).definitions.schemas()])


async def get_newest_schema(request: web.Request) -> web.Response:
    """Answer with the newest version of a schema."""
    return json_reply(definition_json(_found(request, None)))


async def get_schema(request: web.Request) -> web.Response:
    """Answer with a version of a schema."""
    return json_reply(definition_json(_found(request, integer_from_path(request, "version"))))


async def delete_schemas(request: web.Request) -> web.Response:
    """Forget all versions of a schema. A definition that enforces it by name then refuses every value."""
    name = _found(request, None).name
    check_workflow(request, name)
    definitions = node_of(request).definitions
    for schema in [schema for schema in definitions.schemas() if schema.name == name]:
        await definitions.delete_schema(name, schema.version)
    return empty_reply()


async def delete_schema(request: web.Request) -> web.Response:
    """Forget a version of a schema."""
    schema = _found(request, integer_from_path(request, "version"))
    check_workflow(request, schema.name)
    await node_of(request).definitions.delete_schema(schema.name, schema.version)
    return empty_reply()


async def _put(definitions: Definitions, schema: engine.SchemaDef, *, is_new: bool) -> None:
    if is_new:
        newest = definitions.find_schema(schema.name, None)
        schema = replace(schema, version=1 if newest is None else newest.version + 1)
    known = definitions.find_schema(schema.name, schema.version)
    now_ms = time.time_ns() // 1_000_000
    if known is None:
        stamped = replace(schema, create_time=now_ms, update_time=0)
    elif replace(schema, create_time=known.create_time, update_time=known.update_time) == known:
        return
    else:
        stamped = replace(schema, create_time=known.create_time, update_time=now_ms)
    await definitions.put_schema(stamped)


def _found(request: web.Request, version: int | None) -> engine.SchemaDef:
    name = request.match_info["name"]
    schema = node_of(request).definitions.find_schema(name, version)
    if schema is None:
        message = f"No such schema found by name: {name}, {engine.version_text(version)}"
        raise NotFound(message)
    return schema
