"""How an ended workflow runs again and keeps its tasks.

Holds the steps that retry, rerun and the word of a child share. Must not refuse anything. Keeps the invariant that
whatever the end of the workflow cut short is under way again afterwards: no branch is lost. In a workflow that has to
wait for its own slot that is so once it has it: until then nothing here tries anything.
"""

from typing import Final

from engine.commands import Parent
from engine.draft import Attempt, Draft
from engine.ending import unsuccessful_tasks
from engine.events import ChildResumeRequested, GoingOn, TaskRevived, TaskScheduled, WorkflowReopened
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.model import EndedTask, WorkflowState
from engine.place import place_of
from engine.slots import await_own_slot
from engine.status import TaskStatus, WorkflowStatus
from engine.walk import unvisited

_HOLDS_OTHERS: Final = frozenset({"JOIN", "EXCLUSIVE_JOIN", "DO_WHILE"})
"""Types that fail only because of others."""


def nothing_to_retry(draft: Draft) -> bool:
    """Tell whether a retry would do nothing: the workflow has not failed, or nothing in it has."""
    state = draft.state
    if not state.is_terminal or state.status is WorkflowStatus.COMPLETED:
        return True
    return state.status is not WorkflowStatus.TIMED_OUT and not unsuccessful_tasks(state) and not unvisited(draft)


def reopen(
    draft: Draft,
    going_on: GoingOn,
    *,
    workflow_input: JsonObject | None = None,
    correlation_id: str | None = None,
    heard: int = 0,
    parent: Parent | None = None,
) -> None:
    """Let the workflow be RUNNING again; `heard` and `parent` as in the event.

    `going_on` is what the caller does next, should the workflow have to wait for a slot.
    """
    draft.emit(
        WorkflowReopened(
            at_ms=draft.now_ms, input=workflow_input, correlation_id=correlation_id, heard=heard, parent=parent
        )
    )
    await_own_slot(draft, going_on)


def try_again(
    draft: Draft,
    *,
    with_children: bool = False,
    but: RefName | None = None,
    followed: tuple[TaskSeq, ...] = (),
) -> None:
    """Give what ended unsuccessfully a further attempt, and let begin what has been kept from beginning.

    `with_children`: a task whose sub-workflow did not succeed waits for that one again. `but` will begin anyway, and
    what follows on the ends of `followed` has been seen to.
    """
    if draft.state.is_queued:
        return
    for task in unsuccessful_tasks(draft.state):
        if task.spec.seq in followed:
            continue
        if with_children and task.progress.child_id is not None:
            _ask_child(draft, task)
        else:
            _enter_again(draft, task)
    draft.entries.extend(visit for visit in unvisited(draft) if visit.ref + visit.place.suffix != but)


def try_what_was_cancelled(draft: Draft, *, followed: tuple[TaskSeq, ...] = ()) -> None:
    """Give a further attempt to what was cancelled, or brought the workflow down; a permissive failure stays."""
    if draft.state.is_queued:
        return
    for task in unsuccessful_tasks(draft.state):
        if task.spec.seq in followed:
            continue
        is_tolerated = draft.node_of(task.spec).task.permissive and task.spec.type not in _HOLDS_OTHERS
        if task.status is TaskStatus.CANCELED or not is_tolerated:
            _enter_again(draft, task)
    draft.entries.extend(unvisited(draft))


def is_in_present_passes(state: WorkflowState, spec: TaskScheduled) -> bool:
    """Tell whether every loop around an attempt is open and still in the pass that the attempt is of."""
    around = spec.scope
    while around:
        scope = state.scopes[around]
        opened_by = state.task(around)
        if opened_by is not None and opened_by.spec.repeats:
            inside = f"{place_of(opened_by.spec).suffix}__{scope.iteration}"
            own = place_of(spec).suffix
            if isinstance(opened_by, EndedTask) or not (own == inside or own.startswith(inside + "__")):
                return False
        around = scope.parent
    return True


def _enter_again(draft: Draft, task: EndedTask) -> None:
    spec = task.spec
    again = Attempt(number=spec.attempt + 1, retry_of=spec.seq, first_scheduled_at_ms=draft.now_ms)
    draft.enter(spec.node, again, place_of(spec))


def _ask_child(draft: Draft, task: EndedTask) -> None:
    seq, child_id = task.spec.seq, task.progress.child_id
    assert child_id is not None  # noqa: S101 - tells the type checker what the caller has found out
    draft.emit(TaskRevived(at_ms=draft.now_ms, seq=seq))
    told = draft.task(seq).progress.asked
    draft.emit(ChildResumeRequested(at_ms=draft.now_ms, seq=seq, child_id=child_id, told=told))
