"""Deciding about what people ask of a running workflow: pause, resume, terminate, skip.

An operation that is not possible now is refused with the status that was found.
Source: Conductor's `WorkflowExecutorOps`.
"""

from engine.commands import PauseWorkflow, ResumeWorkflow, SkipTask, TerminateWorkflow, is_same_task
from engine.context import DecideContext
from engine.deciders.slots import run_from_here
from engine.draft import Draft
from engine.ending import end_workflow, follow_held, skip_open
from engine.events import ConditionAsked, WorkflowPaused, WorkflowResumed
from engine.graph import Graphs
from engine.model import OWN_SLOT, EndedTask, WorkflowState
from engine.place import Place
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.skipping import record_skipped
from engine.status import WorkflowStatus
from engine.walk import settle


def pause_workflow(state: WorkflowState, command: PauseWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Stop scheduling. A workflow that is paused already stays so.

    Rejects:
        WORKFLOW_ENDED: there is nothing to pause any more.
    """
    del command
    if state.is_terminal:
        return _found(state, RejectionCode.WORKFLOW_ENDED, "pause", "RUNNING")
    if state.status is WorkflowStatus.PAUSED:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    draft.emit(WorkflowPaused(at_ms=context.now_ms))
    return draft.accept()


def resume_workflow(state: WorkflowState, command: ResumeWorkflow, context: DecideContext, graphs: Graphs) -> Decision:
    """Go on: what ended during the pause is followed by what it leads to.

    Rejects:
        WORKFLOW_NOT_PAUSED: it runs, or has ended.
    """
    del command
    if state.status is not WorkflowStatus.PAUSED:
        return _found(state, RejectionCode.WORKFLOW_NOT_PAUSED, "resume", "PAUSED")
    draft = Draft(state, context, graphs.of(state.started))
    held = state.held
    draft.emit(WorkflowResumed(at_ms=context.now_ms))
    for seq, asked in sorted(state.loops.items()):
        if asked:  # what a script said during the pause was not heard
            draft.emit(ConditionAsked(at_ms=context.now_ms, seq=seq, iteration=asked))
    for seq in held:
        if not draft.state.is_terminal:
            follow_held(draft, seq)
    own = state.slots.get(OWN_SLOT)
    if own is not None and own.in_pause:
        run_from_here(draft, followed=held)
    settle(draft)
    return draft.accept()


def terminate_workflow(
    state: WorkflowState, command: TerminateWorkflow, context: DecideContext, graphs: Graphs
) -> Decision:
    """End the workflow as TERMINATED. One that FAILED or TIMED_OUT is rewritten; one that is TERMINATED stays.

    Its failure workflow starts only if that is asked for. What its parent has told it before is not heard again.

    Rejects:
        WORKFLOW_ENDED: it is COMPLETED.
    """
    if command.parent is not None and not is_same_task(command.parent, state.started.parent):
        return Accepted(events=(), state=state)  # that task has only met it: it goes on for the one that started it
    if command.told and command.told <= state.heard:
        return Accepted(events=(), state=state)
    if state.status is WorkflowStatus.COMPLETED:
        return _found(state, RejectionCode.WORKFLOW_ENDED, "terminate", "not COMPLETED")
    if state.status is WorkflowStatus.TERMINATED:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    end_workflow(
        draft,
        WorkflowStatus.TERMINATED,
        command.reason or "",
        compensated=command.trigger_failure_workflow,
        told=command.told,
    )
    return draft.accept()


def skip_task(state: WorkflowState, command: SkipTask, context: DecideContext, graphs: Graphs) -> Decision:
    """Record a task as SKIPPED before the walk comes to it, which then steps over it. A JOIN takes it for done at once.

    One that is open is over, with all that runs inside it, and the walk goes on behind it. A task in a loop is named
    with its pass, as it will run: `encode__3`.

    Rejects:
        WORKFLOW_NOT_RUNNING: nothing will be scheduled.
        TASK_NOT_FOUND: the definition has no such reference name.
        TASK_ALREADY_SCHEDULED: it has ended.
    """
    if state.status is not WorkflowStatus.RUNNING:
        return _found(state, RejectionCode.WORKFLOW_NOT_RUNNING, f"skip {command.task_reference_name} of", "RUNNING")
    draft = Draft(state, context, graphs.of(state.started))
    ref = command.task_reference_name
    found = draft.graph.find(ref)
    if found is None:
        reason = f"definition {state.started.name} of workflow {state.workflow_id} has no task {ref}"
        return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)
    node, iteration = found
    existing = state.task(ref)
    if isinstance(existing, EndedTask):
        reason = f"task {ref} of workflow {state.workflow_id} cannot be skipped: it is {existing.status}"
        return Rejected(code=RejectionCode.TASK_ALREADY_SCHEDULED, reason=reason)
    if existing is not None:
        skip_open(draft, existing, command.task_output)
        settle(draft)
        return draft.accept()
    place = Place(suffix=ref[len(node.ref) :], iteration=iteration)
    record_skipped(draft, node.placed(place), command.task_input, command.task_output)
    settle(draft)
    return draft.accept()


def _found(state: WorkflowState, code: RejectionCode, operation: str, expected: str) -> Rejected:
    reason = f"cannot {operation} workflow {state.workflow_id}: it should be {expected} and is {state.status}"
    return Rejected(code=code, reason=reason)
