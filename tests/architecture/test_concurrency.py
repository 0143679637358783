"""Claims about concurrency: every running task has an owner.

Must not judge `TaskGroup.create_task`, which is how it is done.
"""

import ast

from tests.architecture.source_tree import SourceModule, modules


def _is_bare_start(call: ast.Call) -> bool:
    """Tell whether a call starts a task that no group owns: by asyncio, by a loop, or by an imported name."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in {"create_task", "ensure_future"}
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value)
    return function.attr == "ensure_future" or (
        function.attr == "create_task" and (owner == "asyncio" or "loop" in owner.lower())
    )


def _bare_starts(module: SourceModule) -> list[str]:
    return [
        f"{module.name}:{node.lineno} {ast.unparse(node.func)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _is_bare_start(node)
    ]


def test_no_task_is_started_outside_a_task_group() -> None:
    """A task that nobody awaits loses its errors: `asyncio.TaskGroup` starts them all."""
    assert [place for module in modules("streams", "api") for place in _bare_starts(module)] == []


def test_the_check_sees_a_bare_start() -> None:
    """Each way of starting a task without a group is found; a group's own way is not."""
    sample = SourceModule.parse(
        "streams.sample",
        "asyncio.create_task(f())\ngroup.create_task(f())\nasyncio.get_running_loop().create_task(f())\n"
        "create_task(f())\nasyncio.ensure_future(f())\nself._loop.create_task(f())\n",
    )

    assert _bare_starts(sample) == [
        "streams.sample:1 asyncio.create_task",
        "streams.sample:3 asyncio.get_running_loop().create_task",
        "streams.sample:4 create_task",
        "streams.sample:5 asyncio.ensure_future",
        "streams.sample:6 self._loop.create_task",
    ]
