"""`effects_of`: what the shell must do because of an event.

Holds the derivation of effects from events and the state that the decision led to. Must not perform anything, nor
look at definitions. Keeps the invariant that whoever has the log can derive the effects again: a new owner re-sends
the last ones, with the newest state at hand instead of the one of that moment.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from engine.commands import (
    Command,
    Parent,
    ReportChildEnd,
    ResumeChild,
    ReviveTask,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.deadlines import NO_TIMEOUTS, next_deadline_ms, workflow_deadline_ms
from engine.dispatch import TO_CHILD, TO_HTTP, TO_SCRIPT, TO_SINK, TO_WORKER
from engine.effects import (
    WORKFLOW_TIMER,
    AnnounceOutcome,
    ArmTimer,
    DisarmTimer,
    DispatchTask,
    Effect,
    KeepOutput,
    PublishMessage,
    RetractTask,
    SendCommand,
)
from engine.events import (
    ChildResumeRequested,
    ChildTerminationRequested,
    ConditionAsked,
    Event,
    LeaseExtended,
    MessagePosted,
    ParentAttached,
    ParentHeeded,
    SlotAwaited,
    SlotObtained,
    SlotReturned,
    StartRequested,
    TaskEnded,
    TaskPostponed,
    TaskReleased,
    TaskRevived,
    TaskScheduled,
    TaskStarted,
    WorkflowEnded,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowUpgraded,
)
from engine.failure import failure_command
from engine.ids import TaskSeq, WorkflowId, task_id
from engine.limiter.commands import AcquireSlot, NoteSlotStart, ReleaseSlot
from engine.model import OWN_SLOT, OpenTask, PendingTask, RunningTask, WorkflowState, open_tasks
from engine.status import TaskStatus

Effects: TypeAlias = tuple[Effect, ...]

_DISPATCHED: Final = frozenset({TO_WORKER, TO_HTTP, TO_SCRIPT, TO_SINK})
"""Who is told of a task by `DispatchTask`."""
_ANSWERING: Final = frozenset({TO_HTTP, TO_SINK})
"""Podium's own workers that do their part once, and say so."""


def effects_of(event: Event, state: WorkflowState) -> Effects:
    """Return what is to be done because of `event`, given the state after the whole decision that it is part of.

    What the decision itself made moot has no effect: a task scheduled and cancelled in one, a timer replaced in one.
    """
    derive = _EFFECTS.get(type(event))
    return () if derive is None else derive(state, event)


def slots_returned(workflow_id: WorkflowId, events: Iterable[Event]) -> list[Command]:
    """Return the commands by which slots go back, of a workflow that nobody holds any more: no state is needed."""
    return [_release(workflow_id, event) for event in events if isinstance(event, SlotReturned)]


def standing_effects(state: WorkflowState) -> Effects:
    """Return what must be in force for a workflow as it stands: its timers, and the tasks that are out."""
    if state.is_terminal:
        return ()
    effects = [*_workflow_timer(state)]
    for task in open_tasks(state):
        effects.extend(_timer(task))
        if _is_out(task, state):
            effects.append(DispatchTask(seq=task.spec.seq))
    return tuple(effects)


def _task_scheduled(state: WorkflowState, event: TaskScheduled) -> Effects:
    task = state.tasks.get(event.seq)
    if not isinstance(task, PendingTask):
        return ()  # what came after it in the decision, or later, says what is to be done
    return (*_timer(task), DispatchTask(seq=event.seq)) if _is_out(task, state) else _timer(task)


def _task_offered_again(state: WorkflowState, event: TaskReleased | TaskPostponed | SlotObtained) -> Effects:
    task = state.tasks.get(event.seq)
    if not isinstance(task, PendingTask):
        return ()  # begun in the same decision, or ended since
    timer = _replaced_timer(task)
    return (*timer, DispatchTask(seq=event.seq)) if _is_out(task, state) else timer


def _task_started(state: WorkflowState, event: TaskStarted) -> Effects:
    task = state.tasks.get(event.seq)
    if not isinstance(task, RunningTask):
        return ()
    timer = _replaced_timer(task)
    if state.slots:
        timer = (*timer, *_start_noted(state, event.seq))
    child_id = task.progress.child_id
    if task.spec.dispatch == TO_CHILD and child_id is not None:
        return (*timer, SendCommand(command=_child_start(state, task, child_id)))
    is_out = _is_out(task, state) and not task.spec.repeats  # a loop is told of when it asks
    return (*timer, DispatchTask(seq=event.seq)) if is_out else timer


def _lease_extended(state: WorkflowState, event: LeaseExtended) -> Effects:
    task = state.tasks.get(event.seq)
    return _replaced_timer(task) if isinstance(task, RunningTask) else ()


