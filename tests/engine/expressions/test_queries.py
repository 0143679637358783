"""Claims about queries: what is refused, how they end, and what they never do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expressions.budget import LOOKUP_STEPS_MAX, Budget, ResolutionExceeded
from engine.expressions.documents import ValueLookup
from engine.expressions.evaluation import evaluate
from engine.expressions.pattern_syntax import PatternInvalid, parse_pattern
from engine.expressions.query_syntax import PathInvalid, parse_query
from engine.expressions.references import InvalidReference, expressions_of, resolve
from engine.json_value import JsonValue
from engine.late import LateObject


def ask(path: str, document: JsonValue) -> JsonValue:
    """Return what a path gives over a document."""
    return evaluate(parse_query(path), ValueLookup(document))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a[?(@.b == )]", "expected a path, a text, a number"),
        ("a[?(@.b ~ 3)]", "expected ')' or an operator at character 9"),
        ("a[?(3)]", "expected an operator"),
        ("a[?(@.b == 'x']", "expected ')' or an operator"),
        ("a[?@.b]", "expected '('"),
        ("a[*", "expected ']'"),
        ("a[0:4:2]", "expected 'name', a position, a slice"),
        ("a[:]", "expected 'name', a position, a slice"),
        ("a[(@.length-1)]", "expected 'name', a position, a slice"),
        ("a.size().b", "expected nothing behind a function"),
        ("a..size()", "expected a name between '..' and a function"),
        ("a.nope()", "expected one of the functions append, avg"),
        ("a...b", "expected a name"),
        ("a[?(@.b =~ 'x')]", "expected =~ together with a regular expression"),
        ("a[?(@.b == /x/)]", "expected =~ together with a regular expression"),
        ("a[?(@.b =~ /(x/)]", "expected ')' at character 3 of the regular expression"),
        ("a[?(@.b =~ /(a)\\1/)]", "back reference"),
        ("a[?(@.b =~ /(?=a)b/)]", "look-around"),
        ("a[?(@.b =~ /a++/)]", "possessive"),
        ("a[?(@.b =~ /a/q)]", "the flags of a regular expression"),
        ("a[?(@.b in ['x', y])]", "expected a list or an object"),
        ("a[?(" + "(" * 20 + "@.b" + ")" * 20 + ")]", "at most 16"),
        ("a[?(" + "!" * 40 + "@.b)]", "at most 16"),
        ("a" + "[?(@.a" * 20 + ")]" * 20, "at most 16"),
    ],
)
def test_unreadable_query_is_refused_with_place_and_expectation(path: str, expected: str) -> None:
    """The message says what should have been there."""
    with pytest.raises(PathInvalid, match=re.escape(expected)):
        parse_query(path)


def test_query_within_text_is_written_as_json() -> None:
    """A list within text reads as compact JSON."""
    lookup = ValueLookup({"t": {"items": [{"n": 1}, {"n": 2}]}})

    assert resolve("found ${t.items[*].n}", lookup) == "found [1,2]"


def test_filter_may_compare_with_a_value_of_another_expression() -> None:
    """Inner expressions become part of the filter's text."""
    lookup = ValueLookup({"t": {"items": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}, "w": {"id": "b"}})

    assert resolve("${t.items[?(@.id == '${w.id}')].n}", lookup) == [2]
    assert resolve("${t.items[?(@.id == $.w.id)].n}", lookup) == [2]


def test_braces_in_a_filter_belong_to_it() -> None:
    """A `}` in a regular expression, an object or a name does not end the expression."""
    lookup = ValueLookup({"t": [{"isbn": "0-553"}, {"isbn": "0-5"}, {"isbn": {"a": 1}}]})

    assert resolve(r"<${t[?(@.isbn =~ /0-\d{3}/)].isbn}>", lookup) == '<["0-553"]>'
    assert resolve("${t[?(@.isbn == {'a':1})].isbn}", lookup) == [{"a": 1}]


def test_query_sees_the_parts_of_a_late_object() -> None:
    """What is put together late is there for wildcards, deep scans and functions."""

    def late() -> LateObject:
        return LateObject({"iteration": 2}, lambda: {"1": {"n": 5}, "2": {"n": 6}})

    assert ask("loop.output.*.n", {"loop": {"output": late()}}) == [5, 6]
    assert ask("loop..n", {"loop": {"output": late()}}) == [5, 6]
    assert ask("loop.output.length()", {"loop": {"output": late()}}) == 3
    assert ask("$.*", {"loop": {"output": late()}}) == [{"output": {"iteration": 2, "1": {"n": 5}, "2": {"n": 6}}}]


