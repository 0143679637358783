"""How a task is recorded as over without ever having been under way: skipped, or chosen for by a jump.

Holds the one place that writes such an attempt. Must not decide which. Keeps the invariant that it is over at once:
nobody is offered it, and a JOIN takes it for done.
"""

from engine.draft import Draft
from engine.events import TaskEnded, TaskScheduled
from engine.graph import OUTERMOST, Node
from engine.json_value import JsonObject
from engine.status import TaskStatus
from engine.walk import notice_joins


def record_skipped(draft: Draft, node: Node, given: JsonObject | None = None, output: JsonObject | None = None) -> None:
    """Record a task as SKIPPED where it runs. In a pass or a branch that has not begun it belongs to no scope yet."""
    record(draft, node, status=TaskStatus.SKIPPED, given=given, output=output)


def record(
    draft: Draft,
    node: Node,
    *,
    status: TaskStatus,
    given: JsonObject | None = None,
    output: JsonObject | None = None,
) -> None:
    """Record a task that never ran as over, where it would have run. The walk has to be told where it goes on."""
    seq = draft.next_seq()
    draft.emit(
        TaskScheduled(
            at_ms=draft.now_ms,
            seq=seq,
            ref=node.at,
            node=node.ref,
            name=node.task.name,
            type=node.task.name if status is TaskStatus.SKIPPED else node.task.type,
            iteration=node.place.iteration,
            scope=node.scope if node.within_loop and _has_begun(draft, node) else OUTERMOST,
            input=given or {},
        )
    )
    draft.emit(TaskEnded(at_ms=draft.now_ms, seq=seq, status=status, output=output or {}))
    notice_joins(draft, node.at)


def _has_begun(draft: Draft, node: Node) -> bool:
    """Tell whether the pass of the loop around a task runs."""
    scope = draft.state.scopes.get(node.scope)
    return scope is not None and scope.iteration == node.place.iteration
