"""Claims about every module: it says what it is, and what it offers.

Must not judge prose. Keeps `__all__` and the names it lists equal to what is really there.
"""

import ast
import importlib
import re

import pytest

from tests.architecture.source_tree import SourceModule, modules


def _without_docstring(found: list[SourceModule]) -> list[str]:
    return [module.name for module in found if not (ast.get_docstring(module.tree) or "").strip()]


def _exported(module: SourceModule) -> list[str] | None:
    for node in module.tree.body:
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        if node.value is not None and any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def _export_order(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Return the sort key that ruff uses too: CONSTANTS, Types, functions; numbers by value."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[:1].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return kind, [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def test_every_module_has_a_docstring() -> None:
    """A module opens with what it holds, what it must not do and which invariant it keeps."""
    assert _without_docstring(modules()) == []


@pytest.mark.parametrize(
    "module",
    [module for module in modules() if _exported(module) is not None],
    ids=lambda module: module.name,
)
def test_exports_are_sorted_and_exist(module: SourceModule) -> None:
    """What `__all__` lists is there, once, in order."""
    names = _exported(module)
    assert names is not None
    assert names == sorted(set(names), key=_export_order)
    loaded = importlib.import_module(module.name)
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_the_checks_see_a_bare_module_and_wrong_order() -> None:
    """A module without a docstring is found, and names out of order differ from names in order."""
    bare = SourceModule.parse("bare", "x = 1\n")
    listed = SourceModule.parse("listed", "'''Told.'''\n__all__ = ['b', 'A', 'C_D', 'a10', 'a9']\n")

    assert _without_docstring([bare, listed]) == ["bare"]
    assert _exported(bare) is None
    assert sorted(_exported(listed) or [], key=_export_order) == ["C_D", "A", "a9", "a10", "b"]
