"""jq in the script process: programs compiled once, run over one input each.

Holds the cache and the reading of results. Must not run a program that reaches outside. Keeps the invariant that a
program sees its input and the instant of the job, and nothing else.

Source: Conductor's JSON_JQ_TRANSFORM: a program over the whole input; its results are a list.
"""

import json
import re
from typing import Any, Final, NamedTuple

import jq

from streams.scripts.jq_tokens import JqUnclear, asks_for_time, refusal_of, tokens_of
from streams.scripts.limits import (
    FORBIDDEN,
    MESSAGE_CHARS_MAX,
    NOT_JSON,
    PROGRAMS_MAX,
    RESULT_BYTES_MAX,
    RESULT_TOO_LARGE,
    RESULT_VALUES_MAX,
    SYNTAX,
    THROWN,
)
from streams.scripts.outcome import Failure, Outcome, Value, bounded

_PLACE: Final = re.compile(r" at <top-level>, line (\d+)(?:, column \d+)?:?")
_CLOCK: Final = "$__podium_now"
_WITH_CLOCK: Final = f". as [{_CLOCK}, $__podium_input] | $__podium_input | def now: {_CLOCK}; "
"""Before a program that asks for the time: its input comes with the instant, and `now` is that instant."""


class _Program(NamedTuple):
    compiled: Any
    asks_for_time: bool


class JqPrograms:
    """Runs programs, one after the other."""

    def __init__(self) -> None:
        self._programs: dict[str, _Program] = {}

    def run(self, source: str, document: str, *, now_ms: int) -> Outcome:
        """Run a program over a document. The value is the list of its results."""
        program = self._compiled(source)
        if isinstance(program, Failure):
            return program
        text = f"[{now_ms / 1_000!r},{document}]" if program.asks_for_time else document
        outcome = _results(program.compiled, text)
        if isinstance(outcome, Failure):
            # A run that was not read to its end may leave its state behind.
            del self._programs[source]
        return outcome

    def check(self, source: str) -> Outcome:
        """Compile a program without running it: null, or the failure."""
        program = self._compiled(source)
        return program if isinstance(program, Failure) else Value(b"null")

    def _compiled(self, source: str) -> _Program | Failure:
        known = self._programs.pop(source, None)
        if known is None:
            made = _compile(source)
            if isinstance(made, Failure):
                return made
            known = made
        if len(self._programs) >= PROGRAMS_MAX:
            del self._programs[next(iter(self._programs))]
        # The last used one stands last: the first is the one to drop.
        self._programs[source] = known
        return known


def _compile(source: str) -> _Program | Failure:
    try:
        tokens = tokens_of(source)
    except JqUnclear as unclear:
        return Failure(FORBIDDEN, unclear.reason, unclear.line)
    refusal = refusal_of(tokens)
    if refusal is not None:
        return refusal
    try:
        # 1. As the author wrote it, so that places in the message are the author's.
        compiled = jq.compile(source)
        # 2. With the clock before it, if it may ask.
        if asks_for_time(tokens):
            return _Program(jq.compile(_WITH_CLOCK + source), asks_for_time=True)
    except ValueError as error:
        return _syntax_failure(str(error))
    return _Program(compiled, asks_for_time=False)


def _syntax_failure(message: str) -> Failure:
    """Return jq's first complaint, without the excerpt it draws below."""
    place = _PLACE.search(message)
    first = _PLACE.sub("", message.partition("\n")[0]).removeprefix("jq: error: ")
    return Failure(SYNTAX, first[:MESSAGE_CHARS_MAX], None if place is None else int(place[1]))


def _results(compiled: Any, document: str) -> Outcome:  # noqa: ANN401  # the client is not typed
    pieces: list[str] = []
    size = 0
    try:
        for value in compiled.input_text(document):
            pieces.append(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
            size += len(pieces[-1]) + 1
            if size > RESULT_BYTES_MAX or len(pieces) > RESULT_VALUES_MAX:
                return Failure(
                    RESULT_TOO_LARGE,
                    f"the results are more than {RESULT_BYTES_MAX} bytes of JSON or {RESULT_VALUES_MAX} values",
                )
    except RecursionError:
        return Failure(NOT_JSON, "a result is nested too deeply to be kept")
    except ValueError as error:
        return Failure(THROWN, str(error)[:MESSAGE_CHARS_MAX])
    return bounded(f"[{','.join(pieces)}]".encode(errors="replace"))
