"""Every task of a definition with its place.

Holds the walk over nested tasks. Must not judge. Keeps the invariant that it ends: what is nested too deep is
told, not entered.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engine.definitions import WorkflowTask
from engine.validation.violations import Violation, member

NESTING_MAX: Final = 50
"""Of tasks in one another. Compiling a definition is recursive, and nobody reads more."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A task, where it stands, and its neighbours as positions in the list of all placed tasks.

    `following` is the task behind it in the same list. `container` is the task whose branch it is in.
    """

    index: int
    task: WorkflowTask
    path: str
    depth: int
    previous: int | None
    container: int | None
    following: WorkflowTask | None


class _List(msgspec.Struct, frozen=True, kw_only=True):
    tasks: Sequence[WorkflowTask]
    path: str
    depth: int
    container: int | None


def place(tasks: Sequence[WorkflowTask], *, path: str, depth: int) -> tuple[list[Placed], list[Violation]]:
    """Return all tasks, outer ones before those nested in them, and a violation for each list nested too deep."""
    placed: list[Placed] = []
    violations: list[Violation] = []
    waiting = [_List(tasks=tasks, path=path, depth=depth, container=None)]
    while waiting:
        entered = waiting.pop()
        if entered.depth > NESTING_MAX:
            message = f"tasks may be nested {NESTING_MAX} deep, these are deeper; use a SUB_WORKFLOW"
            violations.append(Violation(path=entered.path, message=message))
            continue
        before: int | None = None
        nested: list[_List] = []
        for position, task in enumerate(entered.tasks):
            found = Placed(
                index=len(placed),
                task=task,
                path=f"{entered.path}[{position}]",
                depth=entered.depth,
                previous=before,
                container=entered.container,
                following=entered.tasks[position + 1] if position + 1 < len(entered.tasks) else None,
            )
            placed.append(found)
            before = found.index
            nested.extend(_nested(found))
        waiting.extend(reversed(nested))
    return placed, violations


def loops_around(found: Placed, placed: Sequence[Placed]) -> list[int]:
    """Return the loops that a task is in, innermost first."""
    loops: list[int] = []
    container = found.container
    while container is not None:
        if placed[container].task.type == "DO_WHILE":
            loops.append(container)
        container = placed[container].container
    return loops


def _nested(found: Placed) -> Iterator[_List]:
    task, path = found.task, found.path
    lists = [(f"{path}.forkTasks[{number}]", branch) for number, branch in enumerate(task.fork_tasks)]
    lists += [(member(f"{path}.decisionCases", key), case) for key, case in task.decision_cases.items()]
    lists += [(f"{path}.defaultCase", task.default_case), (f"{path}.loopOver", task.loop_over)]
    for where, tasks in lists:
        if tasks:
            yield _List(tasks=tasks, path=where, depth=found.depth + 1, container=found.index)
