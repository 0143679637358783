"""Claims about `${…}` in definitions."""

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expressions.documents import ValueLookup
from engine.expressions.references import (
    InvalidReference,
    QueryReference,
    Reference,
    expressions_of,
    has_expression,
    resolve,
)
from engine.json_value import JsonValue

DOCUMENT = ValueLookup(
    {
        "workflow": {
            "input": {
                "number": 5,
                "ratio": 2.5,
                "yes": True,
                "nothing": None,
                "text": "täxt",
                "list": [10, {"deep": "x"}, [1, 2]],
                "object": {"b": 1, "a": [True, None]},
                "key": "number",
                "two words": "spaced",
                "it's": "quoted",
                "a}b": "braced",
                "position": 1,
            },
            "status": "RUNNING",
        },
        "my task-1_x": {"output": {"result": {"ok": True}}},
    }
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${workflow.input.number}", 5),
        ("${workflow.input.ratio}", 2.5),
        ("${workflow.input.yes}", True),
        ("${workflow.input.nothing}", None),
        ("${workflow.input.object}", {"b": 1, "a": [True, None]}),
        ("${workflow.input.list}", [10, {"deep": "x"}, [1, 2]]),
        ("${workflow.status}", "RUNNING"),
        ("${ workflow.input.number }", 5),
        ("${$.workflow.input.number}", 5),
    ],
)
def test_whole_expression_gives_the_typed_value(template: str, expected: JsonValue) -> None:
    """A text that is one expression is replaced by the value itself."""
    assert resolve(template, DOCUMENT) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${workflow.input.list[0]}", 10),
        ("${workflow.input.list[-1]}", [1, 2]),
        ("${workflow.input.list[1].deep}", "x"),
        ("${workflow.input.list[2][-2]}", 1),
        ("${workflow.input['two words']}", "spaced"),
        ('${workflow["input"]["number"]}', 5),
        ("${workflow.input['it\\'s']}", "quoted"),
        ("${workflow.input['a}b']}", "braced"),
        ("${workflow.input.two words}", "spaced"),
        ("${my task-1_x.output.result.ok}", True),
        ("${['my task-1_x'].output.result.ok}", True),
    ],
)
def test_path_segments_in_each_spelling_are_followed(template: str, expected: JsonValue) -> None:
    """Names after a dot, names in brackets, positions from either end."""
    assert resolve(template, DOCUMENT) == expected


@pytest.mark.parametrize(
    "template",
    [
        "${nobody.output.x}",
        "${workflow.input.none.at.all}",
        "${workflow.input.number.deeper}",
        "${workflow.input.text[0]}",
        "${workflow.input.list[3]}",
        "${workflow.input.list[-4]}",
        "${workflow.input.list.deep}",
        "${workflow.input.object[0]}",
        "${workflow.input.list[?(@.deep}",
        "${workflow.input.}",
        "${.workflow}",
        "${[0]}",
        "${workflow.input['open']x}",
    ],
)
def test_missing_and_unreadable_paths_give_null(template: str) -> None:
    """No path raises while a workflow runs."""
    assert resolve(template, DOCUMENT) is None


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("n=${workflow.input.number}!", "n=5!"),
        ("${workflow.input.number}${workflow.input.ratio}", "52.5"),
        ("<${workflow.input.nothing}>", "<null>"),
        ("<${workflow.input.missing}>", "<null>"),
        ("<${workflow.input.yes}>", "<true>"),
        ("<${workflow.input.object}>", '<{"b":1,"a":[true,null]}>'),
        ("<${workflow.input.list}>", '<[10,{"deep":"x"},[1,2]]>'),
        ("<${workflow.input.text}>", "<täxt>"),
        (" ${workflow.input.number}", " 5"),
        ("a ${ } b", "a  b"),
        ("{${workflow.input.number}}", "{5}"),
    ],
)
def test_expression_within_text_is_written_out(template: str, expected: str) -> None:
    """Null reads `null`, objects and lists read as compact JSON."""
    assert resolve(template, DOCUMENT) == expected


@pytest.mark.parametrize("template", ["${}", "${  }", "${\t}"])
def test_blank_expression_gives_the_empty_text(template: str) -> None:
    """Nothing is asked for, so nothing comes: but as text."""
    assert resolve(template, DOCUMENT) == ""


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$${x}", "${x}"),
        ("a $${workflow.input.number} b", "a ${workflow.input.number} b"),
        ("$${x}${workflow.input.number}", "${x}5"),
        ("$$${x}", "$${x}"),
        ("$5 and $$", "$5 and $$"),
        ("${workflow.input.number", "${workflow.input.number"),
        ("${a ${workflow.input.number}", "${a 5"),
        ("a } b { c", "a } b { c"),
        ("${workflow.input['open]}", "${workflow.input['open]}"),
        ("['\\${workflow.input.number}", "['\\5"),
    ],
)
def test_escapes_and_unfinished_expressions_stay_text(template: str, expected: str) -> None:
    """`$${x}` is how one writes `${x}`; a `${` without its end is just text."""
    assert resolve(template, DOCUMENT) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${workflow.input.${workflow.input.key}}", 5),
        ("${workflow.input.list[${workflow.input.position}].deep}", "x"),
        ("${workflow.input['${workflow.input.key}']}", 5),
        ("${${workflow.input.missing}.x}", None),
        ("<${workflow.input.${workflow.input.key}}>", "<5>"),
        ("${workflow.input.${workflow.input.object}}", None),
    ],
)
def test_nested_expressions_are_replaced_inside_out(template: str, expected: JsonValue) -> None:
    """The inner value becomes part of the outer path."""
    assert resolve(template, DOCUMENT) == expected


