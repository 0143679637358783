"""Deciding about the answers of limiters.

Keeps the invariant that every slot is either held by something open or given back: an answer that nobody waits for any
more is refused, and its refusal gives the slot back.
"""

from engine.commands import AnswerSlot
from engine.context import DecideContext
from engine.dispatch import TO_WORKER
from engine.draft import Attempt, Draft
from engine.ending import end_workflow, unsuccessful_tasks
from engine.events import SlotObtained
from engine.graph import Graphs
from engine.ids import TaskSeq
from engine.model import OWN_SLOT, PendingTask, WorkflowState
from engine.place import place_of
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.scheduling import start_task
from engine.status import WorkflowStatus
from engine.walk import settle, unvisited


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


def run_from_here(draft: Draft) -> None:
    """Enter whatever a workflow has still to do: its beginning, or what failed and what was never entered.

    While it is paused nothing is entered; whoever resumes it calls this again.
    """
    if draft.state.is_queued or draft.state.status is not WorkflowStatus.RUNNING:
        return
    failed = unsuccessful_tasks(draft.state)
    never_begun = unvisited(draft)
    for task in failed:
        again = Attempt(number=task.spec.attempt + 1, retry_of=task.spec.seq, first_scheduled_at_ms=draft.now_ms)
        draft.enter(task.spec.node, again, place_of(task.spec))
    draft.entries.extend(never_begun)


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
