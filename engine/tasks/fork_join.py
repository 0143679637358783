"""FORK_JOIN: its branches run side by side; the JOIN that follows it awaits them.

The FORK itself is over at once; what it leaves behind is a scope that counts the open tasks of its branches.

Source: Conductor's `ForkJoinTaskMapper`.
"""

from engine.draft import Attempt, Draft
from engine.ending import succeed
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.scheduling import schedule_task


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """End the FORK, enter its JOIN, then the first task of each branch."""
    branches = [branch for branch in node.task.fork_tasks if branch]
    given = task_input(draft, node.task, None)
    if branches:
        given = {**given, "forkedTasks": [branch[0].task_reference_name for branch in branches]}
    seq = schedule_task(draft, node, attempt, task_input=given, task_type="FORK", opens_scope=True)
    succeed(draft, seq, {}, walk_on=False)
    if node.join is not None:
        draft.enter(RefName(node.join))
    for branch in branches:
        draft.enter(branch[0].task_reference_name)
