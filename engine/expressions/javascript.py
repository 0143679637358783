"""JavaScript's rules for values: conversion, comparison, arithmetic, text.

Holds the rules as functions over JSON values and `UNDEFINED`; numbers are floats throughout. Must not know
the syntax. Keeps the invariant that each function gives what an ECMAScript engine gives, or raises
`EvaluationFailed` where that would be an exception or more work than a decision may do.

Source: ECMA-262, sections "Type Conversion", "Testing and Comparison Operations" and "Number::toString".
"""

import math
import re
from typing import Final

from engine.expressions.simple_syntax import UNDEFINED
from engine.json_value import JsonValue

TEXT_CHARS_MAX: Final = 1_000_000
"""Of a text that an expression builds."""
ELEMENTS_MAX: Final = 10_000
"""Of lists that are turned into text within one conversion."""
_LIST_DEPTH_MAX: Final = 50
_INTEGER_MAX: Final = 2**53
_PLAIN_DIGITS_MAX: Final = 21
_PLAIN_ZEROS_MAX: Final = 6
"""Numbers from 1e21 on, and below 1e-6, are written with an exponent."""
INDEX_DIGITS_MAX: Final = 15
"""Longer positions are beyond any list."""

_WHITESPACE: Final = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    chr(point) for point in range(0x2000, 0x200B)
)
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)", re.ASCII)
_PREFIXED: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", re.ASCII)
_HALF: Final = re.compile("[\ud800-\udfff]")
_INFINITIES: Final = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}


class EvaluationFailed(Exception):
    """JavaScript would throw here, or the work is too much for a decision. The message is for the user."""


def from_json(value: JsonValue) -> JsonValue:
    """Return a value of the document as JavaScript has it: integers become doubles."""
    return double(value) if type(value) is int else value