def test_values_are_replaced_at_any_depth_and_keys_never() -> None:
    """Objects and lists are followed; what did not change is the same object as before."""
    untouched = {"plain": ["text", 1, None]}
    template = {"${workflow.status}": [1, {"n": "${workflow.input.number}"}], "rest": untouched}

    resolved = resolve(template, DOCUMENT)

    assert resolved == {"${workflow.status}": [1, {"n": 5}], "rest": {"plain": ["text", 1, None]}}
    assert resolved["rest"] is untouched
    assert template["${workflow.status}"] == [1, {"n": "${workflow.input.number}"}]


def test_what_an_expression_gives_is_not_expanded_again() -> None:
    """Input of a user cannot smuggle in an expression."""
    document = ValueLookup({"workflow": {"input": {"evil": "${workflow.secret}"}, "secret": "s3cret"}})

    assert resolve("${workflow.input.evil}", document) == "${workflow.secret}"
    assert resolve("x${workflow.input.evil}", document) == "x${workflow.secret}"


def test_nesting_beyond_the_bound_gives_null_and_is_reported() -> None:
    """A tower of expressions is not followed."""
    tower = "${" * 40 + "x" + "}" * 40

    assert resolve(tower, DOCUMENT) is None
    assert any(isinstance(found, InvalidReference) for found in expressions_of(tower))


def test_long_texts_are_read_in_one_pass() -> None:
    """Half a million marks cost what half a million characters cost, not their square."""
    for text in ("${" * 250_000, "}['" * 170_000 + "${", "${a['" * 100_000):
        assert resolve(text, DOCUMENT) == text


def test_expressions_of_a_template_come_in_order_with_nested_ones_after_their_outer() -> None:
    """Validation sees every expression, also inner ones and those that cannot be read."""
    template = {"a": ["${x.y}", 5], "b": "${p.${q.r}} and ${q..r} ${bad[}"}

    found = list(expressions_of(template))

    assert [expression.source for expression in found] == ["${x.y}", "${p.${q.r}}", "${q.r}", "${q..r}", "${bad[}"]
    assert isinstance(found[0], Reference)
    assert found[0].path.root == "x"
    assert isinstance(found[3], QueryReference)
    assert isinstance(found[4], InvalidReference)
    assert "expected 'name'" in found[4].problem


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.text(alphabet=string.ascii_letters + string.digits + "-_ äß", min_size=1).filter(
    lambda name: name == name.strip()
)
PLAIN_TEXTS = st.text().filter(lambda text: "${" not in text and not text.endswith("$"))


@given(JSON_VALUES)
def test_property_template_without_expression_is_the_same_object(template: JsonValue) -> None:
    """Nothing to replace means nothing is copied."""
    if not has_expression(template):
        assert resolve(template, DOCUMENT) is template


@given(JSON_VALUES, NAMES, st.text(min_size=1))
def test_property_whole_expression_gives_the_very_value(value: JsonValue, root: str, key: str) -> None:
    """Whatever the key and the value are, the bracket form finds it."""
    quoted = key.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\$")
    template = "${" + root + "['" + quoted + "']}"

    assert resolve(template, ValueLookup({root: {key: value}})) is value


@given(PLAIN_TEXTS, JSON_VALUES, PLAIN_TEXTS)
def test_property_mixed_text_is_text_around_the_written_value(before: str, value: JsonValue, after: str) -> None:
    """Text around an expression is kept to the letter."""
    written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    expected = before + written + after if before or after else value

    assert resolve(before + "${workflow}" + after, ValueLookup({"workflow": value})) == expected


@given(st.text(alphabet="${}ab.[]'\"\\*"))
def test_property_no_text_makes_resolve_or_validation_raise(text: str) -> None:
    """Any text is a template."""
    resolve(text, DOCUMENT)
    list(expressions_of(text))


@given(st.text(alphabet="ab$ {}"))
def test_property_escaped_text_comes_back_as_it_was_written(text: str) -> None:
    """Writing `$${` for every `${` makes any text literal."""
    plain = text.replace("$", "")
    literal = "${" + plain + "}"

    assert resolve("$" + literal, DOCUMENT) == literal
