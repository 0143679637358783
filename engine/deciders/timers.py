"""Deciding about time that has passed.

A timer says only which attempt to look at; what is due is read from the state, so a stale or repeated timer does
nothing. Of several deadlines that have passed, what ran out first counts, however late the look is. Source:
Conductor's `DeciderService.checkTaskTimeout` and kin, without its polling.
"""

from engine.commands import EvaluateWorkflow, FireTimer
from engine.context import DecideContext
from engine.deadlines import DeadlineKind, due, workflow_deadline_ms
from engine.definitions import TaskDef, TaskTimeoutPolicy
from engine.dispatch import TO_WORKER
from engine.draft import Draft
from engine.effects import WORKFLOW_TIMER
from engine.ending import definition_of, end_workflow, fail, succeed, time_out_workflow
from engine.events import TaskReleased
from engine.graph import Graphs
from engine.ids import task_id
from engine.model import OpenTask, WorkflowState, open_tasks
from engine.rejections import Accepted, Decision
from engine.scheduling import start_task
from engine.status import TaskStatus, WorkflowStatus
from engine.tasks.registry import behaviour_of
from engine.walk import settle


def fire_timer(state: WorkflowState, command: FireTimer, context: DecideContext, graphs: Graphs) -> Decision:
    """Do what is due of one attempt, or of the workflow itself. Nothing due: no events."""
    if state.is_terminal:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    if command.task_seq == WORKFLOW_TIMER:
        _look_at_workflow(draft)
    elif command.task_seq in state.tasks:
        task = draft.open_task(command.task_seq)
        if task is not None:
            _look_at(draft, task)
    settle(draft)
    return draft.accept()


def evaluate_workflow(
    state: WorkflowState, command: EvaluateWorkflow, context: DecideContext, graphs: Graphs
) -> Decision:
    """Do whatever is due in the workflow."""
    del command
    if state.is_terminal:
        return Accepted(events=(), state=state)
    draft = Draft(state, context, graphs.of(state.started))
    _look_at_workflow(draft)
    for before in open_tasks(state):
        if draft.state.is_terminal:
            break
        task = draft.open_task(before.spec.seq)
        if task is not None:
            _look_at(draft, task)
    settle(draft)
    return draft.accept()


def _look_at_workflow(draft: Draft) -> None:
    deadline_ms = workflow_deadline_ms(draft.state)
    if deadline_ms is not None and deadline_ms <= draft.now_ms:
        bound = draft.state.started.timeout_ms // 1000
        end_workflow(draft, WorkflowStatus.TIMED_OUT, f"Workflow timed out after {bound} seconds.")


def _look_at(draft: Draft, task: OpenTask) -> None:
    if draft.state.status is WorkflowStatus.PAUSED:
        return  # resuming arms every timer anew
    for kind in due(task, draft.now_ms):
        if _act(draft, task, kind):
            return


def _act(draft: Draft, task: OpenTask, kind: DeadlineKind) -> bool:
    """Do what one passed deadline asks for and tell whether the attempt needs no further look."""
    seq = task.spec.seq
    match kind:
        case DeadlineKind.RELEASE:
            _release(draft, task)
        case DeadlineKind.WAKE:
            succeed(draft, seq, task.progress.output)
        case DeadlineKind.RESPONSE_TIMEOUT:
            seconds = task.spec.timeouts.response_ms // 1000
            worker = task.progress.worker_id
            reason = f"responseTimeout: {seconds} s without a word from worker {worker!r} on task {_name(draft, task)}"
            fail(draft, seq, TaskStatus.TIMED_OUT, reason)
        case _:
            return _time_out(draft, task, kind)
    return True


def _release(draft: Draft, task: OpenTask) -> None:
    seq = task.spec.seq
    draft.emit(TaskReleased(at_ms=draft.now_ms, seq=seq))
    if task.spec.dispatch != TO_WORKER:
        start_task(draft, seq)
        begin = behaviour_of(task.spec.type).begin
        if begin is not None:
            begin(draft, seq)


def _time_out(draft: Draft, task: OpenTask, kind: DeadlineKind) -> bool:
    """Follow the task's timeout policy."""
    definition = definition_of(draft, task, draft.node_of(task.spec))
    policy = (definition or TaskDef(name=task.spec.name)).timeout_policy
    reason = f"{kind.value} of task {_name(draft, task)} is over (policy {policy})"
    match policy:
        case TaskTimeoutPolicy.ALERT_ONLY:
            return False
        case TaskTimeoutPolicy.RETRY:
            fail(draft, task.spec.seq, TaskStatus.TIMED_OUT, reason)
        case TaskTimeoutPolicy.TIME_OUT_WF:
            time_out_workflow(draft, task, reason)
    return True


def _name(draft: Draft, task: OpenTask) -> str:
    return f"{task.spec.ref} ({task_id(draft.state.workflow_id, task.spec.seq)})"
