"""JOINs that could never end.

Holds the check of `joinOn`. Must not know how a workflow is walked beyond what waits for what. Keeps the
invariant that an awaited task never waits, directly or through others, for the JOIN that awaits it.

Three nodes stand for a task: its start, its own end, and the end of everything that the task behind it waits
for (for a SWITCH that includes the branch taken). A circle through the end of a JOIN is a JOIN that cannot
end.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from engine.ids import RefName
from engine.validation.violations import Violation
from engine.validation.walk import Placed, loops_around

_WAITS_FOR_BRANCHES: Final = frozenset({"SWITCH", "DECISION", "DO_WHILE"})
_JOINS: Final = frozenset({"JOIN", "EXCLUSIVE_JOIN"})
_START, _END, _FLOW = 0, 1, 2


def join_violations(placed: Sequence[Placed], by_ref: Mapping[RefName, int]) -> Iterator[Violation]:
    """Yield a violation for each awaited ref that does not exist or can never end before its JOIN."""
    joins = [found for found in placed if found.task.type in _JOINS and not _follows_dynamic_fork(found, placed)]
    circles = _circles(_waits(placed, by_ref)) if joins else []
    for join in joins:
        for path, ref in _named(join):
            awaited = by_ref.get(ref)
            if awaited is None:
                message = f"joinOn should name tasks of this workflow; there is no reference name {ref!r}"
                yield Violation(path=path, message=message, invalid_value=ref)
            elif awaited == join.index:
                yield Violation(path=path, message="a JOIN cannot wait for itself", invalid_value=ref)
            elif not _is_in_same_pass(placed[awaited], join, placed):
                message = f"{ref!r} runs once per pass of a loop that this JOIN is not in; name the loop instead"
                yield Violation(path=path, message=message, invalid_value=ref)
            elif circles[_node(awaited, _END)] == circles[_node(join.index, _END)]:
                message = f"{ref!r} comes after this JOIN or waits for it, so the JOIN could never end"
                yield Violation(path=path, message=message, invalid_value=ref)


def _named(join: Placed) -> Iterator[tuple[str, RefName]]:
    for position, ref in enumerate(join.task.join_on):
        yield f"{join.path}.joinOn[{position}]", ref
    if join.task.type == "EXCLUSIVE_JOIN":
        for position, ref in enumerate(join.task.default_exclusive_join_task):
            yield f"{join.path}.defaultExclusiveJoinTask[{position}]", ref


def _follows_dynamic_fork(found: Placed, placed: Sequence[Placed]) -> bool:
    """Tell whether a JOIN awaits branches that no definition names; its `joinOn` says nothing then."""
    return found.previous is not None and placed[found.previous].task.type == "FORK_JOIN_DYNAMIC"


def _is_in_same_pass(awaited: Placed, join: Placed, placed: Sequence[Placed]) -> bool:
    around_join = loops_around(join, placed)
    return all(loop in around_join for loop in loops_around(awaited, placed))


def _node(index: int, part: int) -> int:
    return 3 * index + part


def _waits(placed: Sequence[Placed], by_ref: Mapping[RefName, int]) -> list[list[int]]:
    """Return, per node, the nodes that it waits for."""
    waits: list[list[int]] = [[] for _ in range(3 * len(placed))]
    followed = {found.previous for found in placed}
    for found in placed:
        start, end, flow = (_node(found.index, part) for part in (_START, _END, _FLOW))
        waits[end].append(start)
        waits[flow].append(end)
        if found.previous is not None:
            waits[start].append(_node(found.previous, _FLOW))
        elif found.container is not None:
            waits[start].append(_node(found.container, _START))
        if found.task.type in _JOINS:
            waits[end].extend(_node(by_ref[ref], _END) for ref in found.task.join_on if ref in by_ref)
        container = None if found.container is None else placed[found.container]
        is_last = found.index not in followed
        if container is not None and is_last and container.task.type in _WAITS_FOR_BRANCHES:
            part = _END if container.task.type == "DO_WHILE" else _FLOW
            waits[_node(container.index, part)].append(flow)
    return waits


def _circles(waits: Sequence[Sequence[int]]) -> list[int]:
    """Return, per node, the number of its strongly connected component (Tarjan's algorithm without recursion)."""
    unseen, count = -1, len(waits)
    order, low, component = [unseen] * count, [0] * count, [unseen] * count
    open_nodes: list[int] = []
    seen = components = 0
    for root in range(count):
        if order[root] != unseen:
            continue
        path: list[tuple[int, Iterator[int]]] = []
        entering: int | None = root
        while entering is not None or path:
            if entering is not None:
                order[entering] = low[entering] = seen
                seen += 1
                open_nodes.append(entering)
                path.append((entering, iter(waits[entering])))
            node, rest = path[-1]
            entering = None
            for following in rest:
                if order[following] == unseen:
                    entering = following
                    break
                if component[following] == unseen:
                    low[node] = min(low[node], order[following])
            if entering is not None:
                continue
            path.pop()
            if path:
                low[path[-1][0]] = min(low[path[-1][0]], low[node])
            if low[node] == order[node]:
                while component[node] == unseen:
                    component[open_nodes.pop()] = components
                components += 1
    return component
