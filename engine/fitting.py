"""Whether a running workflow can go on by another definition, and what that would mean.

Holds the comparison. Must not change anything. Keeps the invariant that what is open goes on only where the other
definition has the same task in the same place.
"""

from typing import Final

import msgspec

from engine.graph import Graph
from engine.ids import RefName, TaskSeq
from engine.layout import SWITCHES, levels
from engine.model import EndedTask, Task, WorkflowState

_WAITS_FOR_OTHERS: Final = frozenset({"JOIN", "EXCLUSIVE_JOIN"})


class Misfit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An open task that cannot go on by the other definition."""

    ref: RefName
    why: str


class Fit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a workflow fits another definition.

    `fits`: open tasks that go on. `misfits`: those that cannot. `forgotten`: tasks that have ended and that the other
    definition does not have there. `renewed`: open JOINs that begin to wait anew. `added`: tasks that are new.
    """

    fits: tuple[RefName, ...]
    misfits: tuple[Misfit, ...]
    forgotten: tuple[RefName, ...]
    renewed: tuple[RefName, ...]
    added: tuple[RefName, ...]


def fit(state: WorkflowState, old: Graph, new: Graph) -> Fit:
    """Return how a workflow that runs by `old` fits `new`. Costs the length of both and of the workflow."""
    fits: list[RefName] = []
    misfits: list[Misfit] = []
    forgotten: dict[RefName, None] = {}
    renewed: list[RefName] = []
    for _, task in sorted(state.tasks.items()):
        ref = task.spec.ref
        why = _why_not(state, task, old, new)
        if isinstance(task, EndedTask):
            if why:
                forgotten[ref] = None
        elif why:
            misfits.append(Misfit(ref=ref, why=why))
        elif task.spec.type in _WAITS_FOR_OTHERS and _awaits_others(task, old, new):
            renewed.append(ref)
        else:
            fits.append(ref)
    return Fit(
        fits=tuple(fits),
        misfits=tuple(misfits),
        forgotten=tuple(forgotten),
        renewed=tuple(renewed),
        added=tuple(ref for ref in new.nodes if ref not in old.nodes),
    )


def seqs_of(state: WorkflowState, refs: frozenset[RefName]) -> tuple[TaskSeq, ...]:
    """Return the attempts of some names, and the branches of the dynamic forks among them, oldest first."""
    seqs = {seq for seq, task in state.tasks.items() if task.spec.ref in refs}
    seqs |= {seq for seq, task in state.tasks.items() if task.spec.forked_by in seqs}
    return tuple(sorted(seqs))


def _why_not(state: WorkflowState, task: Task, old: Graph, new: Graph) -> str:
    """Say why an attempt cannot be one of the other definition, or nothing."""
    spec = task.spec
    if spec.forked_by:
        fork = state.tasks[spec.forked_by].spec.node
        same = fork in new.nodes and new.nodes[fork].task == old.nodes[fork].task
        return "" if same and _holders(new, fork) == _holders(old, fork) else f"the dynamic fork {fork} is another"
    node = new.nodes.get(spec.node)
    before = old.nodes[spec.node]
    if node is None:
        return "the other version has no task of that name"
    if node.task.type != before.task.type:
        return f"it is a {before.task.type}, and a {node.task.type} in the other version"
    if _holders(new, spec.node) != _holders(old, spec.node):
        return "it stands elsewhere in the other version: in another loop, branch or case"
    if node.task.loop_condition != before.task.loop_condition:
        return "its loopCondition is another"
    return ""


def _holders(graph: Graph, ref: RefName) -> list[tuple[RefName, str, int]]:
    """Return what holds a task: names, types, and which of a FORK's branches."""
    found: list[tuple[RefName, str, int]] = []
    for level in levels(graph, graph.nodes[ref]):
        holder = level.holder
        if holder is not None and holder.type not in SWITCHES:
            branch = next((number for number, tasks in enumerate(holder.fork_tasks) if tasks is level.tasks), 0)
            found.append((holder.task_reference_name, holder.type, branch))
        elif holder is not None:
            found.append((holder.task_reference_name, holder.type, 0))
    return found


def _awaits_others(join: Task, old: Graph, new: Graph) -> bool:
    """Tell whether a JOIN waits for other tasks in the other definition."""
    before, after = old.nodes[join.spec.node], new.nodes[join.spec.node]
    if before.task != after.task or before.fork != after.fork:
        return True
    return before.fork is not None and old.nodes[before.fork].task != new.nodes[before.fork].task
