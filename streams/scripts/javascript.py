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

from streams.scripts.limits import INPUT_TOO_LARGE, MEMORY, MESSAGE_CHARS_MAX, STACK_BYTES, THROWN, TIMEOUT
from streams.scripts.outcome import Failure, Outcome, bounded

FUNCTION: Final = "function"
"""The form of a source that is the body of a function; the other form is `completion`."""
_FUNCTION_LINES: Final = 2
"""That the engine puts before the body of a compiled function."""
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
        self._used = None
        if self._context is not None:
            return
        self._context = _quickjs.Context()
        self._context.set_max_stack_size(STACK_BYTES)
        self._context.set_time_limit(_PREPARING_SECONDS)
        self._frame = self._context.eval(_HARNESS)

    def run(
        self, source: str, document: str, *, form: str, seed: int, now_ms: int, time_limit_ms: int, memory_bytes: int
    ) -> Outcome:
        """Evaluate a script over a document. `seed` has 128 bits; the clock stands at `now_ms`."""
        words = [float(seed >> shift & 0xFFFFFFFF) for shift in (96, 64, 32, 0)]
        # All zeros is the one state that a shift register never leaves.
        words[0] += float(not any(words))
        return self._called(
            "run",
            (form, source, _is_strict(source), document, float(now_ms), *words),
            form=form,
            time_limit_ms=time_limit_ms,
            memory_bytes=memory_bytes,
        )

    def check(self, source: str, *, form: str, time_limit_ms: int, memory_bytes: int) -> Outcome:
        """Parse a script without running it: null, or the failure."""
        return self._called(
            "check",
            (form, source, _is_strict(source)),
            form=form,
            time_limit_ms=time_limit_ms,
            memory_bytes=memory_bytes,
        )

    def _called(
        self, name: str, arguments: tuple[Any, ...], *, form: str, time_limit_ms: int, memory_bytes: int
    ) -> Outcome:
        context, frame = self._context, self._frame
        # Whatever comes of it, no script meets what another one left. It is freed after the answer, which takes longest
        # for the scripts that left most.
        self._used, self._context, self._frame = context, None, None
        context.set_memory_limit(memory_bytes)
        context.set_time_limit(time_limit_ms / 1_000)
        try:
            told = str(context.eval(f"(frame => frame.{name})")(frame)(*arguments))
        except _quickjs.StackOverflow:
            return Failure(THROWN, "RangeError: Maximum call stack size exceeded")
        except _quickjs.JSException as error:
            if str(error).startswith("InternalError: interrupted"):
                return timed_out(time_limit_ms)
            return Failure(MEMORY, f"the script needed more than the {memory_bytes} bytes of memory it may have")
        except UnicodeError:
            return Failure(INPUT_TOO_LARGE, "the script holds half of a character, which no text can")
        return bounded(told[1:].encode()) if told.startswith("V") else _failure(told[1:], form=form)


def timed_out(time_limit_ms: int) -> Failure:
    """Return what an author is told about a script that did not end."""
    return Failure(TIMEOUT, f"the script ran longer than {time_limit_ms} ms and was stopped")


def _is_strict(source: str) -> bool:
    return _STRICT.match(source) is not None


def _failure(told: str, *, form: str) -> Failure:
    kind, message, stack = json.loads(told)
    # The frame's own functions are the outermost callers: what stands before them is the author's.
    place = _PLACE.search(_OWN_FRAME.split(stack, maxsplit=1)[0])
    line = None if place is None else int(place[1]) - (_FUNCTION_LINES if form == FUNCTION else 0)
    # A cut may leave half a character, which no other side could decode.
    readable = str(message)[:MESSAGE_CHARS_MAX].encode(errors="replace").decode()
    return Failure(str(kind), readable, line if line and line > 0 else None)
