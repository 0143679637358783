"""The source of the three packages, parsed: what every architecture test reads.

Must not judge anything; the tests do. Keeps the invariant that a file which exists is looked at: the tree is
walked, not listed.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "streams", "api")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class SourceModule(msgspec.Struct, frozen=True, kw_only=True):
    """One module: its dotted name, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Return the module with this text; tests of the tests make their samples so."""
        return cls(name=name, text=text, tree=ast.parse(text))

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Yield every function, method and inner function, with its dotted name."""
        yield from _functions_below(self.tree, self.name)

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield every class, inner ones too."""
        yield from (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def modules(*packages: str) -> list[SourceModule]:
    """Return every module of the given packages, of all three if none is given."""
    return [
        SourceModule.parse(_dotted_name(path), path.read_text())
        for package in packages or PACKAGES
        for path in sorted((REPOSITORY_ROOT / package).rglob("*.py"))
    ]


def _dotted_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions_below(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{child.name}"
            yield name, child
            yield from _functions_below(child, name)
        elif isinstance(child, ast.ClassDef):
            yield from _functions_below(child, f"{prefix}.{child.name}")
        else:
            yield from _functions_below(child, prefix)