@pytest.mark.parametrize(
    "path",
    ["a..x", "a..*", "$..[?(@.b == 1)]", "a[*][*]", "a[?(@.x in $.a[*][*])]", "a[?(@..x)]", "a[*].length()"],
)
def test_query_over_too_many_values_ends_with_a_clear_failure(path: str) -> None:
    """There is a bound to the values that are looked at; it is far above what a person asks for."""
    row = list(range(1_000))
    document = {"a": [row] * (LOOKUP_STEPS_MAX // 500)}

    with pytest.raises(ResolutionExceeded, match="too many values"):
        for _ in range(100):
            lookup = ValueLookup(document)
            lookup.budget = Budget(LOOKUP_STEPS_MAX // 100)
            evaluate(parse_query(path), lookup)


def test_query_that_repeats_large_values_ends_with_a_clear_failure() -> None:
    """What comes out is bounded too: a deep scan gives each value once for itself and once in all around it."""
    value: JsonValue = "x" * 1_000_000
    for _ in range(20):
        value = {"v": value}

    with pytest.raises(ResolutionExceeded, match="characters of text"):
        ask("a..*", {"a": value})


def test_deep_scan_of_a_deep_value_neither_recurses_nor_hangs() -> None:
    """A tower of lists is refused above a depth."""
    tower: JsonValue = 1
    for _ in range(50_000):
        tower = [tower]

    with pytest.raises(ResolutionExceeded, match="deep"):
        ask("a..x", {"a": tower})


def test_text_put_together_from_large_values_is_bounded() -> None:
    """Within text, values are written out: what that comes to has a bound."""
    lookup = ValueLookup({"a": {"big": "x" * 3_000_000}})

    with pytest.raises(ResolutionExceeded, match="within one text"):
        resolve("${a.big}${a.big}${a.big}", lookup)


def test_budget_of_a_decision_is_shared() -> None:
    """Many small queries together may not be more than the decision's share."""
    whole = Budget(100)
    for _ in range(10):
        Budget(50, whole).spend(10)

    with pytest.raises(ResolutionExceeded):
        Budget(50, whole).spend(1)


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "expected"),
    [
        ("", "", "", True),
        ("", "", "a", False),
        ("a|bc|", "", "bc", True),
        ("(a|b)*c", "", "abbac", True),
        ("(?:ab){2,3}", "", "ababab", True),
        ("(?:ab){2,3}", "", "ab", False),
        ("(?:ab){2}", "", "ababab", False),
        ("a{2,}", "", "aaaa", True),
        ("a??b", "", "b", True),
        ("(?<year>\\d{4})-\\d\\d", "", "2024-01", True),
        ("[^a-c]+", "", "xyz", True),
        ("[^a-c]+", "", "xbz", False),
        ("[]a-]+", "", "]-a", True),
        ("[\\d.]+", "", "1.5", True),
        ("\\w+@\\w+\\.com", "", "me@example.com", True),
        ("STRASSE", "i", "strasse", True),
        ("[A-C]+", "i", "abc", True),
        ("a.b", "", "a\nb", False),
        ("a.b", "s", "a\nb", True),
        ("^a$", "", "a", True),
        ("a$\\n^b", "", "a\nb", False),
        ("a$\\n^b", "m", "a\nb", True),
        ("\\bword\\b.*", "", "word up", True),
        ("wo\\Brd", "", "word", True),
        ("\\x41\\u0042\\t", "", "AB\t", True),
        ("(a*)*b", "", "a" * 2_000 + "c", False),
        ("(a|a)*b", "", "a" * 2_000, False),
        ("(a+)+$", "", "a" * 2_000 + "!", False),
    ],
)
def test_pattern_matches_the_whole_text(pattern: str, flags: str, text: str, expected: bool) -> None:  # noqa: FBT001
    """As Java's `Matcher.matches`; those that make a backtracking matcher run for years are no trouble."""
    assert parse_pattern(pattern, flags).matches(text, Budget()) is expected


def test_pattern_that_repeats_repetitions_is_refused() -> None:
    """A program has a bound; writing out `(a{1000}){1000}` would not."""
    with pytest.raises(PatternInvalid, match="too large"):
        parse_pattern("((a{1000}){1000}){1000}")


def test_long_match_is_charged() -> None:
    """A match of a long text with a large pattern is too much work, and says so."""
    with pytest.raises(ResolutionExceeded):
        parse_pattern("(a?){500}").matches("a" * 5_000, Budget())


SIMPLE_PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "\\w"]),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
    ),
    max_leaves=6,
)


@given(SIMPLE_PATTERNS, st.text(alphabet="abc", max_size=8))
def test_property_pattern_agrees_with_a_backtracking_matcher(pattern: str, text: str) -> None:
    """On what both know, and small enough for the other one, the answers are the same."""
    assert parse_pattern(pattern).matches(text, Budget()) is (re.fullmatch(pattern, text) is not None)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=20,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            ".a", ".b", ".*", "[*]", "..a", "..*", "[0]", "[-1]", "[0,1]", "[1:]", "[:-1]", "['a','b']", "[?(@.a)]",
            "[?(@.a == 1)]", "[?(@ > 0 && !@.b)]", "[?(@.a in [1,'a'] || @ size 2)]", "[?(@ =~ /a*b?/)]",
            "[?(@.a == $.a.b)]", "[?(@..b)]", ".length()", ".sum()", ".concat('x', $.a)", ".append(@)", ".first()",
            ".index(1)", ".keys()",
        ]
    ),
    max_size=5,
).map("".join)  # fmt: skip


@given(FRAGMENTS, JSON_VALUES)
def test_property_query_raises_for_no_document(path: str, value: JsonValue) -> None:
    """Whatever the steps meet, the answer is a value; a path that may give several gives a list."""
    document = {"a": value, "b": [value]}
    try:
        query = parse_query("a" + path)
    except PathInvalid:
        return
    found = evaluate(query, ValueLookup(document))

    if not query.is_definite and not path.endswith(")"):
        assert isinstance(found, list)


@given(st.text(alphabet="a.$@[]()?*:,'\"/=!<>&|~ 01{}-\\in", max_size=40))
def test_property_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a path or is refused."""
    try:
        query = parse_query(text)
    except PathInvalid:
        return
    evaluate(query, ValueLookup({"a": [{"a": 1}]}))


def test_unreadable_query_is_an_invalid_reference() -> None:
    """So that registration refuses it."""
    found = list(expressions_of("${a[?(@.b)}"))

    assert [type(expression) for expression in found] == [InvalidReference]
