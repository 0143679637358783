"""Claims of docs/reference/expressions.md: each example gives what the page says."""

import json
import re
from pathlib import Path

import pytest

from engine.expressions.documents import ValueLookup
from engine.expressions.queries import FUNCTIONS
from engine.expressions.references import resolve

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "expressions.md").read_text()
DOCUMENT = json.loads(PAGE.split("```json\n")[1].split("```")[0])
EXAMPLES = re.findall(r"^\| `(\S?[^`]*\$\{[^`]*)` \| `([^`]*)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("template", "expected"), EXAMPLES)
def test_example_gives_what_the_page_says(template: str, expected: str) -> None:
    """The value as JSON, with the kind of its numbers."""
    assert json.dumps(resolve(template, ValueLookup(DOCUMENT))) == json.dumps(json.loads(expected))


def test_page_has_examples_of_every_kind_and_names_every_function() -> None:
    """None is missed because of how it is written."""
    assert len(EXAMPLES) == 39
    assert [name for name in FUNCTIONS if f"{name}(" not in PAGE] == []
