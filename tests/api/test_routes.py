"""The route tables against each other and against their documentation."""

import re
from pathlib import Path

from api.errors import STATUS_OF_REJECTION
from api.routes.table import ROUTES
from engine.rejections import RejectionCode

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "rest.md"
HEADING = re.compile(r"^### ((?:GET|POST|PUT|DELETE|PATCH) /\S+)$", re.MULTILINE)


def test_reference_has_one_heading_per_route_and_no_other() -> None:
    """What is served is documented, and what is documented is served."""
    documented = HEADING.findall(REFERENCE.read_text(encoding="utf-8"))
    assert sorted(documented) == sorted(f"{route.method} {route.path}" for route in ROUTES)


def test_no_route_stands_twice() -> None:
    """Two handlers for one method and pattern would leave one of them unreachable."""
    patterns = [(route.method, re.sub(r"\{[^}]+\}", "{}", route.path)) for route in ROUTES]
    assert len(patterns) == len(set(patterns))


def test_every_route_has_a_handler_that_says_what_it_answers() -> None:
    """A handler's first line is what the reference builds on."""
    assert [route.path for route in ROUTES if not route.handler.__doc__] == []


def test_every_refusal_of_the_engine_has_a_status() -> None:
    """A new refusal must not become a 500."""
    assert set(STATUS_OF_REJECTION) == set(RejectionCode)