def _task_ended(state: WorkflowState, event: TaskEnded) -> Effects:
    task = state.tasks.get(event.seq)
    if task is None:  # the same decision has forgotten the pass that the task was in
        return (DisarmTimer(seq=event.seq), RetractTask(seq=event.seq))
    spec = task.spec
    timer: Effects = (DisarmTimer(seq=event.seq),) if _may_have_timer(spec) else ()
    if spec.cache_ms and event.status is TaskStatus.COMPLETED:
        until_ms = event.at_ms + spec.cache_ms
        timer = (
            *timer,
            KeepOutput(task_name=spec.name, key=spec.cache_key, output=task.progress.output, until_ms=until_ms),
        )
    return (*timer, RetractTask(seq=event.seq)) if spec.dispatch in _DISPATCHED else timer


def _workflow_resumed(state: WorkflowState, event: WorkflowResumed) -> Effects:
    if state.is_terminal:
        return ()
    timers = (timer for task in open_tasks(state) for timer in _timer(task))
    return (*_workflow_timer(state), *timers)


def _condition_asked(state: WorkflowState, event: ConditionAsked) -> Effects:
    is_asked = state.loops.get(event.seq) == event.iteration
    return (DispatchTask(seq=event.seq),) if is_asked else ()


def _clock_started(state: WorkflowState, event: Event) -> Effects:
    return _workflow_timer(state)


def _workflow_ended(state: WorkflowState, event: WorkflowEnded) -> Effects:
    effects: list[Effect] = []
    if event.failure is not None:  # also where the workflow runs again by now: this run of it has failed
        effects.append(SendCommand(command=failure_command(state, event, event.failure)))
    if not state.is_terminal:
        return tuple(effects)
    effects.append(AnnounceOutcome())
    if state.started.timeout_ms:
        effects.append(DisarmTimer(seq=WORKFLOW_TIMER))
    effects.extend(SendCommand(command=_child_end(state, parent)) for parent in state.parents)
    return tuple(effects)


def _parent_attached(state: WorkflowState, event: ParentAttached) -> Effects:
    return (SendCommand(command=_child_end(state, event.parent)),) if state.is_terminal else ()


def _child_termination_requested(state: WorkflowState, event: ChildTerminationRequested) -> Effects:
    parent = Parent(workflow_id=state.workflow_id, task_seq=event.seq) if event.is_keyed else None
    command = TerminateWorkflow(workflow_id=event.child_id, reason=event.reason, parent=parent, told=event.told)
    return (SendCommand(command=command),)


def _child_resume_requested(state: WorkflowState, event: ChildResumeRequested) -> Effects:
    parent = Parent(workflow_id=state.workflow_id, task_seq=event.seq)
    return (SendCommand(command=ResumeChild(workflow_id=event.child_id, told=event.told, parent=parent)),)


def _parent_heeded(state: WorkflowState, event: ParentHeeded) -> Effects:
    """Tell the parent once more how the workflow has ended: nothing will come of being asked to go on."""
    parent = event.parent or state.started.parent
    return () if parent is None or not state.is_terminal else (SendCommand(command=_child_end(state, parent)),)


def _running_again(state: WorkflowState, event: WorkflowReopened | WorkflowRestarted) -> Effects:
    if not state.parents:
        return _workflow_timer(state)
    revivals = (
        ReviveTask(
            workflow_id=parent.workflow_id, task_seq=parent.task_seq, child_id=state.workflow_id, child_run=state.run
        )
        for parent in state.parents
    )
    return (*_workflow_timer(state), *(SendCommand(command=command) for command in revivals))


def _task_revived(state: WorkflowState, event: TaskRevived) -> Effects:
    task = state.tasks.get(event.seq)
    return _timer(task) if isinstance(task, RunningTask) else ()


def _workflow_upgraded(state: WorkflowState, event: WorkflowUpgraded) -> Effects:
    return _workflow_timer(state) or (DisarmTimer(seq=WORKFLOW_TIMER),)


def _start_requested(state: WorkflowState, event: StartRequested) -> Effects:
    task = state.tasks.get(event.seq)
    if task is None:  # gone with its run or its pass: a new owner sends only what is not known to have arrived
        return ()
    started = state.started
    request = msgspec.convert(task.spec.input["startWorkflow"], StartWorkflow, strict=False)
    is_keyed = bool(request.idempotency_key)
    command = replace(
        request,
        workflow_id=None if is_keyed else event.workflow_id,
        correlation_id=request.correlation_id or started.correlation_id or None,
        task_to_domain=request.task_to_domain or started.task_to_domain,
        parent=None,
        starter=Parent(workflow_id=state.workflow_id, task_seq=event.seq) if is_keyed else None,
        request_id=None,
        generated_id=not is_keyed,
    )
    return (SendCommand(command=command),)


def _message_posted(state: WorkflowState, event: MessagePosted) -> Effects:
    return (PublishMessage(message_id=event.message_id, sink=event.sink, payload=event.payload, at_ms=event.at_ms),)


def _slot_awaited(state: WorkflowState, event: SlotAwaited) -> Effects:
    slot = state.slots.get(OWN_SLOT if event.whole else event.seq)
    if slot is None or slot.seq != event.seq or slot.obtained_at_ms:
        return ()  # it has ended since, or has its slot
    command = AcquireSlot(
        limiter_id=event.limiter_id,
        holder=task_id(state.workflow_id, event.seq),
        limits=event.limits,
        source=event.source,
        priority=state.started.priority,
        or_refuse=event.or_refuse,
    )
    return (SendCommand(command=command),)


