"""FORK_JOIN_DYNAMIC: a FORK whose branches its input names; the JOIN that follows it awaits all of them.

How an input names them is in `engine.branches`. A branch is one task that stands in no definition: its attempt names
the fork and its number, and the fork's recorded input says the rest. An input that names no branches is a FORK with
nothing in it; one that cannot be read ends the fork with the reason.

Source: Conductor's `ForkJoinDynamicTaskMapper`; a task that needs others around it (a SWITCH, a loop) is refused here.
"""

from collections.abc import Sequence
from typing import Final

from engine.branches import FORKED, BranchesInvalid, branches
from engine.definitions import WorkflowTask
from engine.draft import Attempt, Draft, Visit
from engine.ending import fail, succeed
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.model import Task
from engine.scheduling import schedule_task
from engine.status import TaskStatus
from engine.validation import validate_branch

NEEDS_OTHERS: Final = frozenset(
    {"DECISION", "DO_WHILE", "EXCLUSIVE_JOIN", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN", "SWITCH"}
)
"""Types that lead to other tasks of the definition, or wait for them. A branch has neither."""


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Read the branches, open their scope and end the FORK."""
    given = task_input(draft, node.task, node.task_definition)
    try:
        names = _names(draft, node, given)
    except BranchesInvalid as error:
        seq = schedule_task(draft, node, attempt, task_input=given, task_type="FORK")
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, f"the branches of {node.at} cannot be made: {error}")
        return
    recorded = {**given, FORKED: names}
    seq = schedule_task(draft, node, attempt, task_input=recorded, task_type="FORK", opens_scope=True)
    succeed(draft, seq, {})
    # Before anything else: whoever looks whether a name is taken has to find these.
    draft.entries.extendleft(reversed(enters(node, draft.task(seq))))


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return the JOIN."""
    return () if node.join is None else (node.join,)


def enters(node: Node, task: Task) -> Sequence[Visit]:
    """Return the branches, which stand in no definition."""
    names = task.spec.input.get(FORKED, ())
    seq = task.spec.seq
    return [Visit(ref=name, place=node.place.branch_inside(seq, number)) for number, name in enumerate(names)]


def _names(draft: Draft, node: Node, given: JsonObject) -> list[RefName]:
    """Return the names of the branches, which are valid tasks with names of their own.

    Raises:
        BranchesInvalid: one of them is not.
    """
    is_first = draft.graph.first_dynamic_fork == node.ref
    found = branches(node.task, given, prefix="" if is_first else f"{node.ref}_")
    seen: set[RefName] = set()
    for number, task in enumerate(found):
        ref = task.task_reference_name
        problem = _problem(draft, node, task)
        if ref in seen:
            problem = f"the reference name {ref!r} is given twice"
        if problem:
            raise BranchesInvalid(f"branch {number}: {problem}")
        seen.add(ref)
    return [task.task_reference_name for task in found]


def _problem(draft: Draft, node: Node, task: WorkflowTask) -> str:
    if task.type in NEEDS_OTHERS:
        return f"{task.task_reference_name!r} is a {task.type}; a branch is one task: put it into a SUB_WORKFLOW"
    at = RefName(task.task_reference_name + node.place.suffix)
    if at in draft.state.latest or task.task_reference_name in draft.graph.nodes or draft.graph.find(at) is not None:
        return f"the reference name {task.task_reference_name!r} is taken by another task of the workflow"
    violations = validate_branch(task)
    return "" if not violations else f"{violations[0].path}: {violations[0].message}"
