"""A script to run, and what it came to, as the server sees them.

Holds the types and their checks. Must not run anything. Keeps the invariant that a job which exists is within the
bounds of `limits`, except for its texts, which are measured when they are encoded.
"""

import hashlib
from enum import StrEnum
from typing import TypeAlias

import msgspec

from engine.json_value import JsonObject, JsonValue
from streams.scripts import limits


class Language(StrEnum):
    """In which a script is written."""

    JAVASCRIPT = "javascript"
    JQ = "jq"


class Form(StrEnum):
    """What a JavaScript source is. jq has one form only."""

    COMPLETION = "completion"
    """A script; its value is that of its last statement, which may be an `if`."""
    FUNCTION = "function"
    """The body of a function; its value is what it returns."""


class FailureKind(StrEnum):
    """Why a script has no result. The words are recorded: they never change."""

    SYNTAX = limits.SYNTAX
    """The source is not well-formed."""
    THROWN = limits.THROWN
    """The script threw, or jq raised an error."""
    TIMEOUT = limits.TIMEOUT
    """It ran longer than it may."""
    MEMORY = limits.MEMORY
    """It needed more memory than it may have."""
    INPUT_TOO_LARGE = limits.INPUT_TOO_LARGE
    """The source or the document is above what is taken."""
    RESULT_TOO_LARGE = limits.RESULT_TOO_LARGE
    """The result is above what is kept."""
    NOT_JSON = limits.NOT_JSON
    """The result (or the document) is nothing that JSON can hold."""
    FORBIDDEN = limits.FORBIDDEN
    """The source uses what reaches outside."""
    CRASHED = limits.CRASHED
    """Its process ended. Nothing is known about the reason but the signal."""


class ScriptJob(msgspec.Struct, frozen=True, kw_only=True):
    """One script over one document.

    `document` is bound to `$` in JavaScript, as a copy, and is the input `.` of jq. `now_ms` is where the script's
    clock stands, and `seed` (the id of the task's first attempt, say) what its random numbers follow from: the same job
    gives the same value every time.

    Raises:
        ValueError: a limit is outside its bounds.
    """

    language: Language
    source: str
    now_ms: int
    document: JsonValue = None
    form: Form = Form.COMPLETION
    seed: str = ""
    time_limit_ms: int = limits.TIME_LIMIT_MS_DEFAULT
    memory_bytes: int = limits.MEMORY_BYTES_DEFAULT

    def __post_init__(self) -> None:
        _within("time_limit_ms", self.time_limit_ms, 1, limits.TIME_LIMIT_MS_MAX)
        _within("memory_bytes", self.memory_bytes, limits.MEMORY_BYTES_MIN, limits.MEMORY_BYTES_MAX)

    def as_told(self, *, check: bool) -> JsonObject:
        """Return what the script process is told besides the document. `check`: do not run it."""
        digest = hashlib.blake2b(f"{self.now_ms}:{self.seed}".encode(errors="replace"), digest_size=16).digest()
        return {
            "language": self.language,
            "source": self.source,
            "form": self.form,
            "check": check,
            "now_ms": self.now_ms,
            # A JSON number of that size is no problem for Python on either side.
            "seed": int.from_bytes(digest),
            "time_limit_ms": self.time_limit_ms,
            "memory_bytes": self.memory_bytes,
        }


class ScriptValue(msgspec.Struct, frozen=True, kw_only=True):
    """A script's result; of jq, the list of all results. `duration_ms` is wall-clock time without the wait."""

    value: JsonValue
    duration_ms: float


class ScriptFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no result, for the author; `line` counts from one in the source, None where it is not known."""

    kind: FailureKind
    message: str
    duration_ms: float
    line: int | None = None

    def __str__(self) -> str:
        return self.message if self.line is None else f"{self.message} (line {self.line})"


ScriptResult: TypeAlias = ScriptValue | ScriptFailure


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} of a script should be from {least} to {most} and is {value}")
