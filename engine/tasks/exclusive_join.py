"""EXCLUSIVE_JOIN: ends as the first of its `joinOn` that runs at all.

Of the refs in `joinOn`, the first one in their order that was entered decides; one that was skipped, or lies on a
branch that was not taken, is passed over. Where none was entered, the first of `defaultExclusiveJoinTask` that has
ended decides. Output: that task's. It is looked at whenever one of the refs ends; where none can come any more, it ends
with nothing.

Source: Conductor's `ExclusiveJoin`; waiting without end for what never comes is mended.
"""

from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.graph import Node
from engine.inputs import task_input
from engine.model import EndedTask, OpenTask, Task
from engine.nodes import running_name
from engine.scheduling import schedule_task, start_task
from engine.status import TASK_UNSUCCESSFUL, TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait."""
    awaited = tuple(running_name(draft.graph, node, ref) for ref in node.task.join_on)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input={**task_input(draft, node.task, node.task_definition), "joinOn": list(awaited)},
        timeouts=engine_timeouts(node.task_definition),
        join_on=awaited,
    )
    start_task(draft, seq)
    draft.joins[seq] = None


def look(draft: Draft, join: OpenTask) -> None:
    """End the EXCLUSIVE_JOIN if the task that decides has ended for good."""
    decides = _deciding(draft, join)
    if isinstance(decides, EndedTask) and decides.final:
        _end(draft, join, decides)


def give_up(draft: Draft, join: OpenTask) -> None:
    """End the EXCLUSIVE_JOIN with nothing: nothing but JOINs is open, so nothing can come any more."""
    succeed(draft, join.spec.seq, {})


def _deciding(draft: Draft, join: OpenTask) -> Task | None:
    for ref in join.spec.join_on:
        task = draft.state.task(ref)
        if task is not None and not (isinstance(task, EndedTask) and task.status is TaskStatus.SKIPPED):
            return task
    node = draft.node_of(join.spec)
    for ref in node.task.default_exclusive_join_task:
        task = draft.state.task(running_name(draft.graph, node, ref))
        if isinstance(task, EndedTask):
            return task
    return None


def _end(draft: Draft, join: OpenTask, decides: EndedTask) -> None:
    if decides.status in TASK_UNSUCCESSFUL:
        reason = f"{decides.spec.ref}: {decides.progress.reason or decides.status}"
        fail(draft, join.spec.seq, TaskStatus.FAILED, reason, output=decides.progress.output)
        return
    status = decides.status if decides.status is TaskStatus.COMPLETED_WITH_ERRORS else TaskStatus.COMPLETED
    succeed(draft, join.spec.seq, decides.progress.output, status=status)
