"""JOIN: waits for the refs in `joinOn`, or for all branches of its FORK if that is empty.

A JOIN is never polled. It is looked at when a ref that it awaits has ended, and when the last open task inside its FORK has: then
a ref that never ran lies on an untaken branch and is no longer awaited.

Output: one key per awaited ref that has an output. Source: Conductor's `Join`; waiting without end on an untaken branch is mended.
"""

from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.inputs import task_input
from engine.model import EndedTask, OpenTask, Task
from engine.scheduling import schedule_task, start_task
from engine.status import TASK_UNSUCCESSFUL, TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait."""
    fork = (
        node.fork if node.fork is not None and draft.state.scopes.get(node.fork) is not None else RefName("")
    )
    awaited = node.task.join_on or _branch_ends(draft, fork)
    given = {**task_input(draft, node.task, None), "joinOn": list(awaited)}
    seq = schedule_task(draft, node, attempt, task_input=given, join_on=awaited, awaits_scope=fork)
    start_task(draft, seq)
    draft.joins[seq] = None


def notice(draft: Draft, scope: RefName) -> None:
    """Note that the last open task inside a FORK has ended: its JOIN must be looked at."""
    join_ref = draft.graph.node(scope).join
    seq = None if join_ref is None else draft.state.latest.get(join_ref)
    if seq is not None:
        draft.joins[seq] = None


def look(draft: Draft, seq: TaskSeq) -> None:
    """End the JOIN if nothing that it awaits can still come."""
    join = draft.open_task(seq)
    if join is None or not _is_complete(draft, join):
        return
    joined = [task for ref in join.spec.join_on if (task := draft.state.task(ref)) is not None]
    failed = [task for task in joined if isinstance(task, EndedTask) and task.status in TASK_UNSUCCESSFUL]
    if failed:
        reasons = "; ".join(f"{task.spec.ref}: {task.progress.reason or task.status}" for task in failed)
        canceled = all(task.status is TaskStatus.CANCELED for task in failed)
        fail(draft, seq, TaskStatus.CANCELED if canceled else TaskStatus.FAILED, reasons)
        return
    status = TaskStatus.COMPLETED_WITH_ERRORS if any(map(_has_errors, joined)) else TaskStatus.COMPLETED
    succeed(draft, seq, {}, status=status, gather=True)


def _is_complete(draft: Draft, join: OpenTask) -> bool:
    scope = draft.state.scopes.get(join.spec.awaits_scope)
    if scope is not None and not scope.open_count:
        return True
    names_refs = bool(draft.graph.node(join.spec.node).task.join_on)
    return names_refs and not draft.state.missing.get(join.spec.seq, 0)


def _has_errors(task: Task) -> bool:
    return isinstance(task, EndedTask) and task.status is TaskStatus.COMPLETED_WITH_ERRORS


def _branch_ends(draft: Draft, fork: RefName) -> tuple[RefName, ...]:
    if not fork:
        return ()
    branches = draft.graph.node(fork).task.fork_tasks
    return tuple(branch[-1].task_reference_name for branch in branches if branch)
