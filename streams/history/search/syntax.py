"""The tree of a query.

Holds shapes only. Must not know columns. Keeps every position, so that a later complaint can name it: characters from
1.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec


class Operator(StrEnum):
    """How a field is compared with one value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class Literal(msgspec.Struct, frozen=True, kw_only=True):
    """A value as written. `pieces` is its text, cut at the wildcards `*`: one piece means that there is none."""

    position: int
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text with its wildcards as they were written."""
        return "*".join(self.pieces)

    @property
    def has_wildcard(self) -> bool:
        """Whether an unescaped `*` stands in it."""
        return len(self.pieces) > 1


class FieldName(msgspec.Struct, frozen=True, kw_only=True):
    """A field as written."""

    position: int
    text: str


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """`field op value`."""

    field: FieldName
    operator: Operator
    value: Literal


class StartsWith(msgspec.Struct, frozen=True, kw_only=True):
    """`field STARTS_WITH 'x'`."""

    field: FieldName
    value: Literal


class OneOf(msgspec.Struct, frozen=True, kw_only=True):
    """`field IN (a, b)`."""

    field: FieldName
    values: tuple[Literal, ...]


class Between(msgspec.Struct, frozen=True, kw_only=True):
    """`field BETWEEN low AND high`, both included."""

    field: FieldName
    low: Literal
    high: Literal


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """`field IS NULL`."""

    field: FieldName


class Not(msgspec.Struct, frozen=True, kw_only=True):
    """The opposite of a term."""

    term: "Node"


class AllOf(msgspec.Struct, frozen=True, kw_only=True):
    """Terms joined by AND."""

    terms: "tuple[Node, ...]"


class AnyOf(msgspec.Struct, frozen=True, kw_only=True):
    """Terms joined by OR."""

    terms: "tuple[Node, ...]"


Condition: TypeAlias = Compare | StartsWith | OneOf | Between | Missing
Node: TypeAlias = Condition | Not | AllOf | AnyOf
