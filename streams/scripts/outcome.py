"""What a script came to, as the script process says it.

Holds the two shapes and the bounds of a value. Must not import anything that is slow to start. Keeps the invariant that
a value which leaves the process is JSON that the server can decode, store and write out again.
"""

import re
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from streams.scripts.limits import (
    NOT_JSON,
    RESULT_BYTES_MAX,
    RESULT_DEPTH_MAX,
    RESULT_TOO_LARGE,
    RESULT_VALUES_MAX,
)

_BRACKETS: Final = b"[]{}"
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_DEPTH_STEPS: Final = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Value(NamedTuple):
    """The result as JSON text."""

    text: bytes


class Failure(NamedTuple):
    """Why there is no result: one of the kinds in `limits`, a text for the author, the line if it is known."""

    kind: str
    message: str
    line: int | None = None


Outcome: TypeAlias = Value | Failure


def bounded(text: bytes) -> Outcome:
    """Return the value, or the failure if it is more than the server takes."""
    if len(text) > RESULT_BYTES_MAX:
        return Failure(
            RESULT_TOO_LARGE, f"the result is {len(text)} bytes of JSON; at most {RESULT_BYTES_MAX} are kept"
        )
    # Brackets and commas within texts count at first; only if that looks too much are the texts taken out.
    if _count(text) > RESULT_VALUES_MAX or _depth(text) > RESULT_DEPTH_MAX:
        bare = _TEXT.sub(b'""', text)
        count, depth = _count(bare), _depth(bare)
        if count > RESULT_VALUES_MAX:
            return Failure(RESULT_TOO_LARGE, f"the result has {count} values; at most {RESULT_VALUES_MAX} are kept")
        if depth > RESULT_DEPTH_MAX:
            return Failure(NOT_JSON, f"the result is nested {depth} deep; at most {RESULT_DEPTH_MAX} can be kept")
    return Value(text)


def _count(text: bytes) -> int:
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def _depth(text: bytes) -> int:
    return max(accumulate(map(_DEPTH_STEPS.__getitem__, text.translate(None, _ALL_BUT_BRACKETS))), default=0)
