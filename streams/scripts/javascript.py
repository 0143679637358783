"""JavaScript in the script process: one fresh QuickJS context per script.

Holds the frame around a script and the reading of its outcome. Must not keep anything of one script for the next. Keeps
the invariant that whatever escapes the frame is one of three: the time was up, the stack was, or the memory was.

Source: Conductor's INLINE (the completion value of a script over `$`) and LAMBDA (the body of a function).
"""

import importlib
import json
import re
from pathlib import Path
from typing import Any, Final

from streams.scripts.limits import MEMORY, MESSAGE_CHARS_MAX, STACK_BYTES, THROWN, TIMEOUT
from streams.scripts.outcome import Failure, Outcome, bounded

FUNCTION: Final = "function"
"""The form of a source that is the body of a function; the other form is `completion`."""
_FUNCTION_LINES: Final = 2
"""That the engine puts before the body of a compiled function."""
_NULL: Final = "NULL"
"""What the frame says when null was thrown: the script did it, or the engine, which had no room for an error object."""
_THROW: Final = re.compile(r"\bthrow\b")
_PREPARING_SECONDS: Final = 5.0
_HARNESS: Final = Path(__file__).with_name("harness.js").read_text(encoding="utf-8")
_PLACE: Final = re.compile(r"<input>:(\d+)")
_OWN_FRAME: Final = re.compile(r"^ *at podium_", re.MULTILINE)
_STRICT: Final = re.compile(r"""(?:\s|//[^\n]*\n|/\*.*?\*/)*(["'])use strict\1""", re.DOTALL)

# The module below the `quickjs` package: the package itself imports a thread pool, and would make the start of a
# process half as long again.
_quickjs: Final[Any] = importlib.import_module("_quickjs")


class JavaScript:
    """Runs scripts, one after the other."""

    def __init__(self) -> None:
        self._used: Any = None
        self._context: Any = None
        self._frame: Any = None

    def prepare(self) -> None:
        """Make a context for the next script, while nobody waits; nothing is done if the last one was not used."""
        if self._context is not None:
            return
        self._context = _quickjs.Context()
        self._context.set_max_stack_size(STACK_BYTES)
        self._context.set_time_limit(_PREPARING_SECONDS)
        self._frame = self._context.eval(_HARNESS)

    def forget(self) -> None:
        """Free what the last script left."""
        self._used = None

    def run(
        self, source: str, document: str, *, form: str, seed: int, now_ms: int, time_limit_ms: int, memory_bytes: int
    ) -> Outcome:
        """Evaluate a script over a document. `seed` has 128 bits; the clock stands at `now_ms`."""
        words = [float(seed >> shift & 0xFFFFFFFF) for shift in (96, 64, 32, 0)]
        # All zeros is the one state that a shift register never leaves.
        words[0] += float(not any(words))
        return self._called(
            "run",
            source,
            (document, float(now_ms), *words),
            form=form,
            time_limit_ms=time_limit_ms,
            memory_bytes=memory_bytes,
        )

    def check(self, source: str, *, form: str, time_limit_ms: int, memory_bytes: int) -> Outcome:
        """Parse a script without running it: null, or the failure."""
        return self._called(
            "check",
            source,
            (),
            form=form,
            time_limit_ms=time_limit_ms,
            memory_bytes=memory_bytes,
        )

    def _called(
        self, name: str, source: str, rest: tuple[Any, ...], *, form: str, time_limit_ms: int, memory_bytes: int
    ) -> Outcome:
        context, frame = self._context, self._frame
        # Whatever comes of it, no script meets what another one left. It is freed after the answer, which takes longest
        # for the scripts that left most.
        self._used, self._context, self._frame = context, None, None
        context.set_memory_limit(memory_bytes)
        context.set_time_limit(time_limit_ms / 1_000)
        try:
            told = str(
                context.eval(f"(frame => frame.{name})")(frame)(form, source, _STRICT.match(source) is not None, *rest)
            )
        except _quickjs.StackOverflow:
            return Failure(THROWN, "RangeError: Maximum call stack size exceeded")
        except _quickjs.JSException as error:
            if str(error).startswith("InternalError: interrupted"):
                return timed_out(time_limit_ms)
            return Failure(MEMORY, f"the script needed more than the {memory_bytes} bytes of memory it may have")
        if told.startswith("V"):
            return bounded(told[1:].encode())
        failure = _failure(told[1:], source=source, form=form)
        if failure.kind != _NULL:
            return failure
        if _THROW.search(source) is None:
            return Failure(MEMORY, "the script needed more memory than it may have")
        return Failure(THROWN, "null was thrown, by the script or for want of memory")


def timed_out(time_limit_ms: int) -> Failure:
    """Return what an author is told about a script that did not end."""
    return Failure(TIMEOUT, f"the script ran longer than {time_limit_ms} ms and was stopped")


def _failure(told: str, *, source: str, form: str) -> Failure:
    kind, message, stack = json.loads(told)
    # A cut may leave half a character, which no other side could decode.
    readable = str(message)[:MESSAGE_CHARS_MAX].encode(errors="replace").decode()
    return Failure(str(kind), readable, _line(stack, source=source, form=form))


def _line(stack: str, *, source: str, form: str) -> int | None:
    """Return the innermost line of the author's source on a stack.

    The frame's own functions are the outermost callers: what stands before them is the author's. Sources that the
    script compiled itself are on the stack too; lines that the author's source does not have are theirs.
    """
    for place in _PLACE.finditer(_OWN_FRAME.split(stack, maxsplit=1)[0]):
        line = int(place[1]) - (_FUNCTION_LINES if form == FUNCTION else 0)
        if 0 < line <= source.count("\n") + 1:
            return line
    return None
