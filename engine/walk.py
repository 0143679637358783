"""The walk: from what has ended to what begins, until nothing moves.

Holds the loop that every decision ends with. Must not know any task type: `engine.tasks` does. Keeps the invariants that a
task is entered once per visit, that a JOIN is looked at only when everything else has moved, and that a running workflow in
which nothing is open ends in the same decision.
"""

from engine.draft import FIRST_ATTEMPT, Draft, Visit
from engine.ending import complete_workflow, end_workflow
from engine.ids import TaskSeq
from engine.model import EndedTask
from engine.status import TaskStatus, WorkflowStatus
from engine.tasks import join
from engine.tasks.registry import behaviour_of


def settle(draft: Draft) -> None:
    """Walk on until the workflow waits for something or has ended."""
    while draft.state.status is WorkflowStatus.RUNNING:
        if draft.entries:
            _enter(draft, draft.entries.popleft())
        elif draft.ended:
            _leave(draft, *draft.ended.popleft())
        elif draft.joins:
            join.look(draft, _take_first(draft.joins))
        elif not draft.state.open_count:
            complete_workflow(draft)
        else:
            return


def notice_open_joins(draft: Draft) -> None:
    """Look at every open JOIN again. Costs the length of the workflow: for resuming only."""
    for seq in sorted(draft.state.missing):
        draft.joins[seq] = None


def _enter(draft: Draft, visit: Visit) -> None:
    node = draft.graph.node(visit.ref)
    if visit.attempt is FIRST_ATTEMPT:
        existing = draft.state.task(visit.ref)
        if existing is not None:
            if isinstance(existing, EndedTask) and existing.status is TaskStatus.SKIPPED:
                draft.ended.append((existing.spec.seq, True))
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


def _leave(draft: Draft, seq: TaskSeq, walk_on: bool) -> None:
    state = draft.state
    spec = state.tasks[seq].spec
    node = draft.graph.node(spec.node)
    if walk_on and node.following is not None:
        draft.enter(node.following)
    for awaiting in state.awaited.get(spec.ref, ()):
        if not state.missing.get(awaiting, 1):
            draft.joins[awaiting] = None
    scope_ref = spec.scope
    while scope_ref:
        scope = state.scopes[scope_ref]
        if not scope.open_count:
            join.notice(draft, scope_ref)
        scope_ref = scope.parent


def _take_first(joins: dict[TaskSeq, None]) -> TaskSeq:
    seq = next(iter(joins))
    del joins[seq]
    return seq
