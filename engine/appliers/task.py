"""What the events of a task's attempt change.

Must not decide. Keeps three counts true at every event, so that no decision ever has to count: the open tasks of the
workflow, those inside each FORK or loop, and the refs that each JOIN still misses.
"""

from msgspec.structs import replace

from engine.appliers.counting import counted, counted_joins, has_ended_for_good
from engine.appliers.loop import pass_outputs
from engine.errors import InvariantViolated
from engine.events import (
    ChildNamed,
    ChildResumeRequested,
    ChildTerminationRequested,
    LeaseExtended,
    ResultIgnored,
    StartRequested,
    TaskEnded,
    TaskOutputUpdated,
    TaskPostponed,
    TaskReleased,
    TaskScheduled,
    TaskStarted,
)
from engine.ids import TaskSeq
from engine.json_value import JsonObject
from engine.model import (
    EndedTask,
    OpenTask,
    PendingTask,
    RunningTask,
    Scope,
    Task,
    TaskProgress,
    WorkflowState,
)


def scheduled(state: WorkflowState, event: TaskScheduled) -> WorkflowState:
    """A new attempt is open: the newest of its ref, counted in every scope around it."""
    task = PendingTask(
        spec=event,
        due_at_ms=event.due_at_ms if event.due_at_ms > event.at_ms else 0,
        progress=TaskProgress(updated_at_ms=event.at_ms),
    )
    if event.ref != event.node and event.scope:  # without a scope it was skipped before its pass began
        state = replace(state, newest=state.newest.set(event.node, event.seq))
    if event.repeats:
        state = replace(state, loops=state.loops.set(event.seq, 0))
    scopes = counted(state.scopes, event.scope, 1)
    if event.opens_scope and event.ref not in scopes:  # a loop that is retried goes on with the pass it was in
        first_seq = event.seq if event.repeats else TaskSeq(0)
        scopes = scopes.set(event.ref, Scope(parent=event.scope, open_count=0, first_seq=first_seq))
    missing, awaited = state.missing, state.awaited
    if event.retry_of is not None and has_ended_for_good(state, event.ref):
        missing = counted_joins(state, event.ref, 1)  # somebody retries the workflow: what had come is missed again
    if event.join_on:
        missing = missing.set(event.seq, sum(not has_ended_for_good(state, ref) for ref in event.join_on))
        for ref in event.join_on:
            awaited = awaited.set(ref, (*awaited.get(ref, ()), event.seq))
    return replace(
        state,
        tasks=state.tasks.set(event.seq, task),
        latest=state.latest.set(event.ref, event.seq),
        scopes=scopes,
        missing=missing,
        awaited=awaited,
        open_count=state.open_count + 1,
        last_seq=event.seq,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def released(state: WorkflowState, event: TaskReleased) -> WorkflowState:
    """The attempt may be handed out."""
    task = _open(state, event.seq)
    progress = replace(task.progress, updated_at_ms=event.at_ms)
    waits = _awaits_slot(task)
    return _with(state, event.at_ms, PendingTask(spec=task.spec, due_at_ms=0, progress=progress, awaits_slot=waits))


def started(state: WorkflowState, event: TaskStarted) -> WorkflowState:
    """The attempt is in progress."""
    task = _open(state, event.seq)
    before = task.progress
    progress = TaskProgress(
        started_at_ms=before.started_at_ms or event.at_ms,
        updated_at_ms=event.at_ms,
        worker_id=event.worker_id,
        poll_count=before.poll_count + (1 if event.worker_id else 0),
        output=before.output,
        child_id=event.child_id,
    )
    at_ms = max(event.at_ms, state.updated_at_ms)  # a worker claims a little before the claim is decided
    return _with(state, at_ms, RunningTask(spec=task.spec, progress=progress))


def lease_extended(state: WorkflowState, event: LeaseExtended) -> WorkflowState:
    """The response timeout runs from now."""
    task = _open(state, event.seq)
    progress = replace(task.progress, updated_at_ms=event.at_ms)
    return _with(state, event.at_ms, replace(task, progress=progress))


def postponed(state: WorkflowState, event: TaskPostponed) -> WorkflowState:
    """The attempt is back in its queue, now or later."""
    task = _open(state, event.seq)
    progress = replace(
        task.progress,
        started_at_ms=task.progress.started_at_ms or event.at_ms,
        updated_at_ms=event.at_ms,
        output=event.output,
        worker_id=event.worker_id or task.progress.worker_id,
        reason=event.reason,
        callback_after_seconds=event.callback_after_seconds,
    )
    due_at_ms = event.due_at_ms if event.due_at_ms > event.at_ms else 0
    waits = _awaits_slot(task)
    pending = PendingTask(spec=task.spec, due_at_ms=due_at_ms, progress=progress, awaits_slot=waits)
    return _with(state, event.at_ms, pending)


def output_updated(state: WorkflowState, event: TaskOutputUpdated) -> WorkflowState:
    """The open task shows another output."""
    task = _open(state, event.seq)
    answered = event.answered or task.progress.answered
    progress = replace(task.progress, output=event.output, updated_at_ms=event.at_ms, answered=answered)
    return _with(state, event.at_ms, replace(task, progress=progress))


def ended(state: WorkflowState, event: TaskEnded) -> WorkflowState:
    """The attempt is over: no longer open anywhere and, if for good, no longer missing to any JOIN."""
    task = _open(state, event.seq)
    spec = task.spec
    before = task.progress
    progress = TaskProgress(
        started_at_ms=before.started_at_ms or event.at_ms,
        updated_at_ms=event.at_ms,
        worker_id=event.worker_id or before.worker_id,
        poll_count=before.poll_count,
        output=_gathered(state, task) if event.gather else event.output,
        reason=event.reason,
        child_id=before.child_id,
    )
    if before.child_id is not None:
        child_run = max(before.child_run, event.child_run)
        progress = replace(progress, child_run=child_run, told=before.told, asked=before.asked)
    over = EndedTask(spec=spec, progress=progress, status=event.status, ended_at_ms=event.at_ms, final=event.final)
    if spec.repeats:
        state = replace(state, loops=state.loops.delete(spec.seq))
    missing = state.missing
    if event.final and spec.ref in state.awaited:
        missing = counted_joins(state, spec.ref, -1)
    if spec.seq in missing:
        missing = missing.delete(spec.seq)
    return replace(
        state,
        tasks=state.tasks.set(spec.seq, over),
        scopes=counted(state.scopes, spec.scope, -1),
        missing=missing,
        held=(*state.held, spec.seq) if event.held else state.held,
        open_count=state.open_count - 1,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def result_ignored(state: WorkflowState, event: ResultIgnored) -> WorkflowState:
    """Nothing changes but the count of events."""
    del event
    return replace(state, version=state.version + 1)


def child_told(state: WorkflowState, event: ChildTerminationRequested | ChildResumeRequested) -> WorkflowState:
    """The attempt has told its child one thing more; the child is a workflow of its own."""
    task = state.tasks[event.seq]
    progress = replace(task.progress, told=event.told)
    return _with(state, event.at_ms, replace(task, progress=progress))


def start_requested(state: WorkflowState, event: StartRequested) -> WorkflowState:
    """Nothing changes but the count of events: what starts is a workflow of its own."""
    del event
    return replace(state, version=state.version + 1)


def _awaits_slot(task: OpenTask) -> bool:
    return isinstance(task, PendingTask) and task.awaits_slot


def child_named(state: WorkflowState, event: ChildNamed) -> WorkflowState:
    """The attempt waits for this sub-workflow, or did, and always has."""
    task = state.tasks[event.seq]
    progress = replace(task.progress, child_id=event.child_id, updated_at_ms=event.at_ms)
    return _with(state, event.at_ms, replace(task, progress=progress))


def _open(state: WorkflowState, seq: TaskSeq) -> OpenTask:
    task = state.tasks.get(seq)
    if task is None or isinstance(task, EndedTask):
        found = "absent" if task is None else f"{task.status} since {task.ended_at_ms}"
        message = f"task {seq} of workflow {state.workflow_id} should be open and is {found}"
        raise InvariantViolated(message)
    return task


def _with(state: WorkflowState, at_ms: int, task: Task) -> WorkflowState:
    return replace(state, tasks=state.tasks.set(task.spec.seq, task), updated_at_ms=at_ms, version=state.version + 1)


def _gathered(state: WorkflowState, task: OpenTask) -> JsonObject:
    if task.spec.repeats:
        return {**task.progress.output, **pass_outputs(state, task.spec)}
    outputs: JsonObject = {}
    for ref in task.spec.join_on:
        joined = state.task(ref)
        if joined is not None and joined.progress.output:
            outputs[ref] = joined.progress.output
    return outputs
