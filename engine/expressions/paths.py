"""Paths inside `${…}`: from the text to the steps that lead to a value.

Holds the definite part of JSONPath: names, `['names']` and list positions. Must not evaluate anything that
may give several values (wildcards, filters, slices, deep scan): such a path is refused by name, so that it
can be served later without a change of meaning. Keeps the invariant that a parsed path gives exactly one
value or none.

Source: Conductor reads these paths with Jayway JsonPath.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

PATH_CHARS_MAX: Final = 4_096
"""A path is typed by a person, or put together from a few values: what is longer is a mistake."""
_CACHED_PATHS: Final = 4_096
_CACHED_CHARS_MAX: Final = 256
"""Only short paths are kept: those of nested expressions come from payloads, the cache must stay small."""

_DOTTED_NAME: Final = re.compile(r"[^.\[\]()*]+")
_POSITION: Final = re.compile(r"\[\s*(-?\d{1,9})\s*\]")
_QUOTED_NAME: Final = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class PathInvalid(ValueError):
    """A path cannot be read, or asks for more than one value. The message says where and why."""


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """`root` names a part of the document, `steps` lead into it: texts are keys, numbers list positions."""

    root: str
    steps: tuple[str | int, ...]


def parse_path(text: str) -> Path:
    """Return the path that a text spells. Leading `$.` and blanks around it are allowed.

    Raises:
        PathInvalid: the text is no path, or one of a kind that is not served.
    """
    return _parse_cached(text) if len(text) <= _CACHED_CHARS_MAX else _parse(text)


def _parse(text: str) -> Path:
    if len(text) > PATH_CHARS_MAX:
        raise PathInvalid(f"a path has at most {PATH_CHARS_MAX} characters, this one has {len(text)}")
    path = text.strip()
    position = 0
    if path.startswith("$"):
        position = 2 if path.startswith("$.") and not path.startswith("$..") else 1
    steps: list[str | int] = []
    expect_dot = position == 1
    while position < len(path):
        step, position = _next_step(path, position, after_dot=not expect_dot)
        steps.append(step)
        expect_dot = True
    if not steps or not isinstance(steps[0], str):
        raise PathInvalid(f"a path begins with the name of a task or with 'workflow', found {path!r}")
    return Path(root=steps[0], steps=tuple(steps[1:]))


_parse_cached = lru_cache(maxsize=_CACHED_PATHS)(_parse)


def _next_step(path: str, position: int, *, after_dot: bool) -> tuple[str | int, int]:
    """Return the step that begins at `position`, and where the next one begins."""
    if path[position] == "[":
        return _bracket(path, position)
    if not after_dot:
        if path[position] != ".":
            raise PathInvalid(f"expected '.' or '[' at character {position + 1} of {path!r}, found {path[position]!r}")
        position += 1
    name = _DOTTED_NAME.match(path, position)
    if name is None:
        raise PathInvalid(_refusal(path, position))
    if path.startswith("(", name.end()):
        raise PathInvalid(f"the function '{name.group()}()' in {path!r} is not served in expressions")
    return name.group(), name.end()


def _bracket(path: str, position: int) -> tuple[str | int, int]:
    number = _POSITION.match(path, position)
    if number is not None:
        return int(number.group(1)), number.end()
    quoted = _QUOTED_NAME.match(path, position)
    if quoted is not None:
        name = quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
        return _ESCAPED.sub(r"\1", name), quoted.end()
    raise PathInvalid(_refusal(path, position))


def _refusal(path: str, position: int) -> str:
    """Say which JSONPath feature stands at `position`, or that nothing readable does."""
    rest = path[position:]
    inside = rest[1:].partition("]")[0].strip()
    if rest.startswith("."):
        return f"the deep scan '..' in {path!r} is not served in expressions"
    if rest.startswith("*") or inside == "*":
        return f"the wildcard '*' in {path!r} is not served in expressions"
    if rest.startswith("[") and inside.startswith(("?", "(")):
        return f"the filter '[{inside}]' in {path!r} is not served in expressions"
    if rest.startswith("[") and "," in inside:
        return f"the list of keys '[{inside}]' in {path!r} is not served in expressions"
    if rest.startswith("[") and ":" in inside:
        return f"the slice '[{inside}]' in {path!r} is not served in expressions"
    found = repr(rest[0]) if rest else "the end"
    return f"expected a name, ['name'] or [position] at character {position + 1} of {path!r}, found {found}"
