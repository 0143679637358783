"""Deciding about the answers of limiters.

Keeps the invariant that every slot is either held by something open or given back: an answer that nobody waits for any
more is refused, and its refusal gives the slot back.
"""

from engine import reopening
from engine.commands import AnswerSlot
from engine.context import DecideContext
from engine.dispatch import TO_WORKER
from engine.draft import Draft, Visit
from engine.ending import end_workflow
from engine.events import GoingOn, SlotObtained
from engine.graph import Graphs
from engine.ids import RefName, TaskSeq
from engine.model import OWN_SLOT, PendingTask, WorkflowState
from engine.place import place_at
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.scheduling import start_task
from engine.status import WorkflowStatus
from engine.walk import settle


def answer_slot(state: WorkflowState, command: AnswerSlot, context: DecideContext, graphs: Graphs) -> Decision:
    """Let begin what has got its slot. An answer that comes again changes nothing.

    Also during a pause: what has been scheduled before it may be done; a workflow goes on when it is resumed.

    Rejects:
        SLOT_NOT_AWAITED: what asked has ended, or is gone.
    """
    key = _key_of(state, command.seq)
    if key is None:
        reason = f"workflow {state.workflow_id} ({state.status}) needs no slot under number {command.seq}"
        return Rejected(code=RejectionCode.SLOT_NOT_AWAITED, reason=reason)
    if state.slots[key].obtained_at_ms:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    if command.refused:
        end_workflow(draft, WorkflowStatus.TERMINATED, f"The workflow may not run now: {command.refused}")
        return draft.accept()
    draft.emit(SlotObtained(at_ms=context.now_ms, seq=command.seq))
    if key == OWN_SLOT:
        run_from_here(draft)
    else:
        _begin(draft, key)
    settle(draft)
    return draft.accept()


def run_from_here(draft: Draft, *, followed: tuple[TaskSeq, ...] = ()) -> None:
    """Enter whatever a workflow has still to do that has its slot: its beginning, or what makes it go on.

    While it is paused nothing is entered; whoever resumes it calls this again. `followed` are the attempts that ended
    during the pause, and whose ends the walk follows already.
    """
    state = draft.state
    if state.is_queued or state.status is not WorkflowStatus.RUNNING:
        return
    how = state.slots[OWN_SLOT].going_on or GoingOn()
    if how.but_tolerated:
        reopening.try_what_was_cancelled(draft, followed=followed)
    else:
        target = _target(draft, how)
        if target is not None:
            draft.entries.append(target)
        but = None if target is None else RefName(target.ref + target.place.suffix)
        reopening.try_again(draft, with_children=how.with_children, but=but, followed=followed)
    # What ended while the workflow waited was not followed.
    draft.joins.update(dict.fromkeys(sorted(state.missing)))
    draft.loops.update(dict.fromkeys(sorted(state.loops)))


def _target(draft: Draft, how: GoingOn) -> Visit | None:
    """Return the task from which a workflow was rerun; None if it was not, or that is gone with an upgrade."""
    place = place_at(how.suffix)
    if how.forked_by:
        place = place.branch_inside(how.forked_by, how.branch)
    exists = how.forked_by in draft.state.tasks if how.forked_by else how.node in draft.graph.nodes
    return Visit(ref=how.node, place=place, given=how.given) if exists else None


def _begin(draft: Draft, seq: TaskSeq) -> None:
    task = draft.open_task(seq)
    # One that is postponed, or delayed, begins when that is over; a worker's when the worker takes it.
    if isinstance(task, PendingTask) and task.spec.dispatch != TO_WORKER and not task.due_at_ms:
        start_task(draft, seq)


def _key_of(state: WorkflowState, seq: TaskSeq) -> TaskSeq | None:
    if seq in state.slots:
        return seq
    own = state.slots.get(OWN_SLOT)
    return OWN_SLOT if own is not None and own.seq == seq else None
