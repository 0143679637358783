"""Claims about simple expressions: what they take, what they give, what they refuse."""

import math

import pytest

from engine.expressions import simple
from engine.json_value import JsonValue

DOCUMENT = {
    "a": 7,
    "b": "x",
    "big": 2**60,
    "list": [1, "two", {"three": 3}],
    "empty": "",
    "nothing": None,
    "object": {"length": 3, "it's": 1},
    "emoji": "a😀",
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$.a > 5 && $.b == 'x'", True),
        ("$.a > 5 && $.b == 'x';", True),
        ("$.a === 7 ? 'seven' : 'other'", "seven"),
        ("$.a % 4 + 0.5", 3.5),
        ("$['b'] + $.a", "x7"),
        ("$.list[2].three", 3),
        ("$.list.length", 3),
        ("$.object.length", 3),
        ('$.object["it\'s"]', 1),
        ("$.missing", None),
        ("$.missing == null", True),
        ("$.missing === null", False),
        ("$.nothing || 'default'", "default"),
        ("!$.empty", True),
        ("-$.a", -7),
        ("$.list + ''", "1,two,[object Object]"),
        ("$.emoji.length", 3),
        ("$.emoji[1] + $.emoji[2]", "😀"),
        ("$.emoji[1] == 'x'", False),
        ("$.big === 1152921504606846976", True),
        ("0 / 0", None),
        ("1 / 0", None),
        ("undefined", None),
        ("$.list", [1, "two", {"three": 3}]),
    ],
)
def test_everyday_expressions_give_their_value_as_json(source: str, expected: JsonValue) -> None:
    """Whole numbers come back as integers; undefined and NaN as null."""
    assert simple.evaluate(source, DOCUMENT) == expected


def test_raw_values_keep_undefined_and_nan_apart_from_null() -> None:
    """What JSON cannot say is told to callers who ask for it."""
    assert simple.evaluate_raw("$.missing", DOCUMENT) is simple.UNDEFINED
    assert math.isnan(simple.evaluate_raw("0 / 0", DOCUMENT))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "null"), (True, "true"), (5, "5"), (5.0, "5"), (1e21, "1e+21"), ("x", "x"), ([1, None], "1,")],
)
def test_text_of_a_value_is_the_one_of_javascript(value: JsonValue, expected: str) -> None:
    """Cases of a SWITCH are compared with this text."""
    assert simple.text_of(value) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("$.missing.deeper", "cannot read property 'deeper' of undefined"),
        ("$.nothing.deeper", "cannot read property 'deeper' of null"),
        ("$.emoji[1]", "one half of a character"),
        ("'x' + $.emoji[2]", "one half of a character"),
    ],
)
def test_what_javascript_would_throw_is_a_failure_with_its_reason(source: str, reason: str) -> None:
    """The reason is for the user who reads why the task failed."""
    with pytest.raises(simple.EvaluationFailed, match=reason):
        simple.evaluate(source, DOCUMENT)


def test_work_without_bound_is_refused() -> None:
    """Text that doubles, and lists that are written out, are cut off."""
    with pytest.raises(simple.EvaluationFailed, match="may build a text of 1000000 characters"):
        simple.evaluate("$.t + $.t", {"t": "x" * 600_000})
    with pytest.raises(simple.EvaluationFailed, match="at most 10000 elements"):
        simple.evaluate("$.l == 'x'", {"l": [1] * 20_000})
    deep: list[JsonValue] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(simple.EvaluationFailed, match="50 deep"):
        simple.evaluate("$ == 'x'", deep)


@pytest.mark.parametrize(
    "source",
    [
        "",
        ";",
        "$.a = 5",
        "$.a == 5;;",
        "$.f()",
        "$.list.includes('x')()",
        "Math.max(1, 2)",
        "a",
        "NaN",
        "$.a ?? 1",
        "$?.a",
        "$.a ** 2",
        "$.a++",
        "--$.a",
        "$.a--1",
        "$.a & 1",
        "$.a >>> 1",
        "$.a // comment",
        "$.a /* comment */",
        "$.a <!-- 5",
        "/x/.test($.b)",
        "`${$.a}`",
        "typeof $.a",
        "'a' in $",
        "function() {}",
        "(() => 1)()",
        "if ($.a) 1; else 2",
        "return $.a",
        "{a: 1}",
        "[1, 2]",
        "$.a, $.b",
        "$.a $.b",
        "$.a\n'x'",
        "$[$.a]",
        "$[1 + 1]",
        "$[01]",
        "$[1.5]",
        "$.constructor",
        "$['__proto__']",
        "$.a.toString",
        "010",
        "1_000",
        "5n",
        "3px",
        "0x",
        "'open",
        "'line\nbreak'",
        "'\\1'",
        "'\\u12'",
        "'\\ud83d'",
        "'\\u{110000}'",
        "$.ä",
        "$.a == 5 && ",
        "($.a",
        "$.a)",
        "$.a ? 1",
        "5 .",
        "#",
        "@",
        "x" * 5_000,
        "(" * 100 + "1" + ")" * 100,
        "!" * 100 + "1",
        "1+" * 300 + "1",
        "1?" * 100 + "1" + ":1" * 100,
    ],
)
def test_everything_else_is_not_simple(source: str) -> None:
    """What is outside the grammar is refused when a definition is registered, never misread."""
    with pytest.raises(simple.NotSimple):
        simple.check(source)


def test_refusal_says_where_and_what_was_expected() -> None:
    """The message is a help to whoever wrote the expression."""
    with pytest.raises(
        simple.NotSimple, match=r"expected the end of the expression at character 5 of '\$\.f\(\)'|found"
    ):
        simple.check("$.f()")


def test_longest_accepted_expressions_stay_within_the_stack() -> None:
    """The bounds of the grammar keep parsing and evaluation far from Python's recursion limit."""
    assert simple.evaluate("1+" * 99 + "1", None) == 100
    assert simple.evaluate("(" * 38 + "1" + ")" * 38, None) == 1
    assert simple.evaluate("!" * 38 + "1", None) is True
