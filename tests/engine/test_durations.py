"""Claims about the times that people write in WAIT tasks."""

import pytest

from engine.durations import parse_duration_ms, parse_until_ms

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1 day 2h 30 sec", DAY_MS + 7_230_000),
        ("30s", 30_000),
        ("5 minutes", 300_000),
        ("1 HR", 3_600_000),
        ("2 Hrs 5 mins", 7_500_000),
        ("3days", 3 * DAY_MS),
        ("  10 secs  ", 10_000),
        ("1d1h1m1s", DAY_MS + 3_661_000),
        ("0 seconds", 0),
        ("90 m", 5_400_000),
    ],
)
def test_duration_in_each_spelling_is_read(text: str, expected_ms: int) -> None:
    """Long, short and plural units, in any case, with or without blanks."""
    assert parse_duration_ms(text) == expected_ms


@pytest.mark.parametrize(
    "text", ["", "  ", "5", "1.5h", "2h 1d", "-5s", "5 weeks", "1h extra", "٣s", "1s 1s", "9999999999s"]
)
def test_duration_in_another_form_is_refused_with_the_form(text: str) -> None:
    """The message says what was expected and what was found."""
    with pytest.raises(ValueError, match=r"expected whole days, hours, minutes and seconds.*found"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1970-01-02", DAY_MS),
        ("2024-02-29 12:30", 1_709_209_800_000),
        ("2024-02-29 12:30 UTC", 1_709_209_800_000),
        ("2024-02-29 12:30 Z", 1_709_209_800_000),
        ("2024-02-29 12:30 GMT+1", 1_709_209_800_000 - 3_600_000),
        ("2024-02-29 12:30 GMT+01:00", 1_709_209_800_000 - 3_600_000),
        ("2024-02-29 12:30 -0530", 1_709_209_800_000 + 5 * 3_600_000 + 30 * 60_000),
        ("2024-02-29 12:30 PST", 1_709_209_800_000 + 8 * 3_600_000),
        ("2024-07-01 12:00 Europe/Vienna", 1_719_828_000_000),
        ("2024-01-01 12:00 Europe/Vienna", 1_704_106_800_000),
        ("1969-12-31", -DAY_MS),
    ],
)
def test_instant_in_each_form_is_read_in_its_zone(text: str, expected_ms: int) -> None:
    """A text without a zone means UTC; a named zone follows its daylight saving."""
    assert parse_until_ms(text) == expected_ms


def test_instant_that_a_zone_has_twice_counts_with_the_earlier_offset() -> None:
    """In the hour that autumn repeats, the first pass is meant."""
    assert parse_until_ms("2024-10-27 02:30 Europe/Vienna") == parse_until_ms("2024-10-27 00:30 UTC")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2024-02-30",
        "2024-13-01",
        "2024-01-01 24:00",
        "2024-01-01 12:60",
        "2024-01-01 12",
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00 Mars/Olympus",
        "2024-01-01 12:00 ../../etc/passwd",
        "2024-01-01 12:00 GMT+99",
        "0000-01-01",
        "0001-01-01 00:00 GMT+12:00 x",
        "12/31/2024",
    ],
)
def test_instant_in_another_form_is_refused_with_the_form(text: str) -> None:
    """No such day, hour or zone is a refusal, never another exception."""
    with pytest.raises(ValueError, match=r"expected .*, found"):
        parse_until_ms(text)


@pytest.mark.parametrize("text", ["0001-01-01 00:00 GMT+12:00", "9999-12-31 23:59 GMT-12:00"])
def test_instant_at_the_edges_of_the_calendar_is_read(text: str) -> None:
    """A zone that moves the instant out of the calendar is no failure."""
    assert isinstance(parse_until_ms(text), int)
