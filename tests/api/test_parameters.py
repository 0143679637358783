"""Claims about parameters: each kind reads leniently, refuses in words, and describes what it takes."""

import jsonschema_rs
import pytest
from multidict import MultiDict

from api.errors import RequestInvalid
from api.wire.parameters import (
    AllOthers,
    Choices,
    Flag,
    Integer,
    Members,
    OneOf,
    OptionalInteger,
    Parameter,
    Text,
    Texts,
    Verbatim,
    in_header,
)
from engine.status import TaskStatus

TEXT = Text(name="p", default="x", about="A text.")
VERBATIM = Verbatim(name="p", about="A text as it stands.")
TEXTS = Texts(name="p", about="Texts.")
INTEGER = Integer(name="p", default=7, maximum=9, about="A number.")
OPTIONAL = OptionalInteger(name="p", maximum=9, about="A number, or none.")
FLAG = Flag(name="p", default=True, about="Whether.")
ONE_OF = OneOf(name="p", default=TaskStatus.COMPLETED, about="A status.")
CHOICES = Choices(name="p", among=TaskStatus, about="Statuses.")
MEMBERS = Members(name="p", about="An object.")
OTHERS = AllOthers(name="rest", but=("p",), about="Everything else.")


@pytest.mark.parametrize(
    ("parameter", "given", "read"),
    [
        (TEXT, "a", "a"),
        (TEXT, "None", "x"),
        (VERBATIM, "None", "None"),
        (TEXTS, "a", ["a"]),
        (INTEGER, "9", 9),
        (INTEGER, "", 7),
        (OPTIONAL, "3", 3),
        (OPTIONAL, "undefined", None),
        (FLAG, "False", False),
        (FLAG, "null", True),
        (ONE_OF, "FAILED", TaskStatus.FAILED),
        (ONE_OF, "", TaskStatus.COMPLETED),
        (CHOICES, "FAILED", frozenset({TaskStatus.FAILED})),
        (CHOICES, "", frozenset()),
    ],
)
def test_parameter_is_read_as_leniently_as_clients_need(parameter: Parameter, given: str, read: object) -> None:
    """What clients put where they have no value counts as absent."""
    assert parameter.of(MultiDict(p=given)) == read


@pytest.mark.parametrize("parameter", [INTEGER, OPTIONAL, FLAG, ONE_OF, CHOICES])
def test_parameter_that_cannot_be_read_is_refused_with_its_name(parameter: Parameter) -> None:
    """Never ignored."""
    with pytest.raises(RequestInvalid, match="query parameter p must be"):
        parameter.of(MultiDict(p="10,5"))


@pytest.mark.parametrize("parameter", [INTEGER, FLAG, ONE_OF, TEXT])
def test_absent_parameter_has_the_default_that_its_schema_names(parameter: Parameter) -> None:
    """One value says both."""
    assert parameter.schema["default"] == parameter.of(MultiDict())


@pytest.mark.parametrize("parameter", [INTEGER, OPTIONAL])
def test_bounds_that_hold_are_the_bounds_of_the_schema(parameter: Parameter) -> None:
    """The largest number that is read is the largest that is described."""
    described = jsonschema_rs.Draft202012Validator(parameter.schema)
    for number in (-1, 0, 9, 10):
        try:
            parameter.of(MultiDict(p=str(number)))
        except RequestInvalid:
            assert not described.is_valid(number)
        else:
            assert described.is_valid(number)


def test_members_of_an_object_come_one_by_one() -> None:
    """And what only looks like one is left alone."""
    given = MultiDict([("p[a]", "1"), ("p[b c]", "2"), ("p[]", "3"), ("q[a]", "4"), ("p[a]b", "5"), ("p", "6")])
    assert MEMBERS.of(given) == {"a": "1", "b c": "2"}
    assert MEMBERS.style == {"style": "deepObject", "explode": True}


def test_all_others_are_those_that_mean_nothing_else() -> None:
    """For routes whose query is the caller's own."""
    assert OTHERS.of(MultiDict(p="1", a="2", b="3")) == {"a": "2", "b": "3"}


def test_parameter_in_a_header_is_the_same_elsewhere() -> None:
    """Read from other names, by the same rules."""
    assert in_header(INTEGER).place == "header"
    assert in_header(INTEGER).schema == INTEGER.schema
