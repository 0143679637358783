"""Lengths of time and instants as people write them in WAIT tasks.

Holds the two parsers. Must not read a clock: an instant is what the text says, in UTC where it names no zone.
Keeps the invariant that a text is read whole or refused with the form that was expected.

Source: Conductor's `DateTimeUtils.parseDuration` and `parseDate`.
"""

import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

DURATION_FORM: Final = "whole days, hours, minutes and seconds in this order, such as '1 day 2h 30 sec'"
INSTANT_FORM: Final = "'yyyy-MM-dd HH:mm', 'yyyy-MM-dd HH:mm <zone>' or 'yyyy-MM-dd'"

_DURATION: Final = re.compile(
    r"\s*(?:(?P<days>\d{1,9})\s*(?:days?|d))?"
    r"\s*(?:(?P<hours>\d{1,9})\s*(?:hours?|hrs?|h))?"
    r"\s*(?:(?P<minutes>\d{1,9})\s*(?:minutes?|mins?|m))?"
    r"\s*(?:(?P<seconds>\d{1,9})\s*(?:seconds?|secs?|s))?\s*",
    re.IGNORECASE | re.ASCII,
)
_INSTANT: Final = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:\s+(\d{1,2}):(\d{1,2})(?:\s+(?P<zone>\S.{0,60}?))?)?\s*", re.ASCII
)
_OFFSET: Final = re.compile(r"(?:GMT|UTC|UT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE | re.ASCII)
_ZONE_ABBREVIATIONS: Final = {
    "AEDT": 660, "AEST": 600, "BST": 60, "CDT": -300, "CEST": 120, "CET": 60, "CST": -360, "EDT": -240,
    "EEST": 180, "EET": 120, "EST": -300, "GMT": 0, "IST": 330, "JST": 540, "MDT": -360, "MSK": 180,
    "MST": -420, "NZDT": 780, "NZST": 720, "PDT": -420, "PST": -480, "UT": 0, "UTC": 0,
    "WEST": 60, "WET": 0, "Z": 0,
}  # fmt: skip
"""Minutes east of UTC. Of an abbreviation with several meanings, the one that is most in use."""


def parse_duration_ms(text: str) -> int:
    """Return a length of time.

    Raises:
        ValueError: the text has another form than `DURATION_FORM`.
    """
    found = _DURATION.fullmatch(text)
    parts = {unit: int(count) for unit, count in found.groupdict().items() if count} if found else {}
    if not parts:
        raise ValueError(f"expected {DURATION_FORM}, found {text[:100]!r}")
    seconds = (
        parts.get("days", 0) * 86_400
        + parts.get("hours", 0) * 3_600
        + parts.get("minutes", 0) * 60
        + parts.get("seconds", 0)
    )
    return seconds * 1000


def parse_until_ms(text: str) -> int:
    """Return an instant, epoch milliseconds. A time that a zone has twice counts with the earlier offset.

    Raises:
        ValueError: the text has another form than `INSTANT_FORM`, or there is no such day, time or zone.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected {INSTANT_FORM}, found {text[:100]!r}")
    year, month, day, hour, minute = (int(digits or 0) for digits in found.groups()[:5])
    zone = UTC if found["zone"] is None else _zone(found["zone"])
    try:
        instant = datetime(year, month, day, hour, minute, tzinfo=zone)
        elapsed = instant - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"expected {INSTANT_FORM}, found {text[:100]!r}: {error}") from error
    return elapsed // timedelta(milliseconds=1)


def _zone(name: str) -> tzinfo:
    minutes = _ZONE_ABBREVIATIONS.get(name.upper())
    if minutes is not None:
        return timezone(timedelta(minutes=minutes))
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        sign = -1 if offset[1] == "-" else 1
        east = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        if east < timedelta(hours=24):
            return timezone(sign * east)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"expected a zone such as 'UTC', 'GMT+2', '+02:00' or 'Europe/Vienna', found {name!r}"
        ) from error
