"""Broken rules of a request, found by pydantic, in Conductor's words.

Holds the common configuration of the edge models and the translation of their errors. Must not know a single
model. Keeps the invariant that all broken rules are told at once.

Leniency that holds for every model, because Jackson grants it and clients rely on it: unknown fields are
ignored, null means absent, numbers come as texts and texts as numbers.
"""

from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from api.errors import RequestInvalid
from engine.json_value import JsonValue
from engine.validation import Violation
from engine.validation.violations import member

Model = TypeVar("Model", bound=BaseModel)


class Wire(BaseModel):
    """What every edge model is: frozen, camelCase, lenient."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        coerce_numbers_to_str=True,
        defer_build=True,
        extra="ignore",
        frozen=True,
        use_enum_values=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:  # noqa: ANN401 (whatever the client sent)
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class ShownAs(msgspec.Struct, frozen=True):
    """Mark of a field that is read as plain JSON and then by a model of its own: the document shows that model."""

    model: type[BaseModel]

    def __get_pydantic_json_schema__(self, _: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the model in place of that of plain JSON."""
        # Inside of something, so that a reference to the component of the model comes, not its fields.
        return handler(core_schema.nullable_schema(TypeAdapter(self.model).core_schema))


def validated(model: type[Model], value: JsonValue, *, at: str = "") -> Model:
    """Return the model that a JSON value stands for. `at` is where the value itself stands in the body.

    Raises:
        RequestInvalid: with every broken rule.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestInvalid(violations=violations_of(error, at=at)) from None


def violations_of(error: ValidationError, *, at: str = "") -> list[Violation]:
    """Return the broken rules that pydantic found."""
    return [
        Violation(path=_path(at, found["loc"]), message=_message(found["msg"]), invalid_value=found["input"])
        for found in error.errors(include_url=False, include_context=False)
    ]


def _path(at: str, location: tuple[int | str, ...]) -> str:
    path = at
    before: int | str = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif before != "workflowDefinition":  # what follows it is pydantic's word for which of two kinds it is
            path = member(path, step)
        before = step
    return path


def _message(text: str) -> str:
    return text[0].lower() + text[1:]
