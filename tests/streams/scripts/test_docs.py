"""The page about scripts names every limit and every kind of failure there is."""

from pathlib import Path

from streams.scripts import limits
from streams.scripts.jobs import FailureKind
from streams.scripts.pool import ScriptSettings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "internals" / "scripts.md").read_text()


def test_page_names_every_limit_of_a_script() -> None:
    """A limit that nobody can look up is a surprise. Some rows name the members of a family by their ends."""
    numbers = {name for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)}
    family = {"MEMORY_BYTES_MIN", "MEMORY_BYTES_MAX"}

    assert sorted(name for name in numbers - family if f"`{name}`" not in PAGE) == []
    assert "`MEMORY_BYTES_DEFAULT`, `…_MIN`, `…_MAX`" in PAGE
    assert sorted(name for name in ScriptSettings.__struct_fields__ if name not in PAGE) == []


def test_page_explains_every_kind_of_failure() -> None:
    """The kinds are recorded in events, so somebody will read them years later."""
    assert [kind for kind in FailureKind if f"| `{kind}` |" not in PAGE] == []
