"""JOIN: waits for the refs in `joinOn`, or for all branches of its FORK if that is empty.

A JOIN is never polled. It is looked at when the last ref that it misses has ended, and when nothing inside its FORK
is open any more: then a ref that never ran lies on an untaken branch and is no longer awaited. Where even that cannot
happen, because only JOINs are left open, it gives up what it misses.

Output: one key per awaited ref that has an output. Source: Conductor's `Join`; waiting without end on an untaken
branch is mended.
"""

from engine.branches import FORKED
from engine.deadlines import engine_timeouts
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.inputs import task_input
from engine.model import EndedTask, OpenTask, Task
from engine.nodes import running_name
from engine.place import OUTSIDE
from engine.scheduling import schedule_task, start_task
from engine.status import TASK_UNSUCCESSFUL, TaskStatus
from engine.tasks import exclusive_join


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Begin to wait."""
    fork = None if node.fork is None else RefName(node.fork + node.place.suffix)
    awaited = _awaited(draft, node)
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


def notice(draft: Draft, fork: Node) -> None:
    """Note that nothing inside a FORK is open any more: its JOIN must be looked at."""
    seq = None if fork.join is None else draft.state.latest.get(RefName(fork.join + fork.place.suffix))
    if seq is not None:
        draft.joins[seq] = None


def look(draft: Draft, seq: TaskSeq) -> None:
    """End the JOIN if nothing that it awaits can still come."""
    join = draft.open_task(seq)
    if join is None:
        return
    if join.spec.type == "EXCLUSIVE_JOIN":
        exclusive_join.look(draft, join)
    elif _is_complete(draft, join):
        _end(draft, join)


def give_up(draft: Draft) -> None:
    """End a JOIN that misses something, for only JOINs are open: one whose own branches are over."""
    for seq in sorted(draft.state.missing):
        join = draft.open_task(seq)
        if join is not None and not _has_open_branch(draft, join):
            exclusive_join.give_up(draft, join) if join.spec.type == "EXCLUSIVE_JOIN" else _end(draft, join)
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
    node = draft.node_of(join.spec)
    explicit = node.task.join_on and not _is_dynamic(draft, node.fork)
    if explicit and not state.missing.get(join.spec.seq):
        return True
    if _has_open_branch(draft, join):
        return False
    if node.fork is None:
        return not state.missing.get(join.spec.seq)
    if not explicit:
        return True
    # All branches are over, or the FORK was skipped: only what lies outside of it can still come.
    named = zip(node.task.join_on, join.spec.join_on, strict=True)
    outside = (at for ref, at in named if not draft.graph.is_inside(ref, node.fork))
    return all(_has_ended(state.task(at)) for at in outside)


def _has_open_branch(draft: Draft, join: OpenTask) -> bool:
    scope = draft.state.scopes.get(join.spec.awaits_scope)
    return scope is not None and scope.open_count > 0


def _has_ended(task: Task | None) -> bool:
    return isinstance(task, EndedTask) and task.final


def _awaited(draft: Draft, node: Node) -> tuple[RefName, ...]:
    """Return what a JOIN awaits, under the names which that runs under."""
    fork = node.fork
    if fork is not None and _is_dynamic(draft, fork):
        forked = draft.state.task(RefName(fork + node.place.suffix))
        branches = () if forked is None else forked.spec.input.get(FORKED, ())
        return tuple(RefName(ref + node.place.suffix) for ref in branches)
    awaited = node.task.join_on
    if not awaited and fork is not None:
        awaited = tuple(branch[-1].task_reference_name for branch in draft.graph.node(fork).task.fork_tasks if branch)
    return awaited if node.place is OUTSIDE else tuple(running_name(draft.graph, node, ref) for ref in awaited)


def _is_dynamic(draft: Draft, fork: RefName | None) -> bool:
    return fork is not None and draft.graph.node(fork).task.type == "FORK_JOIN_DYNAMIC"
