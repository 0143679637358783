"""From the tree of a query to a condition in SQL with bound values.

Holds the meaning of each comparison. Must not run anything. Keeps two invariants: the SQL is made of constants of
this package and of placeholders; and every condition is either true or false of a row, also where the field is
missing.

What is missing equals nothing: text that is not there is the empty text; a time that has not come is neither before
nor after any other, and equals 0.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from streams.history.search.fields import Field, FieldKind, Searched
from streams.history.search.syntax import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    FieldName,
    Literal,
    Missing,
    Node,
    Not,
    OneOf,
    Operator,
    StartsWith,
)
from streams.service import QueryInvalid

# What the store's time type holds for certain: just before the epoch until the year 2286.
_TIME_MS_MIN: Final = -1
_TIME_MS_MAX: Final = 9_999_999_999_999
_NUMBER_MAX: Final = (1 << 63) - 1
_MILLISECOND: Final = timedelta(milliseconds=1)
_LIKE_ESCAPES: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


class Bindings:
    """The values of a query, under names of their own."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: object, kind: str) -> str:
        """Take a value in and return the placeholder that stands for it."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def condition_sql(node: Node, searched: Searched, bindings: Bindings) -> str:
    """Return the condition that a tree means.

    Raises:
        QueryInvalid: a field is unknown, or a value or an operator does not fit it; names the position.
    """
    match node:
        case AllOf():
            return "(" + " AND ".join(condition_sql(term, searched, bindings) for term in node.terms) + ")"
        case AnyOf():
            return "(" + " OR ".join(condition_sql(term, searched, bindings) for term in node.terms) + ")"
        case Not():
            return f"(NOT {condition_sql(node.term, searched, bindings)})"
        case _:
            return f"({_condition(node, field_of(node.field, searched), bindings)})"


def field_of(name: FieldName, searched: Searched) -> Field:
    """Return the field that a name means.

    Raises:
        QueryInvalid: there is none; names the position and the fields that there are.
    """
    field = searched.fields.get(name.text)
    if field is None:
        raise QueryInvalid(
            f"position {name.position}: expected one of the fields {', '.join(sorted(searched.fields))}; "
            f"found {name.text!r}"
        )
    return field


def like_pattern(pieces: tuple[str, ...]) -> str:
    """Return the LIKE pattern of a text cut at its wildcards; no other character of it has a meaning."""
    return "%".join(piece.translate(_LIKE_ESCAPES) for piece in pieces)


def _condition(node: Condition, field: Field, bindings: Bindings) -> str:
    sql = field.sql
    match node:
        case Missing():
            return _missing(field)
        case StartsWith():
            if field.kind is not FieldKind.TEXT:
                raise _unfit(node.value, f"{node.field.text} is {field.kind.value} and has no beginning")
            return f"startsWith({sql}, {bindings.bind(node.value.text, 'String')})"
        case OneOf():
            return _one_of(node, field, bindings)
        case Between():
            low = _placeholder(node.low, node.field, field, bindings)
            high = _placeholder(node.high, node.field, field, bindings)
            return f"{_has_come(field)}{sql} BETWEEN {low} AND {high}"
        case Compare():
            return _compare(node, field, bindings)


def _compare(node: Compare, field: Field, bindings: Bindings) -> str:
    is_pattern = node.value.has_wildcard and field.kind is FieldKind.TEXT
    match node.operator:
        case Operator.EQUAL if is_pattern:
            return f"{field.sql} LIKE {bindings.bind(like_pattern(node.value.pieces), 'String')}"
        case Operator.UNEQUAL if is_pattern:
            return f"{field.sql} NOT LIKE {bindings.bind(like_pattern(node.value.pieces), 'String')}"
        case Operator.EQUAL | Operator.UNEQUAL:
            return f"{field.sql} {node.operator.value} {_placeholder(node.value, node.field, field, bindings)}"
        case _:
            value = _placeholder(node.value, node.field, field, bindings)
            return f"{_has_come(field)}{field.sql} {node.operator.value} {value}"


def _one_of(node: OneOf, field: Field, bindings: Bindings) -> str:
    match field.kind:
        case FieldKind.TEXT:
            return f"{field.sql} IN {bindings.bind([value.text for value in node.values], 'Array(String)')}"
        case FieldKind.TIME:
            instants = [_instant_ms(value, node.field) for value in node.values]
            return f"toUnixTimestamp64Milli({field.sql}) IN {bindings.bind(instants, 'Array(Int64)')}"
        case FieldKind.NUMBER:
            numbers = [_number(value, node.field) for value in node.values]
            kind = "Array(Int64)" if all(isinstance(number, int) for number in numbers) else "Array(Float64)"
            return f"has({bindings.bind(numbers, kind)}, {field.sql})"


def _placeholder(value: Literal, name: FieldName, field: Field, bindings: Bindings) -> str:
    match field.kind:
        case FieldKind.TEXT:
            return bindings.bind(value.text, "String")
        case FieldKind.TIME:
            return f"fromUnixTimestamp64Milli({bindings.bind(_instant_ms(value, name), 'Int64')}, 'UTC')"
        case FieldKind.NUMBER:
            number = _number(value, name)
            return bindings.bind(number, "Int64" if isinstance(number, int) else "Float64")


def _missing(field: Field) -> str:
    match field.kind:
        case FieldKind.TEXT:
            return f"{field.sql} = ''"
        case FieldKind.TIME:
            return f"toUnixTimestamp64Milli({field.sql}) = 0"
        case FieldKind.NUMBER:
            return "1 = 0"


def _has_come(field: Field) -> str:
    return f"toUnixTimestamp64Milli({field.sql}) != 0 AND " if field.optional else ""


def _number(value: Literal, name: FieldName) -> int | float:
    text = value.text
    try:
        number = int(text) if text.lstrip("+-").isdecimal() and text.isascii() else float(text)
    except ValueError:
        raise _unfit(value, f"{name.text} is compared with a number") from None
    if not -_NUMBER_MAX <= number <= _NUMBER_MAX:
        raise _unfit(value, f"{name.text} is compared with a number of at most 19 digits")
    return number


def _instant_ms(value: Literal, name: FieldName) -> int:
    text = value.text
    if text.isascii() and text.removeprefix("-").isdecimal():
        instant_ms = int(text[:20])  # more digits are far beyond the bounds anyway
    else:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise _unfit(value, f"{name.text} is compared with epoch milliseconds or an ISO 8601 time") from None
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        instant_ms = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND
    return min(max(instant_ms, _TIME_MS_MIN), _TIME_MS_MAX)


def _unfit(value: Literal, why: str) -> QueryInvalid:
    return QueryInvalid(f"position {value.position}: {why}; found {value.text!r}")
