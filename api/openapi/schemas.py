"""From types to JSON Schema, as components of the document.

Holds the collecting and what is left out of pydantic's schemas. Must not know routes. Keeps the invariants that one
type has one schema, whether it is sent or answered, and that no schema admits null where absence is meant: bodies may
carry null for "absent" (see docs/reference/rest.md), but nobody needs to.
"""

import ast
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from engine.json_value import JsonObject, JsonValue

REF: Final = "#/components/schemas/{model}"
_SAID_ELSEWHERE: Final = frozenset({"title"})
"""Names that say the same as the component's or the property's."""


class _Plain(GenerateJsonSchema):
    """Schemas without null and without defaults that stand for absence."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        told = _told_of(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            shown = made.get("properties", {}).get(field.alias or name)
            if shown is not None and name in told:
                shown["description"] = told[name]
        return made


def schemas_of(types: Iterable[Any]) -> tuple[dict[Any, JsonObject], JsonObject]:
    """Return the schema of each type, and the components that they refer to.

    Raises:
        ValueError: two types of one name would need a component each.
    """
    wanted = list(dict.fromkeys(types))
    mode: JsonSchemaMode = "validation"
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (str(index), mode, TypeAdapter[Any](kind)) for index, kind in enumerate(wanted)
    ]
    made, components = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=_Plain)
    definitions: JsonObject = components.get("$defs", {})
    for name in definitions:
        if "__" in name:
            message = f"schema {name}: two types have the same name, and the document could not tell them apart"
            raise ValueError(message)
    by_type = {kind: _plain(made[str(index), mode]) for index, kind in enumerate(wanted)}
    return by_type, {name: _plain(schema) for name, schema in sorted(definitions.items())}


def _told_of(kind: type) -> dict[str, str]:
    """Return the sentences that stand below the fields of a class and of those that it extends."""
    told: dict[str, str] = {}
    for extended in reversed(kind.__mro__):
        if extended.__module__.startswith("api."):
            told.update(_fields_told(extended.__module__).get(extended.__name__.partition("[")[0], {}))
    return told


@cache
def _fields_told(module: str) -> dict[str, dict[str, str]]:
    # Read here and not by pydantic: its classes would do it whenever the server starts, for a tenth of a second.
    classes = [
        node for node in ast.parse(inspect.getsource(sys.modules[module])).body if isinstance(node, ast.ClassDef)
    ]
    return {
        found.name: {
            field.target.id: below.value.value
            for field, below in pairwise(found.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        }
        for found in classes
    }


def _plain(schema: JsonValue, *, is_property_map: bool = False) -> JsonValue:
    """Return a schema without what is said elsewhere, its descriptions on one line."""
    match schema:
        case dict():
            kept = {
                name: _plain(inner, is_property_map=name in ("properties", "$defs") and not is_property_map)
                for name, inner in schema.items()
                if is_property_map or name not in _SAID_ELSEWHERE
            }
            if not is_property_map and isinstance(kept.get("description"), str):
                kept["description"] = " ".join(kept["description"].split())
            return kept
        case list():
            return [_plain(inner) for inner in schema]
        case _:
            return schema
