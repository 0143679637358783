"""Claims about size: what does not fit on a few screens is cut.

Must not count prose: a long docstring is no reason to cut a function. An exception is an entry with its
reason in the tables below, which start empty.
"""

import ast

from tests.architecture.source_tree import Function, SourceModule, modules

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Dotted name -> reason. A reason says why cutting would make it worse, not why there was no time.
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {"api.cli.program.serve": "one parameter per setting, and nothing else"}


def _lines_without_docstring(function: Function) -> int:
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def _long_modules(found: list[SourceModule]) -> dict[str, int]:
    lengths = {module.name: len(module.text.splitlines()) for module in found}
    return {name: length for name, length in lengths.items() if length > MODULE_LINES_MAX}


def _long_functions(found: list[SourceModule]) -> dict[str, int]:
    lengths = {name: _lines_without_docstring(function) for module in found for name, function in module.functions()}
    return {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX}


def test_no_module_is_longer_than_400_lines() -> None:
    """A module that needs more holds two things."""
    assert {n: c for n, c in _long_modules(modules()).items() if n not in LONG_MODULES} == {}


def test_no_function_is_longer_than_70_lines() -> None:
    """A function is read at once; its docstring does not count."""
    assert {n: c for n, c in _long_functions(modules()).items() if n not in LONG_FUNCTIONS} == {}


def test_every_exception_is_needed_and_has_a_reason() -> None:
    """An entry for something that became short, or went away, goes away too."""
    assert set(LONG_MODULES) <= set(_long_modules(modules()))
    assert set(LONG_FUNCTIONS) <= set(_long_functions(modules()))
    assert all((LONG_MODULES | LONG_FUNCTIONS).values())


def test_the_checks_see_what_is_too_long() -> None:
    """One line over the limit is found, the limit itself is not, and a docstring does not count."""
    body = "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    told = f"def told():\n    '''One.\n\n    Two.\n    '''\n{body}"
    sample = SourceModule.parse("sample", f"def fits():\n{body}\ndef long():\n{body}    x = 1\n\n{told}")

    assert _long_functions([sample]) == {"sample.long": FUNCTION_LINES_MAX + 1}
    assert _long_modules([SourceModule.parse("long", "x = 1\n" * (MODULE_LINES_MAX + 1))]) == {"long": 401}
    assert _long_modules([SourceModule.parse("fits", "x = 1\n" * MODULE_LINES_MAX)]) == {}
