"""FORK_JOIN: its branches run side by side; the JOIN that follows it awaits them.

The FORK itself is over at once; what it leaves behind is a scope that counts the open tasks of its branches.

Source: Conductor's `ForkJoinTaskMapper`.
"""

from collections.abc import Sequence

from engine.draft import Attempt, Draft
from engine.ending import succeed
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.model import Task
from engine.scheduling import schedule_task


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Open the scope of the branches and end the FORK."""
    given = task_input(draft, node.task, None)
    heads = _heads(node)
    if heads:
        given = {**given, "forkedTasks": heads}
    seq = schedule_task(draft, node, attempt, task_input=given, task_type="FORK", opens_scope=True)
    succeed(draft, seq, {})


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return the first task of each branch, and the JOIN."""
    heads = _heads(node)
    return heads if node.join is None else [*heads, node.join]


def _heads(node: Node) -> list[RefName]:
    return [branch[0].task_reference_name for branch in node.task.fork_tasks if branch]
