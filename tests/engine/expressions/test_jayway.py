"""Claims about paths, each against what Jayway JsonPath itself answered.

`jayway.json` holds the document, the paths and the answers, recorded with the version that it names. Where Podium gives
another answer, the case stands in `MENDED` with the reason.
"""

import json
from pathlib import Path as FilePath

import pytest

from engine.expressions.documents import ValueLookup
from engine.expressions.paths import parse_path
from engine.expressions.query_syntax import PathInvalid
from engine.expressions.references import resolve
from engine.json_value import JsonObject, JsonValue

RECORDED = json.loads(FilePath(__file__).with_name("jayway.json").read_text())
CASES = [pytest.param(case, id=f"{number}-{case['path']}") for number, case in enumerate(RECORDED["cases"])]

REFUSED = object()
MENDED = {
    # A slice counts from the end wherever a bound is negative; Jayway does so only where both are, or one is open.
    "workflow.input.books[1:-1].title": ["Sword", "Moby"],
    "workflow.input.books[-10:2].title": ["Sayings", "Sword"],
    # Jayway takes every step for 1.
    "workflow.input.books[0:4:2].title": REFUSED,
    # Jayway's `all` never holds for a list that is written out.
    "workflow.input.books[?(@.tags all ['b','c'])].title": ["Moby"],
    # Jayway reads the word and compares with nothing.
    "workflow.input.books[?(@.price type 'number')].title": REFUSED,
    # A path that may give several values gives a list, always; Jayway raises.
    "workflow.input.limit[?(@ > 1)]": [],
    # Jayway counts the members of the document.
    "$.length($.workflow.input.numbers)": 4,
    # Jayway ignores what stands behind a function.
    "workflow.input.numbers.sum().x": REFUSED,
    # A name with a blank is understood without brackets too.
    "workflow.input.two words": "spaced",
    # Something exists if it is there; for Jayway, if it could be.
    "workflow.input.books[?(@.tags[*])].title": ["Sayings", "Moby"],
    "workflow.input.books[?(@..nope)].title": [],
    # Jayway gives the names of the document.
    "$..items.keys()": None,
}


def answer(path: str) -> object:
    """Return what a path gives, or `REFUSED`."""
    try:
        parse_path(path)
    except PathInvalid:
        return REFUSED
    return resolve("${" + path + "}", ValueLookup(RECORDED["document"]))


@pytest.mark.parametrize("case", CASES)
def test_path_gives_what_jayway_gives(case: JsonObject) -> None:
    """The same value of the same type, in the same order; null or a refusal where Jayway raises."""
    path = case["path"]
    given = answer(path)

    if path in MENDED:
        assert same(given, MENDED[path])
    elif "refused" in case:
        assert given is REFUSED or given is None
    else:
        assert same(given, case["gives"])


def test_every_mended_path_is_a_recorded_one_with_another_answer() -> None:
    """The list of differences has no dead entries."""
    recorded = {case["path"]: case for case in RECORDED["cases"]}

    assert set(MENDED) <= set(recorded)
    for path, ours in MENDED.items():
        assert "gives" not in recorded[path] or not same(ours, recorded[path]["gives"])


def same(one: object, other: JsonValue) -> bool:
    """Tell whether two answers are equal, the kinds of numbers included."""
    if one is REFUSED or other is REFUSED:
        return one is other
    return json.dumps(one) == json.dumps(other)
