"""The OpenAPI document of a list of routes.

Holds its assembly: operations, parameters, bodies, answers, security. Must not know a single route. Keeps the invariant
that every operation of the document is a route and every route an operation.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from api.access.permissions import Need
from api.openapi.schemas import schemas_of
from api.routing import JSON, Reply, Route
from api.wire.outcomes import ErrorResponse
from api.wire.parameters import Parameter
from api.wire.task_results import ResultStatus
from engine.json_value import JsonObject

_SEGMENT: Final = re.compile(r"\{(\w+)\}")
_INTEGERS: Final = frozenset({"version"})
_IN_PATH: Final = {
    "correlationId": "The caller's own id.",
    "name": "The name of the definition.",
    "status": "How the task went.",
    "taskId": "The id of the attempt.",
    "taskRefName": "The task's reference name; it may come without its loop suffix.",
    "taskReferenceName": "The task's reference name.",
    "taskType": "The task type: the name of its definition.",
    "version": "The version of the definition.",
    "workflowId": "The workflow's id.",
}
_TAG_OF_MODULE: Final = {
    "access": "Access",
    "document": "Server",
    "health": "Server",
    "metadata": "Definitions",
    "queues": "Queues",
    "rehearsal": "Rehearsals",
    "schema": "Schemas",
    "search": "Searches",
    "tasks": "Tasks",
    "workflow": "Workflows",
    "workflow_bulk": "Workflows in bulk",
    "workflow_changes": "Changes of workflows",
    "workflow_execute": "Workflows as calls",
}
_SECURITY: Final[list[JsonObject]] = [{"token": []}, {"bearer": []}, {"basic": []}]
_SCHEMES: Final = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Authorization",
        "description": "A token of `POST /api/token`, as Conductor's clients send it.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same token, or one of the OpenID issuer.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "The id and the secret of a key."},
}
_ABOUT: Final = (
    "The REST interface of Podium: the paths, parameters and bodies of Netflix Conductor. `x-podium-needs` says what "
    "the caller must be allowed to do; on a server that asks for no credentials everybody may. Unknown fields of "
    "bodies are ignored and null means absent. Fields may be added to answers."
)


def document(routes: Sequence[Route], *, version: str) -> JsonObject:
    """Return the OpenAPI document of the routes. Takes a tenth of a second: make it once."""
    types = [route.body.of for route in routes if route.body is not None]
    types += [reply.of for route in routes for reply in route.replies if reply.media == JSON]
    schemas, components = schemas_of([*types, ErrorResponse])
    paths: JsonObject = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Podium",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag_of(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Error": {
                    "description": "The request is not answered as asked.",
                    "content": {JSON: {"schema": schemas[ErrorResponse]}},
                }
            },
            "securitySchemes": _SCHEMES,
        },
    }


def operation_id(route: Route) -> str:
    """Return the name of an operation. It stays as long as method and path do: clients are generated from it."""
    under_api = route.path.startswith("/api/")
    path = route.path.removeprefix("/api/") if under_api else f"root{route.path}"
    words = re.split(r"[/{}._-]+", path.replace("{", "by-"))
    return route.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def tag_of(route: Route) -> str:
    """Return the resource that a route belongs to, in words; by the module of its handler."""
    module = route.handler.__module__.rpartition(".")[2]
    return _TAG_OF_MODULE.get(module) or module.replace("_", " ").capitalize()


def path_pattern(path: str) -> re.Pattern[str]:
    """Return what the path of a request to a route looks like."""
    return re.compile(_SEGMENT.sub("[^/]+", path))


def _operation(route: Route, schemas: dict[Any, JsonObject]) -> JsonObject:
    operation: JsonObject = {
        "operationId": operation_id(route),
        "tags": [tag_of(route)],
        "summary": route.summary or (route.handler.__doc__ or "").split("\n", maxsplit=1)[0],
        "x-podium-needs": route.needs.value,
        "security": [] if route.needs is Need.NOTHING else _SECURITY,
    }
    parameters = [*_path_parameters(route.path), *(_parameter(one) for one in route.takes)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {JSON: {"schema": schemas[route.body.of]}}
        operation["requestBody"] = {"required": route.body.required, "content": content}
    operation["responses"] = {
        **{str(reply.status): _response(reply, schemas) for reply in route.replies},
        "default": {"$ref": "#/components/responses/Error"},
    }
    return operation


def _path_parameters(path: str) -> Iterable[JsonObject]:
    for name in _SEGMENT.findall(path):
        schema: JsonObject = {"type": "integer", "minimum": 0} if name in _INTEGERS else {"type": "string"}
        if name == "status":
            schema["enum"] = [status.value for status in ResultStatus]
        yield {"name": name, "in": "path", "required": True, "description": _IN_PATH.get(name, ""), "schema": schema}


def _parameter(parameter: Parameter) -> JsonObject:
    wire: JsonObject = {"name": parameter.name, "in": parameter.place, "description": parameter.about}
    if parameter.required:
        wire["required"] = True
    return {**wire, **parameter.style, "schema": parameter.schema}


def _response(reply: Reply, schemas: dict[Any, JsonObject]) -> JsonObject:
    wire: JsonObject = {"description": reply.about}
    if reply.headers:
        wire["headers"] = {name: {"description": about, "schema": {"type": "string"}} for name, about in reply.headers}
    if reply.media:
        schema = schemas[reply.of] if reply.media == JSON else {"type": "string"}
        wire["content"] = {reply.media: {"schema": schema}}
    return wire
