"""YIELD: waits as a WAIT does: for time if its input names one, else until somebody completes it.

Source: Orkes Conductor's YIELD task.
"""

from engine.draft import Attempt, Draft
from engine.graph import Node
from engine.tasks import wait


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait, unless that is delayed."""
    wait.schedule(draft, node, attempt)
