"""`effects_of`: what the shell must do because of an event.

Holds the derivation of effects from events and the state that the decision led to. Must not perform anything, nor look at
definitions. Keeps the invariant that whoever has the log can derive the effects again: a new owner re-sends the last ones.
"""

from engine.commands import Command, Parent, ReportChildEnd, StartWorkflow, TerminateWorkflow
from engine.deadlines import next_deadline_ms, workflow_deadline_ms
from engine.effects import (
    AnnounceOutcome,
    ArmTimer,
    DisarmTimer,
    DispatchTask,
    Effect,
    RetractTask,
    SendCommand,
)
from engine.events import (
    ChildTerminationRequested,
    Event,
    LeaseExtended,
    TaskEnded,
    TaskPostponed,
    TaskReleased,
    TaskScheduled,
    TaskStarted,
    WorkflowEnded,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
)
from engine.ids import TaskSeq, WorkflowId
from engine.model import EndedTask, OpenTask, PendingTask, RunningTask, WorkflowState, open_tasks

WORKFLOW_TIMER = TaskSeq(0)

_TASK_MOVED = (TaskScheduled, TaskReleased, TaskPostponed, TaskStarted, LeaseExtended)
_CLOCK_STARTED = (WorkflowStarted, WorkflowResumed, WorkflowReopened, WorkflowRestarted)


def effects_of(event: Event, state: WorkflowState) -> tuple[Effect, ...]:
    """Return what is to be done because of `event`, given the state after the whole decision that it is part of.

    What the decision itself made moot (a task scheduled and cancelled in one) has no effect.
    """
    kind = type(event)
    if kind in _TASK_MOVED:
        return _task_moved(event, state)
    if kind is TaskEnded:
        return _task_ended(event, state)
    if kind in _CLOCK_STARTED:
        return _clock_started(event, state)
    if kind is WorkflowEnded:
        return _workflow_ended(state)
    if kind is ChildTerminationRequested:
        return (SendCommand(command=TerminateWorkflow(workflow_id=event.child_id, reason=event.reason)),)
    return ()


def standing_effects(state: WorkflowState) -> tuple[Effect, ...]:
    """Return what must be in force for a workflow as it stands: its timers and, where queues are not durable, its tasks."""
    if state.is_terminal:
        return ()
    effects: list[Effect] = []
    deadline_ms = workflow_deadline_ms(state)
    if deadline_ms is not None:
        effects.append(ArmTimer(seq=WORKFLOW_TIMER, due_at_ms=deadline_ms))
    for task in open_tasks(state):
        effects.extend(_timer(task))
        if _is_out(task):
            effects.append(DispatchTask(seq=task.spec.seq))
    return tuple(effects)


def _task_moved(event, state: WorkflowState) -> tuple[Effect, ...]:
    task = state.tasks.get(event.seq)
    if task is None or isinstance(task, EndedTask):
        return ()
    effects = _timer(task)
    if type(event) is TaskStarted and task.spec.dispatch == "child" and task.progress.child_id is not None:
        return (*effects, SendCommand(command=child_start(state, task, task.progress.child_id)))
    began_waiting = type(event) is not TaskStarted and type(event) is not LeaseExtended
    began_request = type(event) is TaskStarted and task.spec.dispatch == "http"
    if (began_waiting or began_request) and _is_out(task):
        return (*effects, DispatchTask(seq=task.spec.seq))
    return effects


def _task_ended(event, state: WorkflowState) -> tuple[Effect, ...]:
    task = state.tasks.get(event.seq)
    if task is None or not task.spec.dispatch:
        had_timer = task is not None and (
            task.spec.wakes_at_ms or task.spec.timeouts.run_ms or task.spec.timeouts.total_ms
        )
        return (DisarmTimer(seq=event.seq),) if had_timer else ()
    if task.spec.dispatch == "worker":
        return (DisarmTimer(seq=event.seq), RetractTask(seq=event.seq))
    return (DisarmTimer(seq=event.seq),)


def _clock_started(event, state: WorkflowState) -> tuple[Effect, ...]:
    effects: list[Effect] = []
    deadline_ms = workflow_deadline_ms(state)
    if deadline_ms is not None:
        effects.append(ArmTimer(seq=WORKFLOW_TIMER, due_at_ms=deadline_ms))
    if type(event) is WorkflowResumed:
        for task in open_tasks(state):
            effects.extend(_timer(task))
    return tuple(effects)


def _workflow_ended(state: WorkflowState) -> tuple[Effect, ...]:
    if not state.is_terminal:
        return ()
    effects: list[Effect] = [AnnounceOutcome()]
    if state.started.timeout_ms:
        effects.append(DisarmTimer(seq=WORKFLOW_TIMER))
    parent = state.started.parent
    if parent is not None:
        effects.append(SendCommand(command=child_end(state, parent)))
    return tuple(effects)


def child_start(state: WorkflowState, task: OpenTask, child_id: WorkflowId) -> Command:
    """Return the command that starts the child of a SUB_WORKFLOW task: what the task's input recorded."""
    request = task.spec.input
    parent = state.started.parent
    priority = request.get("priority")
    domains = request.get("subWorkflowTaskToDomain")
    definition = request.get("subWorkflowDefinition")
    return StartWorkflow(
        workflow_id=child_id,
        name=request.get("subWorkflowName") or "",
        version=request.get("subWorkflowVersion"),
        correlation_id=state.started.correlation_id or None,
        input=request.get("workflowInput") or {},
        task_to_domain=state.started.task_to_domain if domains is None else domains,
        workflow_def=definition if isinstance(definition, dict) else None,
        priority=priority if isinstance(priority, int) else 0,
        generated_id=True,
        parent=Parent(
            workflow_id=state.workflow_id,
            task_seq=task.spec.seq,
            depth=1 if parent is None else parent.depth + 1,
        ),
    )


def child_end(state: WorkflowState, parent: Parent) -> Command:
    """Return the command that tells a parent how its child ended."""
    return ReportChildEnd(
        workflow_id=parent.workflow_id,
        task_seq=parent.task_seq,
        child_id=state.workflow_id,
        status=state.status,
        output=state.output,
        reason=state.reason,
    )


def _timer(task: OpenTask) -> tuple[Effect, ...]:
    due_at_ms = next_deadline_ms(task)
    return () if due_at_ms is None else (ArmTimer(seq=task.spec.seq, due_at_ms=due_at_ms),)


def _is_out(task: OpenTask) -> bool:
    """Whether somebody outside should be working on the task, or be offered it."""
    if task.spec.dispatch == "worker":
        return isinstance(task, PendingTask) and not task.due_at_ms
    return task.spec.dispatch == "http" and isinstance(task, RunningTask)
