"""Deciding about what workers, and people in their place, say of tasks.

The first report that ends an attempt counts; every later one is recorded as ignored, with its reason.
Source: Conductor's `WorkflowExecutorOps.updateTask`, `TaskResource`.
"""

from engine.commands import ClaimTask, ReportTaskResult, UpdateTaskByRef
from engine.context import DecideContext
from engine.dispatch import TO_WORKER
from engine.draft import Draft
from engine.events import LeaseExtended, ResultIgnored, TaskStarted
from engine.graph import Graphs
from engine.ids import RefName, TaskId, TaskSeq, parse_task_id, task_id
from engine.model import EndedTask, OpenTask, PendingTask, RunningTask, Task, WorkflowState, open_tasks
from engine.rejections import Accepted, Decision, Rejected, RejectionCode
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.tasks.registry import WORKER, behaviour_of
from engine.walk import settle

REPORTABLE = frozenset(
    {
        TaskStatus.IN_PROGRESS,
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.FAILED_WITH_TERMINAL_ERROR,
    }
)
"""The statuses that a worker may report."""

_SIGNALLED = frozenset({"WAIT", "HUMAN", "YIELD"})


def report_task_result(
    state: WorkflowState, command: ReportTaskResult, context: DecideContext, graphs: Graphs
) -> Decision:
    """Take a worker's report. A lease that has not begun has nothing to extend: no events.

    Rejects:
        TASK_NOT_FOUND: the workflow has no such attempt, nor had one that a restart has since removed.
        ARGUMENT_INVALID: the status is missing or not one that a worker may report.
    """
    seq = _seq_in(state, command.task_id)
    if seq is None:
        return _unknown(state, command.task_id)
    if not command.extend_lease and command.status not in REPORTABLE:
        legal = ", ".join(sorted(REPORTABLE))
        reason = f"status of task {command.task_id} should be one of {legal} and is {command.status}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    status = command.status or TaskStatus.IN_PROGRESS
    draft = Draft(state, context, graphs.of(state.started))
    task = state.tasks.get(seq)
    late = _why_ignored(state, task)
    if task is None or isinstance(task, EndedTask) or late:
        draft.emit(ResultIgnored(at_ms=context.now_ms, seq=seq, status=status, reason=late))
        return draft.accept()
    if command.extend_lease:
        if isinstance(task, RunningTask):
            draft.emit(LeaseExtended(at_ms=context.now_ms, seq=seq))
        return draft.accept()
    return _update(draft, task, command)


def claim_task(state: WorkflowState, command: ClaimTask, context: DecideContext, graphs: Graphs) -> Decision:
    """Note that a worker has begun. A claim that comes late, or a second time, is not worth an event.

    Rejects:
        TASK_NOT_FOUND: the workflow has no such attempt.
    """
    seq = _seq_in(state, command.task_id)
    if seq is None:
        return _unknown(state, command.task_id)
    task = state.tasks.get(seq)
    if not isinstance(task, PendingTask) or task.due_at_ms or state.is_terminal:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    at_ms = min(command.claimed_at_ms or context.now_ms, context.now_ms)
    at_ms = max(at_ms, task.progress.updated_at_ms)
    draft.emit(TaskStarted(at_ms=at_ms, seq=seq, worker_id=command.worker_id or "unknown"))
    return draft.accept()


def update_task_by_ref(
    state: WorkflowState, command: UpdateTaskByRef, context: DecideContext, graphs: Graphs
) -> Decision:
    """Report on the open task of a reference name; its output is merged, unlike a worker's.

    Rejects:
        TASK_NOT_FOUND: nothing with that name is open.
        ARGUMENT_INVALID: the status is not one that can be reported.
    """
    return report_by_ref(Draft(state, context, graphs.of(state.started)), command)


def report_by_ref(draft: Draft, command: UpdateTaskByRef, *, reason: str | None = None) -> Decision:
    """Report on the open task of a reference name, as a part of a decision that may hold other things already."""
    state = draft.state
    if command.status not in REPORTABLE:
        reason = f"status should be one of {', '.join(sorted(REPORTABLE))} and is {command.status}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    task = _waiting(state) if command.ref_name is None else _open_by_ref(state, command.ref_name)
    if task is None:
        wanted = "WAIT or HUMAN task" if command.ref_name is None else f"task {command.ref_name}"
        reason = f"workflow {state.workflow_id} ({state.status}) has no open {wanted}"
        return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)
    report = ReportTaskResult(
        workflow_instance_id=state.workflow_id,
        task_id=task_id(state.workflow_id, task.spec.seq),
        status=command.status,
        output_data={**task.progress.output, **command.output},
        reason_for_incompletion=reason,
        worker_id=command.worker_id,
    )
    return _update(draft, task, report)


def _update(draft: Draft, task: OpenTask, command: ReportTaskResult) -> Decision:
    behaviour = WORKER if task.spec.dispatch == TO_WORKER else behaviour_of(task.spec.type)
    update = behaviour.on_update
    if update is None or (behaviour.of_podium and command.worker_id != ENGINE_WORKER):
        reason = (
            f"task {command.task_id} is a {task.spec.type} of workflow {draft.state.workflow_id}: "
            f"it ends by itself and takes no reports"
        )
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    update(draft, task, command)
    settle(draft)
    return draft.accept()


def _seq_in(state: WorkflowState, task: TaskId) -> TaskSeq | None:
    """Return the number of an attempt that the workflow has, or had before a restart."""
    parsed = parse_task_id(task)
    if parsed is None or parsed[0] != state.workflow_id or not 0 < parsed[1] <= state.last_seq:
        return None
    return parsed[1]


def _why_ignored(state: WorkflowState, task: Task | None) -> str:
    if task is None:
        return "the task is gone: the workflow was restarted, or a loop has forgotten that pass"
    if isinstance(task, EndedTask):
        return f"the task is {task.status} since {task.ended_at_ms}"
    if state.is_terminal:
        return f"the workflow is {state.status} since {state.ended_at_ms}"
    return ""


def _unknown(state: WorkflowState, task: TaskId) -> Rejected:
    reason = f"No such task found by id: {task} (workflow {state.workflow_id} has tasks 1 to {state.last_seq})"
    return Rejected(code=RejectionCode.TASK_NOT_FOUND, reason=reason)


def _open_by_ref(state: WorkflowState, ref: RefName) -> OpenTask | None:
    if state.is_terminal:
        return None
    task = state.named(ref)
    return None if isinstance(task, EndedTask) else task


def _waiting(state: WorkflowState) -> OpenTask | None:
    if state.is_terminal:
        return None
    return next((task for task in open_tasks(state) if task.spec.type in _SIGNALLED), None)
