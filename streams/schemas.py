"""JSON Schemas, judged by `jsonschema-rs`.

Holds the compiled schemas of this process. Must not fetch anything: a reference to another document is refused, since
definitions come from users and could point anywhere. Keeps the invariants that a judgement depends on schema and value
alone, that it repeats no value (its text is seen by people who may not see the value), and that no pattern makes it
slow: patterns are those of a linear-time engine, without look-around and back-references.

Drafts 4 to 2020-12, as `$schema` says; without it 2020-12.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import jsonschema_rs

from engine.json_value import JsonObject, JsonValue

VIOLATIONS_MAX: Final = 20
"""Of one value; who mends these will see the others."""
COMPILED_MAX: Final = 2_000
"""Schemas kept compiled, some 10 KB each. When full, all are forgotten and compiled again at need."""
MESSAGE_CHARS_MAX: Final = 300
_MASK: Final = "the value"


class JsonSchemas:
    """A `engine.schemas.SchemaValidator`."""

    def __init__(self) -> None:
        """Begin with nothing compiled."""
        self._compiled: dict[int, tuple[JsonObject, jsonschema_rs.Validator | str]] = {}
        """By identity: definitions are immutable, and whoever is kept here keeps its identity."""

    def violations(self, schema: JsonObject, value: JsonValue) -> Sequence[str]:
        """Return every rule that a value breaks, at most `VIOLATIONS_MAX` of them."""
        validator = self._validator(schema)
        if isinstance(validator, str):
            return [validator]
        found = [_text(error) for error in islice(validator.iter_errors(value), VIOLATIONS_MAX + 1)]
        return found if len(found) <= VIOLATIONS_MAX else [*found[:VIOLATIONS_MAX], "and more"]

    def _validator(self, schema: JsonObject) -> "jsonschema_rs.Validator | str":
        kept = self._compiled.get(id(schema))
        if kept is not None:
            return kept[1]
        if len(self._compiled) >= COMPILED_MAX:
            self._compiled.clear()
        made = _compiled(schema)
        self._compiled[id(schema)] = (schema, made)
        return made


def problem_of_schema(schema: JsonObject) -> str:
    """Say why a document cannot be used as a schema, or nothing."""
    made = _compiled(schema)
    return made if isinstance(made, str) else ""


def _compiled(schema: JsonObject) -> "jsonschema_rs.Validator | str":
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            mask=_MASK,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return f"not a JSON Schema that can be used: {str(error).splitlines()[0][:MESSAGE_CHARS_MAX]}"


def _text(error: jsonschema_rs.ValidationError) -> str:
    place = ""
    for step in error.instance_path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    message = error.message[:MESSAGE_CHARS_MAX]
    return f"{place}: {message}" if place else message
