"""One rule broken at one place, and how places are written.

Holds the value and the checks that several rules share. Must not know what a workflow is. Keeps the invariant
that a path reads as one would reach the place in the JSON: `tasks[2].forkTasks[0][1].taskReferenceName`.
"""

import unicodedata
from collections.abc import Iterator
from typing import Final

import msgspec

from engine.json_value import JsonValue

NAME_CHARS_MAX: Final = 200
"""Names go into topic names, file names and URLs."""


class Violation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A rule that a definition breaks. The message says what is expected there and what was found."""

    path: str
    message: str
    invalid_value: JsonValue = None


def member(path: str, key: str) -> str:
    """Return the path of a key below `path`."""
    if key.isidentifier():
        return f"{path}.{key}" if path else key
    quoted = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{quoted}']"


def name_violations(path: str, name: str, *, of: str) -> Iterator[Violation]:
    """Yield what is wrong with a name or a reference name."""
    if not name.strip():
        yield Violation(path=path, message=f"{of} should not be empty", invalid_value=name)
        return
    if len(name) > NAME_CHARS_MAX:
        yield Violation(
            path=path,
            message=f"{of} should have at most {NAME_CHARS_MAX} characters and has {len(name)}",
            invalid_value=name,
        )
    odd = next((char for char in name if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}), None)
    if odd is not None:
        yield Violation(
            path=path,
            message=f"{of} should have no control characters and has U+{ord(odd):04X}",
            invalid_value=name,
        )


def minimum_violations(path: str, value: int | None, minimum: int, *, of: str) -> Iterator[Violation]:
    """Yield a violation if a number that is there is too small."""
    if value is not None and value < minimum:
        yield Violation(path=path, message=f"{of} should be at least {minimum} and is {value}", invalid_value=value)
