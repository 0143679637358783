"""Claims about the engine: the same events give the same state, on any machine, at any time.

Must not look at the shell, which may do all of this. The import contracts say which modules are refused; here
is what a contract cannot see: calls, waiting, and packages that nobody thought of refusing.
"""

import ast
import sys

from tests.architecture.source_tree import SourceModule, modules

# What the engine imports besides the standard library; that part is refused module by module in the
# contracts.
ALLOWED_PACKAGES = {"engine", "immutables", "msgspec"}

# Calls that read the world, or change it, from modules that are otherwise harmless.
IMPURE_CALLS = {
    "__import__",
    "breakpoint",
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "eval",
    "exec",
    "hash",  # of a text it differs from process to process
    "id",
    "input",
    "open",
    "print",
}

_WAITING = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith


def _places(module: SourceModule, nodes: list[ast.AST]) -> list[str]:
    return [f"{module.name}:{getattr(node, 'lineno', 0)}" for node in nodes]


def _waiting(module: SourceModule) -> list[str]:
    return _places(module, [node for node in ast.walk(module.tree) if isinstance(node, _WAITING)])


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [node.module]
    return []


def _foreign_imports(module: SourceModule) -> list[str]:
    allowed = ALLOWED_PACKAGES | sys.stdlib_module_names
    return [
        f"{module.name} imports {name}"
        for node in ast.walk(module.tree)
        for name in _imported(node)
        if name.split(".")[0] not in allowed
    ]


def _impure_calls(module: SourceModule) -> list[str]:
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    return [
        f"{module.name}:{call.lineno} calls {'.'.join(ast.unparse(call.func).split('.')[-2:])}"
        for call in calls
        if ".".join(ast.unparse(call.func).split(".")[-2:]) in IMPURE_CALLS
    ]


def test_engine_never_waits() -> None:
    """There is no `async def` and no `await` in the engine."""
    assert [place for module in modules("engine") for place in _waiting(module)] == []


def test_engine_imports_only_the_standard_library_msgspec_and_immutables() -> None:
    """A new dependency of the engine is a decision, not an import."""
    assert [line for module in modules("engine") for line in _foreign_imports(module)] == []


def test_engine_calls_nothing_that_reads_or_changes_the_world() -> None:
    """Time, files, terminals and process-wide numbers come in as arguments or not at all."""
    assert [line for module in modules("engine") for line in _impure_calls(module)] == []


def test_the_checks_see_what_is_impure() -> None:
    """Waiting, a foreign import and an impure call are each found."""
    sample = SourceModule.parse(
        "engine.sample",
        "import datetime\nimport aiokafka.client\nfrom pydantic import x\nasync def f():\n    await g()\n"
        "datetime.datetime.now()\nopen('x')\nreopen('x')\n",
    )

    assert _waiting(sample) == ["engine.sample:4", "engine.sample:5"]
    assert _foreign_imports(sample) == [
        "engine.sample imports aiokafka.client",
        "engine.sample imports pydantic",
    ]
    assert _impure_calls(sample) == ["engine.sample:6 calls datetime.now", "engine.sample:7 calls open"]
