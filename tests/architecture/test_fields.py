"""The page that says what each field does, against the types that hold the fields: it lists them all, and no others."""

import importlib
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest
from pydantic.alias_generators import to_camel

import api.wire
from api.wire.violations import Wire
from engine import definitions

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "fields.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| ([a-z ]+) \| (.*)\|$", re.MULTILINE)
EFFECTS = {"works", "describes", "not yet", "not taken"}


def _sections() -> dict[str, list[tuple[str, str]]]:
    parts = re.split(r"^## (\w+)$", PAGE, flags=re.MULTILINE)
    return {title: [row[:2] for row in ROW.findall(text)] for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def _types() -> dict[str, set[str]]:
    """Return the fields, as JSON names them, of every definition and of every document that REST reads."""
    found = {
        name: set(kind.__struct_encode_fields__)
        for name, kind in vars(definitions).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == definitions.__name__
    }
    for module in pkgutil.iter_modules(api.wire.__path__):
        for kind in vars(importlib.import_module(f"api.wire.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Wire) and kind is not Wire:
                found.setdefault(kind.__name__, set()).update(to_camel(field) for field in kind.model_fields)
    return found


def test_page_has_a_section_for_every_document() -> None:
    """A new one needs a section; one that is gone loses it."""
    assert sorted(_sections()) == sorted(_types())


@pytest.mark.parametrize("name", sorted(_types()))
def test_section_lists_every_field_once_and_no_other(name: str) -> None:
    """But fields that clients send and nobody takes, which say so."""
    rows = _sections()[name]
    assert {effect for _, effect in rows} <= EFFECTS
    assert len({field for field, _ in rows}) == len(rows)
    assert {field for field, effect in rows if effect != "not taken"} == _types()[name]
