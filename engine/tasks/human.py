"""HUMAN: waits until somebody completes it. Source: Conductor's `HumanTaskMapper`."""

from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.graph import Node
from engine.inputs import task_input
from engine.scheduling import delay_of, schedule_task, start_task


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait, unless that is delayed."""
    definition = node.task_definition
    given = task_input(draft, node.task, definition)
    delay_ms = delay_of(node, attempt)
    timeouts = engine_timeouts(definition)
    seq = schedule_task(draft, node, attempt, task_input=given, delay_ms=delay_ms, timeouts=timeouts)
    if not delay_ms:
        start_task(draft, seq)
