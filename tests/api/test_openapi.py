"""Claims about the document of the interface: it is complete, it is valid, and handlers read what it says."""

import ast
import dis
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import jsonschema_rs
import pytest

from api.openapi.building import operation_id
from api.routes.table import ROUTES
from api.routing import Route
from api.wire.parameters import Parameter
from api.wire.shapes import Task
from engine.json_value import JsonObject, JsonValue
from streams.asyncapi import TaskRecord
from tests.api.described import check_value, described, route_of

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "reference" / "openapi.json"
KINDS = Parameter.__args__
KIND_TYPES = tuple(getattr(kind, "__origin__", kind) for kind in KINDS)
READING = re.compile(r"api/wire/(parameters|reading)\.py")


def name_of(route: Route) -> str:
    """Return what a failure shows."""
    return f"{route.method} {route.path}"


def nodes(value: JsonValue) -> Iterator[JsonValue]:
    """Yield a value and everything in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of what is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def globals_of(function: FunctionType) -> set[str]:
    """Return the global names that a function loads. Names of attributes are none."""
    loaded = (one for code in codes(function.__code__) for one in dis.get_instructions(code))
    return {str(one.argval) for one in loaded if one.opname == "LOAD_GLOBAL"}


def own_functions(kind: type) -> list[object]:
    """Return the functions that a class defines itself."""
    return [member for member in vars(kind).values() if isinstance(member, FunctionType | classmethod | staticmethod)]


def parameters_within(function: Callable[..., object]) -> dict[str, Parameter]:
    """Return the parameters that a function names, or that those name which it calls, by their names."""
    found: dict[str, Parameter] = {}
    seen: set[int] = set()
    open_functions: list[object] = [function]
    while open_functions:
        here = open_functions.pop()
        if not isinstance(here, FunctionType) or id(here) in seen or not here.__module__.startswith("api."):
            continue
        seen.add(id(here))
        for name in globals_of(here):
            value = here.__globals__.get(name)
            if isinstance(value, KIND_TYPES):
                found[value.name] = value
            elif isinstance(value, type):
                open_functions += [getattr(member, "__func__", member) for member in own_functions(value)]
            else:
                open_functions.append(value)
    return found


def test_document_has_exactly_the_routes() -> None:
    """The router and the document are the same set."""
    listed = {f"{method.upper()} {path}" for path, ways in described()["paths"].items() for method in ways}
    assert listed == {name_of(route) for route in ROUTES}


def test_file_in_the_documentation_is_what_the_routes_say() -> None:
    """Run `make openapi` after a change of routes or types."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == described()


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_every_route_declares_how_it_answers(route: Route) -> None:
    """Without that the document would describe nothing, and answers could not be checked."""
    assert route.replies


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_handler_reads_exactly_the_declared_parameters(route: Route) -> None:
    """Whatever the handler, or what it calls, names as a parameter is declared, and nothing else is."""
    read = parameters_within(route.handler)
    assert set(read) == {parameter.name for parameter in route.takes}
    for parameter in route.takes:
        assert parameter.schema == read[parameter.name].schema


def test_nothing_reads_the_query_but_through_a_parameter() -> None:
    """`request.query` is handed to a parameter or to a reader, and never looked into with a literal."""
    looked_into: list[str] = []
    for path in sorted((ROOT / "api").rglob("*.py")):
        if READING.search(path.as_posix()):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_reader = isinstance(node, ast.alias) and node.name.endswith("_parameter")
            owner = node.value if isinstance(node, ast.Attribute | ast.Subscript) else None
            into = isinstance(owner, ast.Attribute) and owner.attr == "query"
            into |= isinstance(owner, ast.Name) and owner.id == "query"
            if is_reader or into:
                looked_into.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert looked_into == []


def test_operation_ids_are_unique() -> None:
    """A generated client has one function for each."""
    ids = [operation_id(route) for route in ROUTES]
    assert len(ids) == len(set(ids))


def test_operation_ids_stay() -> None:
    """They are made of method and path alone, so that nothing but a new path renames a function of a client."""
    by_path = {name_of(route): operation_id(route) for route in ROUTES}
    assert by_path["POST /api/workflow"] == "postWorkflow"
    assert by_path["GET /api-docs"] == "getRootApiDocs"
    assert by_path["GET /api/tasks/poll/batch/{taskType}"] == "getTasksPollBatchByTaskType"
    assert by_path["DELETE /api/workflow/{workflowId}/terminate-remove"] == "deleteWorkflowByWorkflowIdTerminateRemove"


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_operation_says_what_it_does_whom_it_lets_and_how_it_refuses(route: Route) -> None:
    """Summary, tag, need, security and the error answer are there for each."""
    operation = described()["paths"][route.path][route.method.lower()]
    assert operation["summary"] == (route.handler.__doc__ or "").split("\n")[0]
    assert len(operation["tags"]) == 1
    assert operation["x-podium-needs"] == route.needs.value
    assert bool(operation["security"]) == (route.needs.value != "NOTHING")
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}


def test_every_reference_leads_somewhere() -> None:
    """A generator finds what the document points to."""
    for found in nodes(described()):
        if isinstance(found, dict) and isinstance(found.get("$ref"), str):
            target: JsonValue = described()
            for step in found["$ref"].removeprefix("#/").split("/"):
                target = target[step]


def test_every_parameter_of_a_path_is_described_and_no_name_stands_twice() -> None:
    """OpenAPI asks for both."""
    for path, ways in described()["paths"].items():
        for operation in ways.values():
            listed = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
            assert len(listed) == len(set(listed))
            assert {name for place, name in listed if place == "path"} == set(re.findall(r"\{(\w+)\}", path))
            assert all(one["description"] for one in operation.get("parameters", []))


def test_every_schema_is_a_json_schema() -> None:
    """Of the dialect of OpenAPI 3.1, which is the draft of 2020-12; and it has something to describe."""
    schemas: JsonObject = described()["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert schema.get("description"), name


def test_task_is_described_alike_for_rest_and_for_kafka() -> None:
    """One rendering, two descriptions: REST adds what only REST shows."""
    rest = {field.alias for field in Task.model_fields.values()}
    assert rest - set(TaskRecord.__struct_encode_fields__) == {"runtimeMetadata", "waitingFor"}
    assert set(TaskRecord.__struct_encode_fields__) <= rest


def test_the_check_of_answers_sees_what_is_wrong() -> None:
    """A missing field, a field of another type, and a field that nobody described."""
    schema: JsonObject = {"$ref": "#/components/schemas/WorkflowDefSummary"}
    right: JsonObject = {"name": "w", "version": 1, "createTime": 0, "updateTime": 0}
    check_value(schema, right, of="a summary")
    for wrong in ({**right, "version": "1"}, {"name": "w"}, {**right, "more": 1}):
        with pytest.raises(AssertionError, match="otherwise"):
            check_value(schema, wrong, of="a summary")


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_the_check_of_answers_finds_the_route_that_the_router_takes(route: Route) -> None:
    """Each route by a path of its own; a path that several fit belongs to the first."""
    assert route_of(route.method, re.sub(r"\{\w+\}", "x", route.path)) == route
