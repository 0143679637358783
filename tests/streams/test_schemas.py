"""Claims about the judge of JSON Schemas: complete, discreet, quick, and never on the network."""

import pytest

from engine.json_value import JsonObject
from streams.schemas import VIOLATIONS_MAX, JsonSchemas, problem_of_schema

SCHEMA: JsonObject = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"enum": ["x", "y"]},
        "items": {"type": "array", "items": {"type": "object", "required": ["k"]}},
        "name": {"pattern": "^[a-z]+$"},
    },
}


def test_every_violation_is_told_with_its_place_and_without_the_value() -> None:
    """The text is seen by people who may not see the value."""
    value = {"id": "SECRET", "kind": "SECRET", "items": [{"k": 1}, {"z": "SECRET"}], "name": "SECRET"}
    found = JsonSchemas().violations(SCHEMA, value)
    assert sorted(found) == [
        'id: the value is not of type "integer"',
        'items[1]: "k" is a required property',
        'kind: the value is not one of "x" or "y"',
        'name: the value does not match "^[a-z]+$"',
    ]
    assert JsonSchemas().violations(SCHEMA, {"id": 1}) == []


def test_number_of_violations_is_bounded() -> None:
    """A list of a million wrong items makes no reason of a million lines."""
    found = JsonSchemas().violations({"items": {"type": "integer"}}, ["x"] * 1_000)
    assert len(found) == VIOLATIONS_MAX + 1
    assert found[-1] == "and more"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, "not a JSON Schema that can be used"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "cannot fetch http://127.0.0.1:1/schema"),
        ({"$ref": "file:///etc/passwd"}, "cannot fetch file:///etc/passwd"),
        ({"pattern": "(?=a)b"}, 'is not a "regex"'),
        ({"$schema": "https://example.com/mine"}, "Unknown meta-schema"),
    ],
)
def test_schema_that_cannot_be_used_says_why_and_satisfies_nothing(schema: JsonObject, reason: str) -> None:
    """Nothing outside of it is fetched, neither from the network nor from a file."""
    assert reason in problem_of_schema(schema)
    (found,) = JsonSchemas().violations(schema, {})
    assert reason in found


@pytest.mark.parametrize("draft", ["draft-04/schema#", "draft-06/schema#", "draft-07/schema#"])
def test_older_drafts_are_known(draft: str) -> None:
    """Schemas of clients are often years old."""
    assert problem_of_schema({"$schema": f"http://json-schema.org/{draft}", "type": "object"}) == ""


def test_pattern_cannot_make_a_judgement_slow() -> None:
    """One that back-tracking engines take for ever over is done at once."""
    found = JsonSchemas().violations({"pattern": "^(a+)+$"}, "a" * 50_000 + "b")
    assert len(found) == 1


def test_equal_objects_are_different_schemas_only_if_they_are() -> None:
    """The compiled form is kept by identity, and the schema with it, so no other object takes its place."""
    schemas = JsonSchemas()
    for wanted in ("integer", "string") * 50:
        assert len(schemas.violations({"type": wanted}, 1)) == (wanted == "string")
