"""Where a task stands in its definition: in which list, and what holds that list.

Holds the way from a task outwards, and what follows from it: which attempts have come behind a task. Must not change
anything. Keeps the invariant that what runs beside a task, in other branches of the FORKs around it, is not behind it.

Costs the length of the definition and of the workflow: for going back and jumping, which people ask for.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engine.definitions import WorkflowTask
from engine.events import TaskScheduled
from engine.graph import FORKS, Graph, Node, all_tasks
from engine.ids import RefName, TaskSeq
from engine.model import EndedTask, WorkflowState
from engine.place import MARK, Place

SWITCHES: Final = frozenset({"SWITCH", "DECISION"})


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One list on the way from a task outwards. The task, or what holds it, is number `index` of it.

    `holder` holds the list, None for the outermost; `suffix` says in which passes the list runs.
    """

    tasks: tuple[WorkflowTask, ...]
    index: int
    holder: WorkflowTask | None
    suffix: str


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """What has come behind a task: attempts, its own among them. `passes`: in which pass each loop around it is then.

    Loops are named as they run, outermost first.
    """

    seqs: tuple[TaskSeq, ...]
    passes: dict[RefName, int]


def levels(graph: Graph, node: Node) -> list[Level]:
    """Return the lists around a task, innermost first. A branch of a dynamic fork is a list of its own."""
    lists = _lists(graph.definition.tasks)
    found: list[Level] = []
    ref, depth = node.ref, node.depth
    if node.place.forked_by:
        found.append(
            Level(tasks=(node.task,), index=0, holder=graph.nodes[_fork_of(node)].task, suffix=node.place.suffix)
        )
        ref = _fork_of(node)
    while True:
        tasks, index, holder = lists[ref]
        found.append(Level(tasks=tasks, index=index, holder=holder, suffix=node.place.outer_suffix(depth)))
        if holder is None:
            return found
        depth -= bool(holder.loop_over)
        ref = holder.task_reference_name


def lane(around: Sequence[Level]) -> list[Level]:
    """Return the lists that run one after the other with a task: up to the innermost FORK or loop around it."""
    found: list[Level] = []
    for level in around:
        found.append(level)
        if level.holder is not None and level.holder.type not in SWITCHES:
            break
    return found


def behind(state: WorkflowState, around: Sequence[Level]) -> Behind:
    """Return what has come behind a task, given the lists around it.

    Where a JOIN still waits for the task's branch, nothing has come behind that.
    """
    followers: list[tuple[frozenset[RefName], str]] = []
    passes: dict[RefName, int] = {}
    first = 0
    for level in around:
        followers.append((frozenset(map(_ref, all_tasks(level.tasks[level.index + first :]))), level.suffix))
        first = 1
        holder = level.holder
        if holder is not None and holder.type in FORKS and _is_awaited(state, level, around):
            break
        if holder is not None and holder.loop_over:
            outer, _, iteration = level.suffix.rpartition(MARK)
            passes = {RefName(holder.task_reference_name + outer): int(iteration), **passes}
            inside = frozenset(map(_ref, all_tasks(holder.loop_over)))
            last = state.scopes[RefName(holder.task_reference_name + outer)].iteration
            later = range(int(iteration) + 1, last + 1)
            followers.extend((inside, f"{outer}{MARK}{number}") for number in later)
    gone = {
        seq
        for seq, task in state.tasks.items()
        if any(task.spec.node in refs and is_within(task.spec, suffix) for refs, suffix in followers)
    }
    # The branches of a dynamic fork stand in no definition: they go with their fork, and with the pass it was in.
    gone |= {seq for seq, task in state.tasks.items() if task.spec.forked_by in gone}
    return Behind(seqs=tuple(sorted(gone)), passes=passes)


def subtree(state: WorkflowState, task: WorkflowTask, suffix: str) -> list[TaskSeq]:
    """Return the attempts of a task, and of everything in it, in the passes that `suffix` names; oldest first."""
    refs = frozenset(map(_ref, all_tasks((task,))))
    found = {seq for seq, other in state.tasks.items() if other.spec.node in refs and is_within(other.spec, suffix)}
    found |= {seq for seq, other in state.tasks.items() if other.spec.forked_by in found}
    return sorted(found)


def is_within(spec: TaskScheduled, suffix: str) -> bool:
    """Tell whether an attempt ran in the passes that a suffix names."""
    own = spec.ref[len(spec.node) :]
    return own == suffix or own.startswith(suffix + MARK)


def present_place(state: WorkflowState, graph: Graph, node: Node) -> Place | None:
    """Return where a task of the definition would run now: in the present passes of the loops around it.

    None if one of the loops, or of the FORKs, has not been entered.
    """
    around = [level.holder for level in levels(graph, node) if level.holder is not None]
    place = Place()
    for holder in reversed(around):
        if holder.type in SWITCHES:
            continue
        scope = state.scopes.get(RefName(holder.task_reference_name + place.suffix))
        if scope is None or (holder.loop_over and not scope.iteration):
            return None
        if holder.loop_over:
            place = place.pass_inside(scope.iteration)
    return place


def has_been_reached(state: WorkflowState, around: Sequence[Level]) -> bool:
    """Tell whether the FORKs and loops around a task have been entered, loops up to the pass that the task is in."""
    for level in around:
        holder = level.holder
        if holder is None or holder.type in SWITCHES:
            continue
        outer, _, iteration = level.suffix.rpartition(MARK) if holder.loop_over else (level.suffix, "", "0")
        scope = state.scopes.get(RefName(holder.task_reference_name + outer))
        if scope is None or scope.iteration < int(iteration):
            return False
    return True


def _is_awaited(state: WorkflowState, level: Level, around: Sequence[Level]) -> bool:
    """Tell whether the JOIN behind a FORK is open."""
    outer = around[around.index(level) + 1]
    following = outer.tasks[outer.index + 1 : outer.index + 2]
    join = state.task(RefName(following[0].task_reference_name + level.suffix)) if following else None
    return join is not None and following[0].type == "JOIN" and not isinstance(join, EndedTask)


def _lists(
    tasks: tuple[WorkflowTask, ...],
) -> dict[RefName, tuple[tuple[WorkflowTask, ...], int, WorkflowTask | None]]:
    """Return, for each task of a definition, the list that it is in, its number there, and what holds the list."""
    found: dict[RefName, tuple[tuple[WorkflowTask, ...], int, WorkflowTask | None]] = {}
    waiting: list[tuple[tuple[WorkflowTask, ...], WorkflowTask | None]] = [(tasks, None)]
    while waiting:
        listed, holder = waiting.pop()
        for index, task in enumerate(listed):
            found[task.task_reference_name] = (listed, index, holder)
            waiting.extend((inner, task) for inner in _inner(task))
    return found


def _inner(task: WorkflowTask) -> Iterator[tuple[WorkflowTask, ...]]:
    yield from task.fork_tasks
    yield from task.decision_cases.values()
    yield task.default_case
    yield task.loop_over


def _fork_of(node: Node) -> RefName:
    """Return the dynamic fork that a branch is of, as its definition names it."""
    scope = node.scope
    return RefName(scope[: len(scope) - len(node.place.suffix)]) if node.place.suffix else scope


def _ref(task: WorkflowTask) -> RefName:
    return task.task_reference_name
