"""What the operators of filters mean.

Holds one function per operator. Must not evaluate paths: operands are values by now. Keeps the invariants that values
of different kinds are compared as Jayway does (a number and the text that spells it are equal), and that comparing
what is nested is charged for.

Source: Jayway JsonPath's `EvaluatorFactory`, `ValueNodes`.
"""

import re
from collections.abc import Callable
from itertools import repeat
from typing import Final

from engine.expressions.budget import Budget
from engine.expressions.patterns import Pattern
from engine.json_value import JsonValue

_NUMERAL: Final = re.compile(r"[+-]?\d{1,300}(\.\d{0,300})?([eE][+-]?\d{1,3})?")
_CHARS_PER_STEP: Final = 64


def same(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    """Tell whether two values are equal. A number equals the text that spells it."""
    budget.spend(1)
    if _is_number(left):
        if isinstance(right, str):
            number = _number_in(right)
            return number is not None and left == number
        return _is_number(right) and left == right
    if isinstance(left, str):
        return left == (text_of(right) if _is_number(right) else right)
    return _identical(left, right, budget)


def holds(left: JsonValue, operator: str, right: JsonValue, budget: Budget) -> bool:
    """Tell whether a comparison holds; `right` is a `Pattern` for `=~`.

    Raises:
        ResolutionExceeded: it would take too long to know.
    """
    return _OPERATORS[operator](left, right, budget)


def text_of(value: JsonValue) -> str:
    """Return how a number, a boolean or a text reads; anything else reads as nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else ""


def _identical(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    waiting = [(left, right)]
    while waiting:
        one, other = waiting.pop()
        budget.spend(1)
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            budget.spend(len(one))
            waiting.extend((value, other[key]) for key, value in one.items())
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            budget.spend(len(one))
            waiting.extend(zip(one, other, strict=True))
        elif isinstance(one, bool) or isinstance(other, bool):
            if one is not other:
                return False
        elif isinstance(one, dict | list) or isinstance(other, dict | list) or one != other:
            return False
    return True


def _same_kind(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    is_one_kind = isinstance(left, str) == isinstance(right, str) and _is_number(left) == _is_number(right)
    return is_one_kind and same(left, right, budget)


def _less(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    budget.spend(1)
    if _is_number(left) and _is_number(right):
        return bool(left < right)
    return isinstance(left, str) and isinstance(right, str) and left < right


def _at_most(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    budget.spend(1)
    if _is_number(left) and _is_number(right):
        return bool(left <= right)
    return isinstance(left, str) and isinstance(right, str) and left <= right


def _matches(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    if not isinstance(right, Pattern):
        return False
    if isinstance(left, list):
        return any(right.matches(text_of(item), budget) for item in left)
    return right.matches(text_of(left), budget)


def _is_in(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return isinstance(right, list) and any(map(same, repeat(left), right, repeat(budget)))


def _is_not_in(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return isinstance(right, list) and not _is_in(left, right, budget)


def _contains(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        budget.spend(1 + len(left) // _CHARS_PER_STEP)
        return right in left
    return _is_in(right, left, budget)


def _has_all(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return isinstance(left, list) and isinstance(right, list) and all(_is_in(item, left, budget) for item in right)


def _is_subset(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return _has_all(right, left, budget)


def _has_any(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return isinstance(left, list) and isinstance(right, list) and any(_is_in(item, right, budget) for item in left)


def _has_none(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    return isinstance(left, list) and isinstance(right, list) and not _has_any(left, right, budget)


def _has_size(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    budget.spend(1)
    return isinstance(left, list | str) and _is_number(right) and len(left) == right


def _is_empty(left: JsonValue, right: JsonValue, budget: Budget) -> bool:
    budget.spend(1)
    return isinstance(left, list | dict | str) and isinstance(right, bool) and (not left) is right


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_in(text: str) -> int | float | None:
    if _NUMERAL.fullmatch(text) is None:
        return None
    return float(text) if set(text) & set(".eE") else int(text)


_OPERATORS: Final[dict[str, Callable[[JsonValue, JsonValue, Budget], bool]]] = {
    "==": same,
    "!=": lambda left, right, budget: not same(left, right, budget),
    "===": _same_kind,
    "!==": lambda left, right, budget: not _same_kind(left, right, budget),
    "<": _less,
    "<=": _at_most,
    ">": lambda left, right, budget: _less(right, left, budget),
    ">=": lambda left, right, budget: _at_most(right, left, budget),
    "=~": _matches,
    "in": _is_in,
    "nin": _is_not_in,
    "contains": _contains,
    "all": _has_all,
    "subsetof": _is_subset,
    "anyof": _has_any,
    "noneof": _has_none,
    "size": _has_size,
    "empty": _is_empty,
}
