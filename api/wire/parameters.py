"""Parameters of the query, or of headers: what a route takes besides its path and its body.

Holds one value per kind of parameter; each reads itself and describes itself. Must not know routes. Keeps the invariant
that what the handler reads and what the document says of it (name, type, default, bounds) come from the same value.

The leniency is that of `api.wire.reading`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from multidict import MultiMapping

from api.errors import RequestInvalid
from api.wire.reading import (
    INTEGER_MAX,
    boolean_parameter,
    integer_parameter,
    optional_integer_parameter,
    text_parameter,
)
from engine.json_value import JsonObject

Choice = TypeVar("Choice", bound=StrEnum)

INSTANT_MAX: Final = 2**53
"""Epoch milliseconds that every client can hold as a number."""


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """What every parameter has. `about` is for the document. Handlers refuse the absence of a required one."""

    name: str
    about: str
    place: Literal["query", "header"] = "query"
    required: bool = False

    @property
    def style(self) -> JsonObject:
        """How the parameter is written where that is not `name=value`, in OpenAPI's words."""
        return {}


class Text(_Named, frozen=True, kw_only=True):
    """A text; the empty text and `None` count as absent."""

    default: str = ""

    def of(self, given: Mapping[str, str]) -> str:
        """Return the text, the default where there is none."""
        return text_parameter(given, self.name, self.default)

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "string", "default": self.default} if self.default else {"type": "string"}


class Verbatim(_Named, frozen=True, kw_only=True):
    """A text that is taken as it stands, also where it is empty or says `None`."""

    def of(self, given: Mapping[str, str]) -> str | None:
        """Return the text, None where there is none."""
        return given.get(self.name)

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "string"}


class Texts(_Named, frozen=True, kw_only=True):
    """A text that may be given several times."""

    def of(self, given: MultiMapping[str]) -> list[str]:
        """Return every text, in the order given."""
        return given.getall(self.name, [])

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "array", "items": {"type": "string"}}


class Choices(_Named, Generic[Choice], frozen=True, kw_only=True):
    """A word out of several, that may be given several times."""

    among: type[Choice]

    def of(self, given: MultiMapping[str]) -> frozenset[Choice]:
        """Return the words.

        Raises:
            RequestInvalid: one of them is none of these.
        """
        texts = given.getall(self.name, [])
        try:
            return frozenset(self.among(text) for text in texts if text)
        except ValueError:
            raise _no_choice(self.name, self.among, ", ".join(texts)[:80]) from None

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "array", "items": {"type": "string", "enum": [choice.value for choice in self.among]}}


class OneOf(_Named, Generic[Choice], frozen=True, kw_only=True):
    """A word out of several."""

    default: Choice

    def of(self, given: Mapping[str, str]) -> Choice:
        """Return the word, the default where there is none.

        Raises:
            RequestInvalid: it is none of these.
        """
        text = text_parameter(given, self.name, self.default.value)
        among = type(self.default)
        try:
            return among(text)
        except ValueError:
            raise _no_choice(self.name, among, text[:40]) from None

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        choices = [choice.value for choice in type(self.default)]
        return {"type": "string", "enum": choices, "default": self.default.value}


class Integer(_Named, frozen=True, kw_only=True):
    """An integer, within bounds."""

    default: int
    maximum: int = INTEGER_MAX

    def of(self, given: Mapping[str, str]) -> int:
        """Return the integer, the default where there is none.

        Raises:
            RequestInvalid: it is no integer, or out of bounds.
        """
        return integer_parameter(given, self.name, self.default, maximum=self.maximum)

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "integer", "minimum": 0, "maximum": self.maximum, "default": self.default}


class OptionalInteger(_Named, frozen=True, kw_only=True):
    """An integer whose absence means something else than any number."""

    maximum: int = INTEGER_MAX

    def of(self, given: Mapping[str, str]) -> int | None:
        """Return the integer, None where there is none.

        Raises:
            RequestInvalid: it is no integer, or out of bounds.
        """
        return optional_integer_parameter(given, self.name, maximum=self.maximum)

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "integer", "minimum": 0, "maximum": self.maximum}


class Flag(_Named, frozen=True, kw_only=True):
    """A truth value."""

    default: bool = False

    def of(self, given: Mapping[str, str]) -> bool:
        """Return the truth value, the default where there is none.

        Raises:
            RequestInvalid: it is neither true nor false.
        """
        return boolean_parameter(given, self.name, default=self.default)

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "boolean", "default": self.default}


class Members(_Named, frozen=True, kw_only=True):
    """An object whose members come one by one, as `name[member]=value`."""

    def of(self, given: Mapping[str, str]) -> JsonObject:
        """Return the members that are there."""
        start = f"{self.name}["
        return {
            name[len(start) : -1]: value
            for name, value in given.items()
            if name.startswith(start) and name.endswith("]") and name.find("]") == len(name) - 1 > len(start)
        }

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "object", "additionalProperties": {"type": "string"}}

    @property
    def style(self) -> JsonObject:
        """See `_Named`."""
        return {"style": "deepObject", "explode": True}


class AllOthers(_Named, frozen=True, kw_only=True):
    """Every parameter that has another meaning to nobody: their names are the caller's. `but`: those that have one."""

    but: tuple[str, ...]

    def of(self, given: Mapping[str, str]) -> JsonObject:
        """Return what is there, by name."""
        return {name: value for name, value in given.items() if name not in self.but}

    @property
    def schema(self) -> JsonObject:
        """The JSON Schema."""
        return {"type": "object", "additionalProperties": {"type": "string"}}

    @property
    def style(self) -> JsonObject:
        """See `_Named`."""
        return {"style": "form", "explode": True}


Parameter: TypeAlias = (
    Text | Verbatim | Texts | Integer | OptionalInteger | Flag | Members | AllOthers | OneOf[Any] | Choices[Any]
)


def in_header(parameter: Parameter) -> Parameter:
    """Return the same parameter as a header, for routes whose query is the caller's own."""
    return msgspec.structs.replace(parameter, place="header")


def _no_choice(name: str, among: type[StrEnum], given: str) -> RequestInvalid:
    return RequestInvalid(f"query parameter {name} must be one of {', '.join(among)}, but is {given!r}")
