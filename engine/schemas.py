"""JSON Schemas of inputs and outputs: where one is enforced, and what follows from a violation.

Holds the port of the validator and the two questions that decisions ask. Must not validate itself: a JSON Schema is a
language of its own, and its library is the shell's. Keeps the invariant that a value is judged once, in the decision
that makes it; the outcome is in the events, so no replay judges again.

Source: Conductor's `WorkflowDef.inputSchema`, `TaskDef.inputSchema`, `enforceSchema`, `SchemaDef`, which its
open-source server accepts and ignores.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from engine.definitions import version_text
from engine.errors import EngineError
from engine.json_value import JsonObject, JsonValue

if TYPE_CHECKING:  # the context holds the validator
    from engine.context import DecideContext


class SchemaValidator(Protocol):
    """Judges values by JSON Schemas. The same schema and value give the same judgement."""

    def violations(self, schema: JsonObject, value: JsonValue) -> Sequence[str]:
        """Return every rule that a value breaks, a bounded number of them, each with its place in the value.

        A schema that cannot be used is a violation too: no value satisfies it.
        """
        ...


class NoValidator:
    """Stands where nobody has brought a validator, and says so if one is needed."""

    def violations(self, schema: JsonObject, value: JsonValue) -> Sequence[str]:
        """Refuse.

        Raises:
            EngineError: always.
        """
        del schema, value
        raise EngineError("a definition enforces a JSON Schema, and the decision's context has no validator")


def input_problem(context: "DecideContext", schema: JsonObject | None, value: JsonObject) -> str:
    """Say what is wrong with an input, or nothing."""
    return "" if schema is None else _problem(context, schema, value, what="inputSchema")


def output_problem(context: "DecideContext", schema: JsonObject | None, value: JsonObject) -> str:
    """Say what is wrong with an output, or nothing."""
    return "" if schema is None else _problem(context, schema, value, what="outputSchema")


def _problem(context: "DecideContext", schema: JsonObject, value: JsonObject, *, what: str) -> str:
    data = schema.get("data")
    if not isinstance(data, dict):
        name, version = schema.get("name") or "", schema.get("version")
        found = context.definitions.find_schema(name, version)
        if found is None:
            return f"{what}: no such schema found by name: {name}, {version_text(version)}; register it"
        data = found.data
    violations = context.schemas.violations(data, value)
    return "" if not violations else f"{what} is violated: {'; '.join(violations)}"
