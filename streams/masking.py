"""Values that people must not see: the `maskedFields` of a workflow definition.

Holds the replacement in a JSON value. Must not be used on what a worker gets, nor on what a state is folded from. Keeps
the invariant that a value without a masked field is given back as it is, so that most workflows pay nothing.

A field is named as it is spelt in an input or an output, and masked wherever that name occurs in them, at any depth.
Source: Conductor's `WorkflowDef.maskedFields`, which its open-source server accepts and ignores.
"""

from collections.abc import Collection
from typing import Final

from engine.json_value import JsonObject, JsonValue

MASK: Final = "***"
"""What stands in place of a value, whatever that was: also its kind and its length are hidden."""


def masked(value: JsonObject, fields: Collection[str]) -> JsonObject:
    """Return an object with the values of these fields replaced."""
    if not fields or not value:
        return value
    return _masked_object(value, fields)


def _masked_object(value: JsonObject, fields: Collection[str]) -> JsonObject:
    return {key: MASK if key in fields else _masked_value(inner, fields) for key, inner in value.items()}


def _masked_value(value: JsonValue, fields: Collection[str]) -> JsonValue:
    if isinstance(value, dict):
        return _masked_object(value, fields)
    if isinstance(value, list):
        return [_masked_value(inner, fields) for inner in value]
    return value
