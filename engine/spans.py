"""Lengths of time and instants, in words.

Pure functions of milliseconds. Must not read a clock, nor depend on a time zone: an instant is told in UTC. Keeps the
invariant that every number of milliseconds has words, also one far outside of the calendar.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span_text(length_ms: int) -> str:
    """Return a length of time in its two largest units: `3 min 20 s`. What is not above 0 is `0 s`."""
    if 0 < length_ms < 1_000:  # noqa: PLR2004 (milliseconds of a second)
        return f"{length_ms} ms"
    left = max(length_ms, 0) // 1_000
    words: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count or words:
            words.append(f"{count} {unit}" if count else "")
        if len(words) == 2:  # noqa: PLR2004 (the two largest)
            break
    return " ".join(word for word in words if word) or "0 s"


def instant_text(at_ms: int) -> str:
    """Return an instant: `2026-01-31 12:00:00 UTC`."""
    try:
        return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d %H:%M:%S UTC")
    except OverflowError:
        return f"the year {1970 + at_ms // 31_556_952_000}"
