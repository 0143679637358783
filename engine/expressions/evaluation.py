"""What a query gives.

Holds the evaluation of queries over a document. Must not parse. Keeps the invariants that the values come in the order
of the document, that none is changed or copied, and that every value looked at is charged for: there is no query that
does not end.

Source: Jayway JsonPath's `PathToken`s. A path that may give several values gives a list, also of none or one; nothing
is an error but too much work.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.expressions.budget import TEXT_CHARS_MAX, Budget, ResolutionExceeded
from engine.expressions.comparisons import holds
from engine.expressions.documents import MISSING, Lookup
from engine.expressions.functions import NoValue, call, gathered
from engine.expressions.patterns import Pattern
from engine.expressions.queries import (
    AllOf,
    AnyOf,
    Call,
    Children,
    Comparison,
    Condition,
    Descent,
    Exists,
    Filter,
    Literal,
    Not,
    Operand,
    Positions,
    Query,
    Slice,
    Step,
    Wildcard,
    is_last_step,
)
from engine.json_value import JsonValue
from engine.late import LateObject

_DEPTH_MAX: Final = 1_000
"""Of a value below which a deep scan looks."""


def evaluate(query: Query, lookup: Lookup) -> JsonValue:
    """Return what a query gives: a list, or, if it is definite, one value or null.

    Raises:
        ResolutionExceeded: it looks at too much, or gives too much.
    """
    try:
        value = _value(query, lookup, None)
    except NoValue:
        return None
    value = [_finished(item) for item in value] if isinstance(value, list) else _finished(value)
    _weigh(value, lookup.budget)
    return value


def _value(query: Query, lookup: Lookup, current: JsonValue) -> JsonValue:
    """Return the value of a query.

    Raises:
        NoValue: a function has none.
    """
    found = _select(query, lookup, current)
    if not query.is_definite:
        return found
    return found[0] if found else None


def _select(query: Query, lookup: Lookup, current: JsonValue) -> list[JsonValue]:
    """Return everything that the steps lead to."""
    steps = query.steps
    values, number = _start(query, lookup, current)
    scanned = False
    while number < len(steps):
        step = steps[number]
        number += 1
        if isinstance(step, Descent):
            scanned = True
            values = _scanned(values, steps[number], lookup, is_last=is_last_step(steps, number))
            number += 1
        elif isinstance(step, Call):
            values = _called(step, values, lookup, current, scanned=scanned)
        else:
            is_last = is_last_step(steps, number - 1)
            values = [found for value in values for found in _stepped(step, value, lookup, is_last=is_last)]
    return values


def _start(query: Query, lookup: Lookup, current: JsonValue) -> tuple[list[JsonValue], int]:
    """Return where a query begins, and the number of the first step from there."""
    if not query.from_root:
        return [current], 0
    first = query.steps[0] if query.steps else None
    if isinstance(first, Children) and len(first.names) == 1:
        value = lookup.root(first.names[0])
        return [] if value is MISSING else [value], 1
    return [lookup.whole()], 0


def _stepped(step: Step, value: JsonValue, lookup: Lookup, *, is_last: bool) -> Iterable[JsonValue]:
    """Return what one step leads to from one value."""
    budget = lookup.budget
    budget.spend(1)
    match step:
        case Children():
            return _children(step, value, is_last=is_last)
        case Positions():
            return _at(step, value)
        case Wildcard():
            items = _items(value)
            budget.spend(len(items))
            return items
        case Slice():
            if not isinstance(value, list):
                return ()
            piece = value[step.start : step.end]
            budget.spend(len(piece))
            return piece
        case Filter():
            if isinstance(value, dict):
                return (value,) if _is_true(step.condition, value, lookup) else ()
            if not isinstance(value, list):
                return ()
            return [item for item in value if _is_true(step.condition, item, lookup)]
        case Descent() | Call():
            raise AssertionError("deep scans and functions are no steps from one value")


def _children(step: Children, value: JsonValue, *, is_last: bool) -> Iterable[JsonValue]:
    if not isinstance(value, dict):
        return ()
    if len(step.names) == 1:
        name = step.names[0]
        return (value[name],) if name in value else ()
    there = {name: value[name] for name in step.names if name in value}
    return (there,) if is_last else there.values()


def _at(step: Positions, value: JsonValue) -> Iterable[JsonValue]:
    if not isinstance(value, list):
        return ()
    return [value[position] for position in step.positions if -len(value) <= position < len(value)]


def _items(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    return list(_finished(value).values()) if isinstance(value, dict) else []


def _scanned(values: list[JsonValue], step: Step, lookup: Lookup, *, is_last: bool) -> list[JsonValue]:
    """Return what a step leads to from the values and from everything below them, outer values first."""
    found: list[JsonValue] = []
    for value in values:
        waiting: list[Iterator[JsonValue]] = [iter((value,))]
        while waiting:
            item = next(waiting[-1], waiting)
            if item is waiting:
                waiting.pop()
                continue
            lookup.budget.spend(1)
            if not isinstance(item, dict | list):
                continue
            if _is_scanned(step, item):
                found.extend(_stepped(step, item, lookup, is_last=is_last))
            if len(waiting) >= _DEPTH_MAX:
                raise ResolutionExceeded(f"a deep scan looks {_DEPTH_MAX} deep, and this value is deeper")
            waiting.append(iter(_items(item)))
    return found


def _is_scanned(step: Step, value: JsonValue) -> bool:
    """Tell whether a deep scan applies a step here: several names only where all are, a filter only to objects."""
    match step:
        case Children():
            return isinstance(value, dict) and all(name in value for name in step.names)
        case Filter():
            return isinstance(value, dict)
        case _:
            return True


def _called(
    step: Call, values: list[JsonValue], lookup: Lookup, current: JsonValue, *, scanned: bool
) -> list[JsonValue]:
    arguments = [_operand(argument, lookup, current) for argument in step.arguments]
    plain = [_plain(value) for value in values]
    if scanned:
        return [gathered(step.name, plain, arguments, lookup.budget)]
    return [call(step.name, value, arguments, lookup.budget) for value in plain]


# ---- conditions


def _is_true(condition: Condition, current: JsonValue, lookup: Lookup) -> bool:
    lookup.budget.spend(1)
    match condition:
        case Comparison():
            left = _operand(condition.left, lookup, current)
            right = _operand(condition.right, lookup, current)
            return holds(left, condition.operator, right, lookup.budget)
        case Exists():
            try:
                return bool(_select(condition.query, lookup, current))
            except NoValue:
                return False
        case Not():
            return not _is_true(condition.condition, current, lookup)
        case AllOf():
            return all(_is_true(part, current, lookup) for part in condition.conditions)
        case AnyOf():
            return any(_is_true(part, current, lookup) for part in condition.conditions)


def _operand(operand: Operand, lookup: Lookup, current: JsonValue) -> JsonValue:
    match operand:
        case Literal():
            return operand.value
        case Pattern():
            return operand
        case Query():
            try:
                return _plain(_value(operand, lookup, current))
            except NoValue:
                return None


# ---- what comes out


def _plain(value: JsonValue) -> JsonValue:
    return value.whole() if isinstance(value, LateObject) else value


def _finished(value: JsonValue) -> JsonValue:
    """Return a value without parts that are put together late; they stand at most one level down."""
    if isinstance(value, LateObject):
        return value.whole()
    if isinstance(value, dict) and any(isinstance(item, LateObject) for item in value.values()):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _weigh(value: JsonValue, budget: Budget) -> None:
    """Charge for what a query gives: the same value may be in it many times.

    Raises:
        ResolutionExceeded: it is too much.
    """
    chars = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            chars += len(item)
            if chars > TEXT_CHARS_MAX:
                raise ResolutionExceeded(f"an expression gives more than {TEXT_CHARS_MAX} characters of text")
        elif isinstance(item, dict):
            budget.spend(len(item))
            chars += sum(map(len, item))
            waiting.extend(item.values())
        elif isinstance(item, list):
            budget.spend(len(item))
            waiting.extend(item)
