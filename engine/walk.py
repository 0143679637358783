"""The walk: from what has ended to what begins, until nothing moves.

Holds the loop that every decision ends with. Must not know any task type but the JOIN: `engine.tasks` does. Keeps the
invariants that a task is entered once, that a JOIN is looked at only when everything else has moved, and that a running
workflow has something open that somebody can end, or ends in the same decision.

Source: Conductor's `DeciderService.decide`, `getNextTask`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.draft import FIRST_ATTEMPT, Draft, Visit
from engine.ending import complete_workflow, end_workflow
from engine.ids import RefName, TaskSeq
from engine.model import EndedTask, Task
from engine.status import TASK_SUCCESSFUL, TaskStatus, WorkflowStatus
from engine.tasks import join
from engine.tasks.registry import behaviour_of

_WALKED_ON: Final = TASK_SUCCESSFUL - {TaskStatus.SKIPPED}
"""How a task ended from which the walk went on. A skipped one may have ended before the walk came to it."""


def settle(draft: Draft) -> None:
    """Walk on until the workflow waits for something or has ended."""
    while draft.state.status is WorkflowStatus.RUNNING:
        if draft.entries:
            _enter(draft, draft.entries.popleft())
        elif draft.ended:
            _leave(draft, draft.ended.popleft())
        elif draft.joins:
            join.look(draft, _take_first(draft.joins))
        elif not draft.state.open_count:
            complete_workflow(draft)
        elif draft.state.open_count == len(draft.state.missing):
            join.give_up(draft)  # nothing but JOINs is open: what they miss cannot come any more
        else:
            return


def notice_joins(draft: Draft, ref: RefName) -> None:
    """Note the JOINs that miss nothing any more, now that a ref has ended for good: they must be looked at."""
    state = draft.state
    for awaiting in state.awaited.get(ref, ()):
        if not state.missing.get(awaiting, 1):
            draft.joins[awaiting] = None


def unvisited(draft: Draft) -> list[RefName]:
    """Return what has still to be entered: what the first run would have entered, had the workflow not ended.

    Costs the length of the workflow: for retrying only.
    """
    state = draft.state
    expected: deque[RefName] = deque(() if draft.graph.first is None else (draft.graph.first,))
    for seq in sorted(state.latest.values()):
        task = state.tasks[seq]
        if isinstance(task, EndedTask) and task.status in _WALKED_ON:
            expected.extend(_leads_to(draft, task))
    found: dict[RefName, None] = {}
    while expected:
        ref = expected.popleft()
        existing = state.task(ref)
        if existing is None:
            found[ref] = None
        elif _is_skipped(existing):
            expected.extend(_leads_to(draft, existing))
    return list(found)


def _enter(draft: Draft, visit: Visit) -> None:
    node = draft.graph.node(visit.ref)
    if visit.attempt is FIRST_ATTEMPT:
        existing = draft.state.task(visit.ref)
        if existing is not None:
            if _is_skipped(existing):
                draft.ended.append(existing.spec.seq)
            return  # entered before: a retried task leads to what it led to in the first run
    tasks_max = draft.context.limits.tasks_max
    if len(draft.state.tasks) >= tasks_max:
        reason = (
            f"workflow {draft.state.workflow_id} has {len(draft.state.tasks)} tasks and may have {tasks_max}; "
            f"task {visit.ref} cannot be scheduled. Split it into sub-workflows."
        )
        end_workflow(draft, WorkflowStatus.FAILED, reason)
        return
    behaviour_of(node.task.type).schedule(draft, node, visit.attempt)


def _leave(draft: Draft, seq: TaskSeq) -> None:
    state = draft.state
    task = state.tasks[seq]
    spec = task.spec
    for ref in _leads_to(draft, task):
        draft.enter(ref)
    notice_joins(draft, spec.ref)
    scope_ref = spec.scope
    while scope_ref:
        scope = state.scopes[scope_ref]
        if not scope.open_count:
            join.notice(draft, scope_ref)
        scope_ref = scope.parent


def _leads_to(draft: Draft, task: Task) -> Sequence[RefName]:
    """Return what the walk enters behind a task that has ended for good."""
    node = draft.graph.node(task.spec.node)
    leads_to = behaviour_of(node.task.type).leads_to
    if leads_to is not None and not _is_skipped(task):
        return leads_to(node, task)
    return () if node.following is None else (node.following,)


def _is_skipped(task: Task) -> bool:
    return isinstance(task, EndedTask) and task.status is TaskStatus.SKIPPED


def _take_first(joins: dict[TaskSeq, None]) -> TaskSeq:
    seq = next(iter(joins))
    del joins[seq]
    return seq