def double(value: int) -> float:
    """Return the double next to an integer."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def to_json(value: JsonValue) -> JsonValue:
    """Return a result as JSON: whole numbers become integers, undefined and NaN become null.

    Raises:
        EvaluationFailed: a text with half a character in it, which JSON cannot hold.
    """
    if isinstance(value, str) and _has_half(value):
        raise EvaluationFailed("the result is a text with one half of a character in it, which no JSON can hold")
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) <= _INTEGER_MAX else value
    return None if value is UNDEFINED else value


def property_of(value: JsonValue, name: str) -> JsonValue:
    """Return `value[name]`.

    Raises:
        EvaluationFailed: the value is null or undefined.
    """
    if isinstance(value, dict):
        return from_json(value[name]) if name in value else UNDEFINED
    if value is None or value is UNDEFINED:
        raise EvaluationFailed(f"cannot read property {name!r} of {to_text(value)}")
    if isinstance(value, str | list):
        return _item_or_length(value, name)
    return UNDEFINED


def truthy(value: JsonValue) -> bool:
    """Return whether a condition with this value holds."""
    if isinstance(value, float):
        return value != 0.0 and not math.isnan(value)
    if isinstance(value, dict | list):
        return True
    return value is not UNDEFINED and bool(value)


def to_number(value: JsonValue) -> float:
    """Return the number that a value counts as, NaN if it is none."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        return float(value)
    if value is None:
        return 0.0
    if value is UNDEFINED:
        return math.nan
    text = to_text(value).strip(_WHITESPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _PREFIXED.fullmatch(text):
        return double(int(text, 0))
    return _INFINITIES.get(text, math.nan)


def to_text(value: JsonValue) -> str:
    """Return what `String(value)` gives.

    Raises:
        EvaluationFailed: an object that hides `toString`, or a list too large to write out.
    """
    if isinstance(value, list):
        return _list_text(value, [ELEMENTS_MAX], 0)
    return _scalar_text(value)


def strictly_equal(left: JsonValue, right: JsonValue) -> bool:
    """Return `left === right`: objects and lists are equal only to themselves."""
    if isinstance(left, dict | list):
        return left is right
    return _kind(left) == _kind(right) and (left is right or bool(left == right)) and not _is_nan(left)


def loosely_equal(left: JsonValue, right: JsonValue) -> bool:
    """Return `left == right`."""
    kinds = _kind(left), _kind(right)
    if "nothing" in kinds:
        return kinds[0] == kinds[1]
    if kinds[0] == kinds[1]:
        return strictly_equal(left, right)
    if "boolean" in kinds:
        return loosely_equal(*(to_number(side) if isinstance(side, bool) else side for side in (left, right)))
    if "object" in kinds:
        return loosely_equal(_primitive(left), _primitive(right))
    return to_number(left) == to_number(right)


def less(left: JsonValue, right: JsonValue) -> bool | None:
    """Return `left < right`, or None where a side is not a number: then no order holds."""
    left, right = _primitive(left), _primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        if left.isascii() and right.isascii():
            return left < right
        return left.encode("utf-16-be", "surrogatepass") < right.encode("utf-16-be", "surrogatepass")
    left, right = to_number(left), to_number(right)
    return None if math.isnan(left) or math.isnan(right) else left < right


def add(left: JsonValue, right: JsonValue) -> JsonValue:
    """Return `left + right`: the texts joined if one side is text, else the sum."""
    left, right = _primitive(left), _primitive(right)
    if not isinstance(left, str) and not isinstance(right, str):
        return to_number(left) + to_number(right)
    text = to_text(left) + to_text(right)
    if len(text) > TEXT_CHARS_MAX:
        raise EvaluationFailed(f"an expression may build a text of {TEXT_CHARS_MAX} characters, not of {len(text)}")
    # Two halves that meet are one character, in JavaScript by themselves.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") if _has_half(text) else text


def divide(left: float, right: float) -> float:
    """Return `left / right`: division by zero gives an infinity or NaN."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def remainder(left: float, right: float) -> float:
    """Return `left % right`, with the sign of `left`."""
    if math.isnan(left) or math.isnan(right) or math.isinf(left) or right == 0:
        return math.nan
    return math.fmod(left, right)


def number_text(value: float) -> str:
    """Return how JavaScript writes a number."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign, magnitude = ("-" if value < 0 else ""), abs(value)
    mantissa, _, exponent = repr(magnitude).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.<digits> * 10^point, once leading zeros of the fraction are counted away.
    point = len(whole.lstrip("0")) or len(digits) - len(fraction)
    point += int(exponent or 0)
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """Return digits with the decimal point after the first `point` of them."""
    count = len(digits)
    if count <= point <= _PLAIN_DIGITS_MAX:
        return digits + "0" * (point - count)
    if 0 < point <= _PLAIN_DIGITS_MAX:
        return f"{digits[:point]}.{digits[point:]}"
    if -_PLAIN_ZEROS_MAX < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def _kind(value: JsonValue) -> str:
    """Return the word for a value's type; null and undefined share one, which is how `==` sees them."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, dict | list) else "nothing"


def _is_nan(value: JsonValue) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _primitive(value: JsonValue) -> JsonValue:
    return to_text(value) if isinstance(value, dict | list) else value


def _scalar_text(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, dict):
        if "toString" in value:
            raise EvaluationFailed("an object with a key 'toString' cannot be turned into text")
        return "[object Object]"
    return "null" if value is None else "undefined"


def _list_text(items: list[JsonValue], elements_left: list[int], depth: int) -> str:
    """Join a list as `Array.prototype.join` does, within a budget shared by nested lists."""
    elements_left[0] -= len(items)
    if elements_left[0] < 0 or depth > _LIST_DEPTH_MAX:
        raise EvaluationFailed(
            f"a list that is turned into text has at most {ELEMENTS_MAX} elements, {_LIST_DEPTH_MAX} deep"
        )
    texts: list[str] = []
    for item in items:
        value = from_json(item)
        if isinstance(value, list):
            texts.append(_list_text(value, elements_left, depth + 1))
        else:
            texts.append("" if value is None else _scalar_text(value))
    return ",".join(texts)


def _index(name: str) -> int | None:
    """Return the position that a property name spells, if it is the spelling that JavaScript uses."""
    if not (name.isascii() and name.isdigit()) or len(name) > INDEX_DIGITS_MAX or (name[0] == "0" and name != "0"):
        return None
    return int(name)


def _item_or_length(value: str | list[JsonValue], name: str) -> JsonValue:
    items = value if isinstance(value, list) else _units(value)
    if name == "length":
        return float(len(items))
    index = _index(name)
    if index is None or index >= len(items):
        return UNDEFINED
    return from_json(items[index])


def _has_half(text: str) -> bool:
    return not text.isascii() and _HALF.search(text) is not None


def _units(text: str) -> str | list[str]:
    """Return the UTF-16 units of a text: JavaScript counts those."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(raw), 2)]
