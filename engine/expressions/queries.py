"""Queries: paths that may give several values, as data.

Holds the types that a query is made of. Must not parse nor evaluate. Keeps the invariants that a query is immutable,
so that one parsed form serves every workflow, and that it says itself whether it gives one value or a list.

Source: the language of Jayway JsonPath, which Conductor uses.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from engine.expressions.patterns import Pattern
from engine.json_value import JsonValue


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """`.name` or `['name', …]`: one name leads to its value; several, at the end, to an object of what there is."""

    names: tuple[str, ...]


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """`[0]`, `[-1]`, `[0, 2]`."""

    positions: tuple[int, ...]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """`[start:end]`; either may be open, and negative ones count from the end."""

    start: int | None
    end: int | None


class Wildcard(msgspec.Struct, frozen=True, kw_only=True):
    """`.*` or `[*]`: all values of an object or list."""


class Descent(msgspec.Struct, frozen=True, kw_only=True):
    """`..`: what is behind it is looked for in the value and everything below it."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """`[?(…)]`: the items for which a condition holds. Over an object: the object itself, if it does."""

    condition: "Condition"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """`.name(…)`, always the last step."""

    name: str
    arguments: "tuple[Operand, ...]"


Step: TypeAlias = Children | Positions | Slice | Wildcard | Descent | Filter | Call


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Steps from the whole document (`$`), or from the value that a filter looks at (`@`)."""

    from_root: bool
    steps: tuple[Step, ...]
    is_definite: bool
    """Whether it gives one value (null if there is none), not a list."""


class Literal(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is written out."""

    value: JsonValue


Operand: TypeAlias = Query | Literal | Pattern


class Exists(msgspec.Struct, frozen=True, kw_only=True):
    """There is such a value; null is one."""

    query: Query


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`left operator right`."""

    left: Operand
    operator: str
    right: Operand


class Not(msgspec.Struct, frozen=True, kw_only=True):
    """The condition does not hold."""

    condition: "Condition"


class AllOf(msgspec.Struct, frozen=True, kw_only=True):
    """Every condition holds."""

    conditions: "tuple[Condition, ...]"


class AnyOf(msgspec.Struct, frozen=True, kw_only=True):
    """At least one condition holds."""

    conditions: "tuple[Condition, ...]"


Condition: TypeAlias = Exists | Comparison | Not | AllOf | AnyOf

FUNCTIONS: Final = frozenset(
    {
        "append",
        "avg",
        "concat",
        "first",
        "index",
        "keys",
        "last",
        "length",
        "max",
        "min",
        "size",
        "stddev",
        "sum",
    }
)


def is_definite(steps: tuple[Step, ...]) -> bool:
    """Tell whether steps lead to one value. A function behind a deep scan is given all that was found, as one."""
    if steps and isinstance(steps[-1], Call) and any(isinstance(step, Descent) for step in steps):
        return True
    for number, step in enumerate(steps):
        if isinstance(step, Wildcard | Descent | Filter | Slice):
            return False
        if isinstance(step, Positions) and len(step.positions) > 1:
            return False
        if isinstance(step, Children) and len(step.names) > 1 and not is_last_step(steps, number):
            return False
    return True


def first_names(query: Query) -> Iterator[tuple[str, ...]]:
    """Yield, for each path from the root in a query, the names that it begins with, as far as they are known."""
    if query.from_root:
        names: list[str] = []
        for step in query.steps:
            if not isinstance(step, Children) or len(step.names) != 1:
                break
            names.append(step.names[0])
        yield tuple(names)
    for step in query.steps:
        if isinstance(step, Call):
            yield from _of_operands(step.arguments)
        elif isinstance(step, Filter):
            yield from _of_condition(step.condition)


def _of_operands(operands: tuple[Operand, ...]) -> Iterator[tuple[str, ...]]:
    for operand in operands:
        if isinstance(operand, Query):
            yield from first_names(operand)


def _of_condition(condition: Condition) -> Iterator[tuple[str, ...]]:
    match condition:
        case Exists():
            yield from first_names(condition.query)
        case Comparison():
            yield from _of_operands((condition.left, condition.right))
        case Not():
            yield from _of_condition(condition.condition)
        case AllOf() | AnyOf():
            for part in condition.conditions:
                yield from _of_condition(part)


def is_last_step(steps: tuple[Step, ...], number: int) -> bool:
    """Tell whether nothing but a function comes behind a step."""
    return number == len(steps) - 1 or (number == len(steps) - 2 and isinstance(steps[-1], Call))
