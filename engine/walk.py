"""The walk: from what has ended to what begins, until nothing moves.

Holds the loop that every decision ends with. Must not know any task types but JOIN and DO_WHILE, which wait for
others: `engine.tasks` does. Keeps the invariants that a task is entered once, in each pass of the loops around it; that
a JOIN is looked at only when everything else has moved, and a loop after the JOINs; and that a running workflow has
something open that somebody can end, or ends in the same decision.

Source: Conductor's `DeciderService.decide`, `getNextTask`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.caching import find_output
from engine.draft import FIRST_ATTEMPT, Attempt, Draft, Visit
from engine.ending import complete_workflow, end_workflow, succeed
from engine.expressions.budget import ResolutionExceeded
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.model import EndedTask, Task, WorkflowState
from engine.scheduling import refuse_input, schedule_task
from engine.status import TASK_SUCCESSFUL, TaskStatus, WorkflowStatus
from engine.tasks import do_while, join
from engine.tasks.registry import behaviour_of

_WALKED_ON: Final = TASK_SUCCESSFUL - {TaskStatus.SKIPPED}
"""How a task ended from which the walk went on. A skipped one may have ended before the walk came to it."""


_EVENTS_PER_TASK: Final = 4
"""No task makes more within one decision. So a loop that never waits cannot keep a decision for ever."""


def settle(draft: Draft) -> None:
    """Walk on until the workflow waits for something or has ended. One that waits for its own slot does not begin."""
    if draft.state.slots and draft.state.is_queued:
        return
    while draft.state.status is WorkflowStatus.RUNNING:
        if draft.entries:
            enter(draft, draft.entries.popleft())
        elif draft.ended:
            _leave(draft, draft.ended.popleft())
        elif draft.joins:
            join.look(draft, _take_first(draft.joins))
        elif draft.loops:
            do_while.look(draft, _take_first(draft.loops))
        else:
            state = draft.state
            if not state.open_count:
                complete_workflow(draft)
            elif state.open_count == len(state.missing) + len(state.loops) and not _asks_a_script(state):
                join.give_up(draft)  # nothing but JOINs and loops is open: what they miss cannot come any more
            else:
                return


def notice_joins(draft: Draft, ref: RefName) -> None:
    """Note the JOINs that miss nothing any more, now that a ref has ended for good: they must be looked at."""
    state = draft.state
    for awaiting in state.awaited.get(ref, ()):
        missing = state.missing.get(awaiting)
        if missing == 0 or (missing and state.tasks[awaiting].spec.type == "EXCLUSIVE_JOIN"):
            draft.joins[awaiting] = None


def unvisited(draft: Draft) -> list[Visit]:
    """Return what has still to be entered: what the first run would have entered, had the workflow not ended.

    Costs the length of the workflow: for what people ask for.
    """
    state = draft.state
    expected: deque[Visit] = deque(() if draft.graph.first is None else (Visit(ref=draft.graph.first),))
    for seq in sorted(state.latest.values()):
        task = state.tasks[seq]
        if isinstance(task, EndedTask) and task.status in _WALKED_ON:
            expected.extend(_branches(draft, task))
            expected.extend(_leads_to(draft, task))
        elif task.spec.repeats:
            expected.extend(do_while.body(draft, task))
    found: dict[RefName, Visit] = {}
    while expected:
        visit = expected.popleft()
        at = RefName(visit.ref + visit.place.suffix)
        existing = state.task(at)
        if existing is None:
            found[at] = visit
        elif _is_skipped(existing):
            expected.extend(_leads_to(draft, existing))
    # Branches of dynamic forks first: whoever looks whether a name is taken has to find theirs.
    return sorted(found.values(), key=lambda visit: not visit.place.forked_by)


def _branches(draft: Draft, task: Task) -> Sequence[Visit]:
    """Return what the scheduling of a task had the walk enter at once."""
    if not task.spec.opens_scope:
        return ()
    node = draft.node_of(task.spec)
    branches = behaviour_of(node.task.type).branches
    return () if branches is None else branches(node, task)


def _asks_a_script(state: WorkflowState) -> bool:
    """Tell whether a loop waits for somebody outside, though its body is over."""
    return any(state.loops.values())


def enter(draft: Draft, visit: Visit) -> None:
    """Schedule a task, unless it is a first attempt at what has been entered before."""
    node = draft.node_to_enter(visit)
    if visit.attempt is FIRST_ATTEMPT:
        existing = draft.state.task(node.at)
        if existing is not None:
            if _is_skipped(existing):
                draft.ended.append(existing.spec.seq)
            return  # entered before: a retried task leads to what it led to in the first run
    tasks_max = draft.context.limits.tasks_max
    if len(draft.state.tasks) >= tasks_max or len(draft.events) >= _EVENTS_PER_TASK * tasks_max:
        reason = (
            f"workflow {draft.state.workflow_id} has {len(draft.state.tasks)} tasks and may have {tasks_max}, "
            f"also in one decision; task {node.at} cannot be scheduled. Split it into sub-workflows."
        )
        end_workflow(draft, WorkflowStatus.FAILED, reason)
        return
    given = visit.given
    retried = visit.attempt.retry_of
    if retried is not None and given is None and retried in draft.state.tasks:
        given = draft.state.tasks[retried].spec.given
    draft.given = given
    try:
        _schedule(draft, node, visit.attempt)
    except ResolutionExceeded as error:
        end_workflow(draft, WorkflowStatus.FAILED, f"task {node.at} cannot be scheduled: {error}")
    draft.given = None


def _schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule a task as its type does, unless its input is refused, or its output is kept from another time."""
    definition = node.task_definition
    if definition is not None and definition.enforce_schema and refuse_input(draft, node, attempt, definition):
        return
    if node.task.cache_config is not None:
        attempt, given, found = find_output(draft, node, attempt)
        if found is not None:
            succeed(draft, schedule_task(draft, node, attempt, task_input=given), found)
            return
        draft.deferred = ()
    behaviour_of(node.task.type).schedule(draft, node, attempt)


def _leave(draft: Draft, seq: TaskSeq) -> None:
    state = draft.state
    task = state.tasks[seq]
    spec = task.spec
    draft.entries.extend(_leads_to(draft, task))
    notice_joins(draft, spec.ref)
    scope_ref = spec.scope
    while scope_ref:
        scope = state.scopes[scope_ref]
        if not scope.open_count:
            _notice(draft, scope_ref)
        scope_ref = scope.parent


def _notice(draft: Draft, scope: RefName) -> None:
    """Note that nothing inside a FORK or a loop is open any more: its JOIN, or the loop, must be looked at."""
    opened_by = draft.state.task(scope)
    if opened_by is None:
        return
    if opened_by.spec.repeats:
        draft.loops[opened_by.spec.seq] = None
    else:
        join.notice(draft, draft.node_of(opened_by.spec))


def _leads_to(draft: Draft, task: Task) -> tuple[Visit, ...]:
    """Return what the walk enters behind a task that has ended for good."""
    node = draft.node_of(task.spec)
    behaviour = behaviour_of(node.task.type)
    if behaviour.leads_to is None or _is_skipped(task):
        return () if node.following is None else (Visit(ref=node.following, place=node.place),)
    return tuple(Visit(ref=ref, place=node.place) for ref in behaviour.leads_to(node, task))


def _is_skipped(task: Task) -> bool:
    return isinstance(task, EndedTask) and task.status is TaskStatus.SKIPPED


def _take_first(noticed: dict[TaskSeq, None]) -> TaskSeq:
    seq = next(iter(noticed))
    del noticed[seq]
    return seq
