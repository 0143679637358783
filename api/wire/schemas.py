"""Schemas as clients send them, alone and within definitions.

Holds the edge model of Conductor's SchemaDef and the rules of schemas in definitions. Must not judge values.
Keeps the invariant that a schema which is registered, or which a definition enforces, can be used.

Source: conductor-common `SchemaDef`.
"""

from collections.abc import Iterator

import msgspec

from api.errors import RequestInvalid
from api.wire.integers import Int, Long
from api.wire.violations import Wire, validated
from engine import definitions
from engine.definitions import SchemaType
from engine.graph import all_tasks
from engine.json_value import JsonObject, JsonValue
from engine.validation import Violation
from engine.validation.violations import member, minimum_violations, name_violations
from streams.schemas import problem_of_schema


class SchemaDef(Wire):
    """Conductor's SchemaDef."""

    name: str = ""
    version: Int = 1
    type: SchemaType = SchemaType.JSON
    data: JsonObject = {}
    external_ref: str | None = None
    owner_app: str | None = None
    create_time: Long = 0
    update_time: Long = 0
    created_by: str | None = None
    updated_by: str | None = None


def schema_def_from(value: JsonValue, *, at: str = "") -> definitions.SchemaDef:
    """Return the schema that a JSON value stands for, found usable.

    Raises:
        RequestInvalid: with every broken rule; `at` is the value's own place in the body.
    """
    model = validated(SchemaDef, value, at=at)
    schema = msgspec.convert(
        model.model_dump(by_alias=True, exclude_unset=True) | {"name": model.name}, definitions.SchemaDef
    )
    broken = [
        *name_violations(member(at, "name"), schema.name, of="the name of a schema"),
        *minimum_violations(member(at, "version"), schema.version, 1, of="version"),
    ]
    if schema.type is SchemaType.JSON:
        broken += _document_violations(member(at, "data"), schema.data)
    if broken:
        raise RequestInvalid(violations=broken)
    return schema


def enforced_violations(definition: definitions.WorkflowDef | definitions.TaskDef) -> Iterator[Violation]:
    """Yield why a schema that a definition enforces cannot be, those of its embedded task definitions too."""
    yield from _schemas_of(definition, "")
    if isinstance(definition, definitions.WorkflowDef):
        for task in all_tasks(definition.tasks):
            if task.task_definition is not None:
                yield from _schemas_of(task.task_definition, f"{task.task_reference_name}.taskDefinition")


def _schemas_of(definition: definitions.WorkflowDef | definitions.TaskDef, at: str) -> Iterator[Violation]:
    if not definition.enforce_schema:
        return
    for field, schema in (("inputSchema", definition.input_schema), ("outputSchema", definition.output_schema)):
        if schema is not None:
            yield from _usable(member(at, field) if at else field, schema)


def _usable(path: str, schema: JsonObject) -> Iterator[Violation]:
    kind, data = schema.get("type", SchemaType.JSON.value), schema.get("data")
    if kind != SchemaType.JSON:
        message = f"only a JSON schema can be enforced, and this is {kind}: set enforceSchema to false"
        yield Violation(path=member(path, "type"), message=message, invalid_value=kind)
    elif isinstance(data, dict):
        yield from _document_violations(member(path, "data"), data)
    elif not schema.get("name"):
        yield Violation(path=path, message="a schema needs data, or the name of a registered schema")


def _document_violations(path: str, data: JsonObject) -> Iterator[Violation]:
    problem = problem_of_schema(data)
    if problem:
        yield Violation(path=path, message=problem)
