"""JSON as the standard has it, and no more.

Holds the one parser of request bodies. Must not know what a body means. Keeps the invariant that a value
which was read can be written to the log and read again: no NaN, no infinity, no half of a surrogate pair, no
integer beyond 64 bits, no nesting that a later reader would choke on.

Of equal keys in one object the last counts, as in every parser that the clients use.
"""

import json
import re
from typing import Final

import orjson

from engine.json_value import JsonValue

DEPTH_MAX: Final = 100
"""Objects and lists in one another. A workflow definition spends four levels on each nested SWITCH or loop."""

_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
"""What both JSON libraries of the log write: signed, or unsigned, 64 bits."""

_SHOWN_CHARS: Final = 40
"""Of an integer that is refused."""

_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")
"""Any integer that leaves 64 bits has at least 19 digits. So may a text: then the slow look decides."""


class JsonInvalid(ValueError):
    """The text is not JSON that can be taken. The message says what was expected and where."""


def parse(body: bytes, *, depth_max: int = DEPTH_MAX) -> JsonValue:
    """Return the value of a JSON text.

    Raises:
        JsonInvalid: it is not strict JSON, nests too deep, or holds an integer beyond 64 bits.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"the body must be JSON in UTF-8, but {error}"
        raise JsonInvalid(message) from None
    # As many brackets as levels at least: nearly every body is let through by this count alone.
    if body.count(b"{") + body.count(b"[") > depth_max and depth_of(value) > depth_max:
        message = f"the body must not nest deeper than {depth_max} objects and lists, but it does"
        raise JsonInvalid(message)
    if _MANY_DIGITS.search(body) is not None:
        _refuse_wide_integers(body)
    return value


def depth_of(value: JsonValue) -> int:
    """Return how many objects and lists enclose the innermost value. Level by level: it cannot overflow the stack."""
    depth = 0
    level = [value]
    while containers := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = []
        for container in containers:
            level.extend(container.values() if isinstance(container, dict) else container)
    return depth


def _refuse_wide_integers(body: bytes) -> None:
    """Raise if an integer leaves 64 bits; the fast parser would have turned it into a rounded float."""
    json.loads(body, parse_int=_checked_integer)


def _checked_integer(text: str) -> int:
    # Twenty digits and a sign hold every 64-bit integer; a longer one is not even converted.
    if len(text) > len(str(_INTEGER_MIN)) or not _INTEGER_MIN <= int(text) <= _INTEGER_MAX:
        message = (
            f"integers must fit into 64 bits ({_INTEGER_MIN} to {_INTEGER_MAX}), but the body has "
            f"{text[:_SHOWN_CHARS]}: send it as a text"
        )
        raise JsonInvalid(message)
    return int(text)
