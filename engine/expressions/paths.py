"""Paths inside `${…}`: from the text to what leads to a value.

Holds the plain paths, which nearly all are: names, `['names']` and one position at a time. Everything else is a query
(`engine.expressions.query_syntax`). Must not evaluate. Keeps the invariant that a plain path gives exactly one value
or none.

Source: Conductor reads these paths with Jayway JsonPath.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from engine.expressions.queries import Query
from engine.expressions.query_syntax import PathInvalid, parse_query

PATH_CHARS_MAX: Final = 4_096
"""A path is typed by a person, or put together from a few values: what is longer is a mistake."""
_CACHED_PATHS: Final = 4_096
_CACHED_CHARS_MAX: Final = 256
"""Only short paths are kept: those of nested expressions come from payloads, the cache must stay small."""

_DOTTED_NAME: Final = re.compile(r"[^.\[\]()*]+")
_POSITION: Final = re.compile(r"\[\s*(-?\d{1,9})\s*\]")
_QUOTED_NAME: Final = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """`root` names a part of the document, `steps` lead into it: texts are keys, numbers list positions."""

    root: str
    steps: tuple[str | int, ...]


def parse_path(text: str) -> Path | Query:
    """Return the path that a text spells, a query if it is more than plain.

    Leading `$.` and blanks around it are allowed.

    Raises:
        PathInvalid: the text is no path.
    """
    return _parse_cached(text) if len(text) <= _CACHED_CHARS_MAX else _parse(text)


def _parse(text: str) -> Path | Query:
    if len(text) > PATH_CHARS_MAX:
        raise PathInvalid(f"a path has at most {PATH_CHARS_MAX} characters, this one has {len(text)}")
    path = text.strip()
    plain = _plain_path(path)
    return parse_query(path) if plain is None else plain


_parse_cached = lru_cache(maxsize=_CACHED_PATHS)(_parse)


def _plain_path(path: str) -> Path | None:
    """Return a path if it is plain."""
    position = 0
    if path.startswith("$"):
        position = 2 if path.startswith("$.") and not path.startswith("$..") else 1
    steps: list[str | int] = []
    expect_dot = position == 1
    while position < len(path):
        found = _next_step(path, position, after_dot=not expect_dot)
        if found is None:
            return None
        steps.append(found[0])
        position = found[1]
        expect_dot = True
    if not steps or not isinstance(steps[0], str):
        return None
    return Path(root=steps[0], steps=tuple(steps[1:]))


def _next_step(path: str, position: int, *, after_dot: bool) -> tuple[str | int, int] | None:
    """Return the plain step that begins at `position`, and where the next one begins."""
    if path[position] == "[":
        number = _POSITION.match(path, position)
        if number is not None:
            return int(number.group(1)), number.end()
        quoted = _QUOTED_NAME.match(path, position)
        if quoted is None:
            return None
        name = quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
        return _ESCAPED.sub(r"\1", name), quoted.end()
    if not after_dot:
        if path[position] != ".":
            return None
        position += 1
    dotted = _DOTTED_NAME.match(path, position)
    if dotted is None or path.startswith(("(", "*"), dotted.end()):
        return None
    return dotted.group(), dotted.end()
