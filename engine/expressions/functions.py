"""The functions at the end of a path.

Holds one function per name. Must not evaluate paths: what they are given are values. Keeps the invariants that no
value is changed in place, and that numbers come out as doubles, as Jayway's do.

Source: Jayway JsonPath's `PathFunctionFactory`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from engine.expressions.budget import Budget
from engine.expressions.comparisons import text_of
from engine.json_value import JsonValue


class NoValue(Exception):
    """A function has nothing to give for what it was given."""


def call(name: str, value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    """Return what a function gives for a value and its arguments.

    Raises:
        NoValue: nothing.
        ResolutionExceeded: there is too much to look at.
    """
    budget.spend(1 + (len(value) if isinstance(value, list | dict) else 0))
    return _FUNCTIONS[name](value, arguments, budget)


def gathered(name: str, found: list[JsonValue], arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    """Return what a function gives for everything that a deep scan has found. `length` counts what is in it.

    Raises:
        NoValue: nothing.
        ResolutionExceeded: there is too much to look at.
    """
    if name in {"length", "size"}:
        budget.spend(1 + len(found))
        return sum(len(value) for value in found if isinstance(value, list | dict))
    if name not in _AGGREGATES:
        raise NoValue
    return call(name, found, arguments, budget)


def _numbers(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> list[float]:
    found: list[float] = []
    for source in (value if isinstance(value, list) else (), *arguments):
        items = source if isinstance(source, list | tuple) else (source,)
        budget.spend(len(items))
        found.extend(_double(item) for item in items if isinstance(item, int | float) and not isinstance(item, bool))
    if not found:
        raise NoValue
    return found


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        raise NoValue from None


def _finite(number: float) -> float:
    """Return a number that JSON can spell."""
    if not math.isfinite(number):
        raise NoValue
    return number


def _sum(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return _finite(sum(_numbers(value, arguments, budget)))


def _average(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    numbers = _numbers(value, arguments, budget)
    return _finite(sum(numbers) / len(numbers))


def _deviation(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    numbers = _numbers(value, arguments, budget)
    mean = _finite(sum(numbers) / len(numbers))
    return math.sqrt(_finite(sum((number - mean) * (number - mean) for number in numbers)) / len(numbers))


def _least(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return min(_numbers(value, arguments, budget))


def _most(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return max(_numbers(value, arguments, budget))


def _length(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    measured = arguments[0] if arguments else value
    return len(measured) if isinstance(measured, list | dict) else None


def _keys(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return list(value) if isinstance(value, dict) else None


def _concat(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    texts = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    for argument in arguments:
        items = argument if isinstance(argument, list) else [argument]
        budget.spend(len(items))
        texts.extend(text_of(item) for item in items if not isinstance(item, bool))
    return "".join(texts)


def _append(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return [*value, *arguments] if isinstance(value, list) else value


def _first(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return _item(value, 0)


def _last(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return _item(value, -1)


def _index(value: JsonValue, arguments: Sequence[JsonValue], budget: Budget) -> JsonValue:
    return _item(value, arguments[0] if arguments else None)


def _item(value: JsonValue, position: JsonValue) -> JsonValue:
    is_position = isinstance(position, int) and not isinstance(position, bool)
    if not isinstance(value, list) or not is_position or not -len(value) <= position < len(value):
        raise NoValue
    return value[position]


_FUNCTIONS: Final[dict[str, Callable[[JsonValue, Sequence[JsonValue], Budget], JsonValue]]] = {
    "append": _append,
    "avg": _average,
    "concat": _concat,
    "first": _first,
    "index": _index,
    "keys": _keys,
    "last": _last,
    "length": _length,
    "max": _most,
    "min": _least,
    "size": _length,
    "stddev": _deviation,
    "sum": _sum,
}
_AGGREGATES: Final = frozenset({"avg", "concat", "max", "min", "stddev", "sum"})
