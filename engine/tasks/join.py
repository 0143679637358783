"""JOIN: waits for the refs in `joinOn`, or for all branches of its FORK if that is empty.

A JOIN is never polled. It is looked at when the last ref that it misses has ended, and when nothing inside its FORK
is open any more: then a ref that never ran lies on an untaken branch and is no longer awaited. Where even that cannot
happen, because only JOINs are left open, it gives up what it misses.

Output: one key per awaited ref that has an output. Source: Conductor's `Join`; waiting without end on an untaken
branch is mended.
"""

from engine.deadlines import engine_timeouts
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
    fork = node.fork
    awaited = node.task.join_on or _branch_ends(draft, fork)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input={**task_input(draft, node.task, node.task_definition), "joinOn": list(awaited)},
        timeouts=engine_timeouts(node.task_definition),
        join_on=awaited,
        awaits_scope=fork if fork is not None and fork in draft.state.scopes else RefName(""),
    )
    start_task(draft, seq)
    draft.joins[seq] = None


def notice(draft: Draft, scope: RefName) -> None:
    """Note that nothing inside a FORK is open any more: its JOIN must be looked at."""
    join_ref = draft.graph.node(scope).join
    seq = None if join_ref is None else draft.state.latest.get(join_ref)
    if seq is not None:
        draft.joins[seq] = None


def look(draft: Draft, seq: TaskSeq) -> None:
    """End the JOIN if nothing that it awaits can still come."""
    join = draft.open_task(seq)
    if join is not None and _is_complete(draft, join):
        _end(draft, join)


def give_up(draft: Draft) -> None:
    """End a JOIN that misses something, for only JOINs are open: one whose own branches are over."""
    for seq in sorted(draft.state.missing):
        join = draft.open_task(seq)
        if join is not None and not _has_open_branch(draft, join):
            _end(draft, join)
            return


def _end(draft: Draft, join: OpenTask) -> None:
    """End a JOIN as what it joined has ended."""
    state = draft.state
    joined = [task for ref in join.spec.join_on if isinstance(task := state.task(ref), EndedTask)]
    failed = [task for task in joined if task.status in TASK_UNSUCCESSFUL]
    if failed:
        reasons = "; ".join(f"{task.spec.ref}: {task.progress.reason or task.status}" for task in failed)
        canceled = all(task.status is TaskStatus.CANCELED for task in failed)
        status = TaskStatus.CANCELED if canceled else TaskStatus.FAILED
        fail(draft, join.spec.seq, status, reasons, gather=True)
        return
    errors = any(task.status is TaskStatus.COMPLETED_WITH_ERRORS for task in joined)
    status = TaskStatus.COMPLETED_WITH_ERRORS if errors else TaskStatus.COMPLETED
    succeed(draft, join.spec.seq, {}, status=status, gather=True)


def _is_complete(draft: Draft, join: OpenTask) -> bool:
    state = draft.state
    node = draft.graph.node(join.spec.node)
    if node.task.join_on and not state.missing.get(join.spec.seq):
        return True
    if _has_open_branch(draft, join):
        return False
    if node.fork is None:
        return not state.missing.get(join.spec.seq)
    # All branches are over, or the FORK was skipped: only what lies outside of it can still come.
    outside = (ref for ref in join.spec.join_on if not draft.graph.is_inside(ref, node.fork))
    return all(_has_ended(state.task(ref)) for ref in outside)


def _has_open_branch(draft: Draft, join: OpenTask) -> bool:
    scope = draft.state.scopes.get(join.spec.awaits_scope)
    return scope is not None and scope.open_count > 0


def _has_ended(task: Task | None) -> bool:
    return isinstance(task, EndedTask) and task.final


def _branch_ends(draft: Draft, fork: RefName | None) -> tuple[RefName, ...]:
    if fork is None:
        return ()
    branches = draft.graph.node(fork).task.fork_tasks
    return tuple(branch[-1].task_reference_name for branch in branches if branch)
