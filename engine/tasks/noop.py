"""NOOP: is over at once. Source: Conductor's `NoopTaskMapper`."""

from engine.draft import Attempt, Draft
from engine.ending import succeed
from engine.graph import Node
from engine.inputs import task_input
from engine.scheduling import schedule_task


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin and end."""
    seq = schedule_task(draft, node, attempt, task_input=task_input(draft, node.task, None))
    succeed(draft, seq, {})
