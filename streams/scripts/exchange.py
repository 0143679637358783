"""What passes between the pool and a script process: a job as messages, an answer as a result.

Holds the two translations. Must not wait for anything. Keeps the invariant that whatever a script process says, a
result comes out of it that can be recorded.
"""

import contextlib
import gc
from typing import Final

import msgspec
import orjson

from engine.json_value import JsonValue
from streams.scripts import limits
from streams.scripts.framing import VALUE
from streams.scripts.jobs import FailureKind, ScriptFailure, ScriptJob, ScriptResult, ScriptValue

_OUT_OF_MEMORY: Final = ("cannot allocate memory", "MemoryError")
"""What jq, and the interpreter, print when the address space is used up."""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as the script process writes it."""

    kind: FailureKind
    message: str
    line: int | None = None


_told_failure: Final = msgspec.json.Decoder(_Told)
_UNREADABLE: Final = _Told(kind=FailureKind.CRASHED, message="the script process gave a failure that cannot be read")


def message_of(job: ScriptJob, *, check: bool) -> tuple[bytes, bytes] | ScriptFailure:
    """Return the job and its document as they travel, or why they do not. `check`: the script is not to be run."""
    try:
        source_bytes = len(job.source.encode())
        document = msgspec.json.encode(job.document)
    except UnicodeEncodeError:
        return _refused(FailureKind.NOT_JSON, "the source or the document holds half of a character")
    except (RecursionError, TypeError, ValueError) as error:
        return _refused(FailureKind.NOT_JSON, f"the document cannot be written as JSON: {error}")
    for name, size, most in (
        ("source", source_bytes, limits.SOURCE_BYTES_MAX),
        ("document", len(document), limits.DOCUMENT_BYTES_MAX),
    ):
        if size > most:
            message = f"the {name} of a script is {size} bytes; at most {most} are taken"
            return _refused(FailureKind.INPUT_TOO_LARGE, message)
    return msgspec.json.encode(job.as_told(check=check)), document


def result_of(tag: bytes, body: bytes, *, duration_ms: float) -> ScriptResult:
    """Return what a script process answered. Holds up the loop for 10 ms at most (measured)."""
    if tag == VALUE:
        try:
            return ScriptValue(value=_decoded(body), duration_ms=duration_ms)
        except orjson.JSONDecodeError as error:
            message = f"the result is no JSON that can be kept (half of a character, say): {error}"
            return ScriptFailure(kind=FailureKind.NOT_JSON, message=message, duration_ms=duration_ms)
    told = _UNREADABLE
    with contextlib.suppress(msgspec.MsgspecError):
        told = _told_failure.decode(body)
    message = told.message[: limits.MESSAGE_CHARS_MAX]
    return ScriptFailure(kind=told.kind, message=message, line=told.line, duration_ms=duration_ms)


def timeout_of(job: ScriptJob, *, duration_ms: float) -> ScriptFailure:
    """Return the failure of a script whose process was killed at its limit."""
    message = f"the script ran longer than {job.time_limit_ms} ms and was stopped"
    return ScriptFailure(kind=FailureKind.TIMEOUT, message=message, duration_ms=duration_ms)


def crash_of(job: ScriptJob, reason: str, *, duration_ms: float) -> ScriptFailure:
    """Return the failure of a script whose process ended by itself."""
    if any(words in reason for words in _OUT_OF_MEMORY):
        message = f"the script needed more than the {job.memory_bytes} bytes of memory it may have"
        return ScriptFailure(kind=FailureKind.MEMORY, message=message, duration_ms=duration_ms)
    return ScriptFailure(kind=FailureKind.CRASHED, message=reason, duration_ms=duration_ms)


def _decoded(body: bytes) -> JsonValue:
    """Decode a result without the garbage collector.

    200,000 new containers, none of them garbage yet, would set it off several times, each time through everything that
    the server holds: 60 ms where decoding takes 5 (measured, with a million objects).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if collecting:
            gc.enable()


def _refused(kind: FailureKind, message: str) -> ScriptFailure:
    return ScriptFailure(kind=kind, message=message, duration_ms=0.0)