def _slot_returned(state: WorkflowState, event: SlotReturned) -> Effects:
    return (SendCommand(command=_release(state.workflow_id, event)),)


def _release(workflow_id: WorkflowId, event: SlotReturned) -> Command:
    return ReleaseSlot(limiter_id=event.limiter_id, holder=task_id(workflow_id, event.seq), used=event.used)


def _start_noted(state: WorkflowState, seq: TaskSeq) -> Effects:
    slot = state.slots.get(seq)
    if slot is None or not slot.limits.starts:
        return ()
    holder = task_id(state.workflow_id, seq)
    return (SendCommand(command=NoteSlotStart(limiter_id=slot.limiter_id, holder=holder)),)


def _child_start(state: WorkflowState, task: OpenTask, child_id: WorkflowId) -> Command:
    """Return the command that starts the child of a SUB_WORKFLOW task: what the task's input recorded."""
    request = task.spec.input
    started = state.started
    domains = request.get("subWorkflowTaskToDomain")
    key = request.get("idempotencyKey")
    return StartWorkflow(
        workflow_id=child_id if key is None else None,
        idempotency_key=key,
        idempotency_strategy=request.get("idempotencyStrategy"),
        name=request.get("subWorkflowName") or "",
        version=request.get("subWorkflowVersion"),
        correlation_id=started.correlation_id or None,
        input=request["workflowInput"],
        task_to_domain=started.task_to_domain if domains is None else domains,
        workflow_def=request.get("subWorkflowDefinition"),
        priority=request.get("priority", 0),
        generated_id=key is None,
        parent=Parent(
            workflow_id=state.workflow_id,
            task_seq=task.spec.seq,
            depth=1 if started.parent is None else started.parent.depth + 1,
        ),
    )


def _child_end(state: WorkflowState, parent: Parent) -> Command:
    """Return the command that tells a parent how its child ended."""
    return ReportChildEnd(
        workflow_id=parent.workflow_id,
        task_seq=parent.task_seq,
        child_id=state.workflow_id,
        status=state.status,
        output=state.output,
        reason=state.reason,
        child_run=state.run,
        heard=state.heard_of(parent),
    )


def _timer(task: OpenTask) -> Effects:
    due_at_ms = next_deadline_ms(task)
    return () if due_at_ms is None else (ArmTimer(seq=task.spec.seq, due_at_ms=due_at_ms),)


def _replaced_timer(task: OpenTask) -> Effects:
    """Return the timer of a task that may have had another before."""
    timer = _timer(task)
    return timer if timer or not _may_have_timer(task.spec) else (DisarmTimer(seq=task.spec.seq),)


def _may_have_timer(spec: TaskScheduled) -> bool:
    return bool(spec.due_at_ms or spec.wakes_at_ms) or spec.timeouts != NO_TIMEOUTS


def _workflow_timer(state: WorkflowState) -> Effects:
    due_at_ms = workflow_deadline_ms(state)
    return () if due_at_ms is None else (ArmTimer(seq=WORKFLOW_TIMER, due_at_ms=due_at_ms),)


def _is_out(task: OpenTask, state: WorkflowState) -> bool:
    """Whether somebody outside should be working on the task, or be offered it."""
    dispatch = task.spec.dispatch
    if isinstance(task, PendingTask):
        return dispatch == TO_WORKER and not task.due_at_ms and not task.awaits_slot
    if dispatch == TO_SCRIPT:  # a loop asks its script only between passes
        return not task.spec.repeats or bool(state.loops[task.spec.seq])
    return dispatch in _ANSWERING and not task.progress.answered


_EFFECTS: Final = cast(
    "dict[type, Callable[[WorkflowState, Event], Effects]]",  # each takes its own event type: the key guarantees it
    {
        WorkflowStarted: _clock_started,
        WorkflowResumed: _workflow_resumed,
        WorkflowReopened: _running_again,
        WorkflowRestarted: _running_again,
        WorkflowUpgraded: _workflow_upgraded,
        ParentHeeded: _parent_heeded,
        WorkflowEnded: _workflow_ended,
        TaskScheduled: _task_scheduled,
        TaskReleased: _task_offered_again,
        TaskPostponed: _task_offered_again,
        TaskStarted: _task_started,
        LeaseExtended: _lease_extended,
        ConditionAsked: _condition_asked,
        TaskEnded: _task_ended,
        TaskRevived: _task_revived,
        ChildTerminationRequested: _child_termination_requested,
        ChildResumeRequested: _child_resume_requested,
        StartRequested: _start_requested,
        SlotAwaited: _slot_awaited,
        SlotObtained: _task_offered_again,
        SlotReturned: _slot_returned,
        ParentAttached: _parent_attached,
        MessagePosted: _message_posted,
    },
)
