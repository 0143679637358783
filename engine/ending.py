"""How an attempt ends, and what its end does to its workflow.

Holds the one road by which tasks and workflows come to their end: success, failure with what follows it (another
attempt, a tolerated error, the end of the workflow), cancellation. Must not schedule: it tells the walk what to
enter. Keeps the invariants that nothing is left open in a workflow that has ended, and that no sub-workflow outlives
the task that waits for it.

Source: conductor-core `DeciderService`, `WorkflowExecutorOps.completeWorkflow`, `terminateWorkflow`.
"""

from typing import Final

from engine import retry
from engine.definitions import TaskDef
from engine.dispatch import TO_WORKER
from engine.draft import Attempt, Draft
from engine.events import ChildTerminationRequested, TaskEnded, WorkflowEnded
from engine.expressions.budget import ResolutionExceeded
from engine.expressions.references import resolve
from engine.failure import failure_start
from engine.graph import Node
from engine.ids import RefName, TaskSeq, task_id
from engine.json_value import JsonObject
from engine.lookup import StateLookup
from engine.model import EndedTask, OpenTask, Task, WorkflowState, open_tasks
from engine.schemas import output_problem
from engine.status import TASK_UNSUCCESSFUL, WORKFLOW_STATUS_OF_TASK, TaskStatus, WorkflowStatus

UNREGISTERED_WORKER_RETRIES: Final = 3
"""A worker task that nobody defined runs with Conductor's defaults; a built-in one is then not retried."""


def succeed(
    draft: Draft,
    seq: TaskSeq,
    output: JsonObject,
    *,
    status: TaskStatus = TaskStatus.COMPLETED,
    worker_id: str = "",
    reason: str = "",
    gather: bool = False,
    child_run: int | None = None,
) -> None:
    """End an attempt for good and let the walk go on behind it; or fail it for good, if its output violates its schema.

    What is skipped has put out nothing, or what somebody said in its place: that is not judged.

    `gather`: the output is what the refs of `join_on` have put out. `child_run`: its sub-workflow has ended before
    it, in this run.
    """
    task = draft.task(seq)
    definition = definition_of(draft, task, draft.node_of(task.spec))
    if definition is not None and definition.enforce_schema and status is not TaskStatus.SKIPPED:
        problem = output_problem(draft.context, definition.output_schema, output)
        if problem:
            terminal = TaskStatus.FAILED_WITH_TERMINAL_ERROR
            fail(draft, seq, terminal, problem, output=output, worker_id=worker_id, child_run=child_run)
            return
    held = draft.state.status is WorkflowStatus.PAUSED
    if child_run is None:
        _leave_child(draft, task, reason)
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=seq,
            status=status,
            output=output,
            reason=reason,
            worker_id=worker_id,
            gather=gather,
            held=held,
            child_run=child_run or 0,
        )
    )
    if not held:
        draft.ended.append(seq)


def fail(
    draft: Draft,
    seq: TaskSeq,
    status: TaskStatus,
    reason: str,
    *,
    output: JsonObject | None = None,
    worker_id: str = "",
    gather: bool = False,
    child_run: int | None = None,
) -> None:
    """End an attempt unsuccessfully and let follow what its definition says.

    Without an `output` it keeps the one that it had. `child_run` as in `succeed`.
    """
    task = draft.task(seq)
    node = draft.node_of(task.spec)
    attempt = _next_attempt(draft, task, node, status)
    if node.task.optional and attempt is None:
        status = TaskStatus.COMPLETED_WITH_ERRORS
    held = draft.state.status is WorkflowStatus.PAUSED
    if child_run is None:
        _leave_child(draft, task, reason)
    if task.spec.repeats and draft.state.scopes[task.spec.ref].open_count:
        _cancel_inside(draft, task.spec.ref, f"{task.spec.ref} has ended: {reason}")
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=seq,
            status=status,
            output=task.progress.output if output is None else output,
            reason=reason,
            worker_id=worker_id,
            final=attempt is None,
            gather=gather,
            held=held,
            child_run=child_run or 0,
        )
    )
    if not held:
        _follow_failure(draft, seq, node, attempt)


def skip_open(draft: Draft, task: OpenTask, output: JsonObject | None) -> None:
    """End an open attempt as SKIPPED and let the walk go on behind it. Without an `output` it keeps the one it had."""
    if task.spec.repeats and draft.state.scopes[task.spec.ref].open_count:
        _cancel_inside(draft, task.spec.ref, f"{task.spec.ref} is skipped.")
    given = task.progress.output if output is None else output
    succeed(draft, task.spec.seq, given, status=TaskStatus.SKIPPED, reason="skipped by request")


def follow_held(draft: Draft, seq: TaskSeq) -> None:
    """Do what the end of an attempt would have led to at once, had the workflow not been paused."""
    task = draft.task(seq)
    if not isinstance(task, EndedTask):
        return
    if task.status not in TASK_UNSUCCESSFUL:
        draft.ended.append(seq)
        return
    node = draft.node_of(task.spec)
    _follow_failure(draft, seq, node, None if task.final else _attempt_after(draft, task, node))


def time_out_workflow(draft: Draft, task: OpenTask, reason: str) -> None:
    """End an attempt whose time is over, and its workflow with it, whatever else its definition says."""
    _leave_child(draft, task, reason)
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=task.spec.seq,
            status=TaskStatus.TIMED_OUT,
            reason=reason,
            output=task.progress.output,
        )
    )
    _end_by_failure(draft, task.spec.seq)


def complete_workflow(draft: Draft) -> None:
    """End a workflow in which nothing is open any more.

    It is COMPLETED, or FAILED if a permissive task had failed or if its output violates its schema.
    """
    if draft.graph.may_fail_late:
        failed = unsuccessful_tasks(draft.state)
        if failed:
            reason = "; ".join(f"{task.spec.ref}: {task.progress.reason or task.status}" for task in failed)
            end_workflow(draft, WorkflowStatus.FAILED, reason, failed_seq=failed[-1].spec.seq)
            return
    definition = draft.graph.definition
    if definition.output_schema is None or not definition.enforce_schema:
        end_workflow(draft, WorkflowStatus.COMPLETED, "")
        return
    output = _workflow_output(draft)
    problem = output_problem(draft.context, definition.output_schema, output)
    status = WorkflowStatus.FAILED if problem else WorkflowStatus.COMPLETED
    end_workflow(draft, status, problem, output=output)


def end_workflow(
    draft: Draft,
    status: WorkflowStatus,
    reason: str,
    *,
    output: JsonObject | None = None,
    failed_seq: TaskSeq | None = None,
    compensated: bool = True,
    told: int = 0,
) -> None:
    """End the workflow and cancel what is open in it. The walk has nothing more to visit.

    Unless it is COMPLETED or not to be `compensated`, its failure workflow starts, if it has one. `told`: its parent
    wants it to end, by this command.
    """
    if draft.state.open_count:
        why = reason or f"The workflow has ended: {status}."
        for task in open_tasks(draft.state):
            cancel(draft, task, why)
    draft.entries.clear()
    draft.ended.clear()
    draft.joins.clear()
    draft.loops.clear()
    failed: list[EndedTask] = []
    if status is not WorkflowStatus.COMPLETED:
        failed = [task for task in unsuccessful_tasks(draft.state) if task.status is not TaskStatus.CANCELED]
    if output is None:
        try:
            output = _workflow_output(draft)
        except ResolutionExceeded as error:
            output = {}
            if status is WorkflowStatus.COMPLETED:
                status, reason = WorkflowStatus.FAILED, f"the outputParameters cannot be resolved: {error}"
    failure = None
    if compensated and status is not WorkflowStatus.COMPLETED:
        failure, noted = failure_start(draft.state, draft.graph.definition, draft.context.definitions)
        output = {**output, **noted} if noted else output
    draft.emit(
        WorkflowEnded(
            at_ms=draft.now_ms,
            status=status,
            output=output,
            reason=reason,
            failed_refs=tuple(task.spec.ref for task in failed),
            failed_names=tuple(task.spec.name for task in failed),
            failed_seq=failed_seq,
            failure=failure,
            heard=told,
        )
    )


def unsuccessful_tasks(state: WorkflowState) -> list[EndedTask]:
    """Return the newest attempts that ended unsuccessfully, oldest first. Costs the length of the workflow."""
    newest = (state.tasks[seq] for seq in sorted(state.latest.values()))
    return [task for task in newest if isinstance(task, EndedTask) and task.status in TASK_UNSUCCESSFUL]


def definition_of(draft: Draft, task: Task, node: Node) -> TaskDef | None:
    """Return the task definition that holds for an attempt, None for the defaults."""
    dynamic = task.spec.dynamic_definition_hash
    if dynamic is not None:
        return draft.context.definitions.task_at(dynamic)
    return node.task_definition


def _next_attempt(draft: Draft, task: Task, node: Node, status: TaskStatus) -> Attempt | None:
    """Return the attempt that follows one which ends with `status` now, or None if there is none."""
    default = UNREGISTERED_WORKER_RETRIES if task.spec.dispatch == TO_WORKER else 0
    allowed = retry.retries_allowed(node.task, definition_of(draft, task, node), default=default)
    attempt = _attempt_after(draft, task, node)
    if retry.may_retry(task, status, allowed=allowed, begins_at_ms=draft.now_ms + attempt.delay_ms):
        return attempt
    return None


def _attempt_after(draft: Draft, task: Task, node: Node) -> Attempt:
    spec = task.spec
    definition = definition_of(draft, task, node)
    return Attempt(
        number=spec.attempt + 1,
        retry_of=spec.seq,
        first_scheduled_at_ms=spec.first_scheduled_at_ms or spec.at_ms,
        delay_ms=retry.delay_ms(definition, attempt=spec.attempt, noise=draft.context.noise),
    )


def _follow_failure(draft: Draft, seq: TaskSeq, node: Node, attempt: Attempt | None) -> None:
    """Do what follows the end of an attempt that did not succeed: another one, going on regardless, or the end."""
    if attempt is not None:
        draft.enter(node.ref, attempt, node.place)
    elif node.task.optional or node.task.permissive:
        draft.ended.append(seq)
    else:
        _end_by_failure(draft, seq)


def _end_by_failure(draft: Draft, seq: TaskSeq) -> None:
    """End the workflow because of an attempt that it cannot do without."""
    task = draft.task(seq)
    assert isinstance(task, EndedTask)  # noqa: S101 - tells the type checker what every caller has just made true
    status = WORKFLOW_STATUS_OF_TASK[task.status]
    name = task_id(draft.state.workflow_id, seq)
    reason = f"Task {name} failed with status: {status} and reason: '{task.progress.reason}'"
    end_workflow(draft, status, reason, failed_seq=seq)


def cancel(draft: Draft, task: OpenTask, reason: str) -> None:
    """End an attempt because what it is part of does not need it any more. Nothing follows from that."""
    _end_child(draft, task, f"Parent workflow has been terminated with reason: {reason}")
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=task.spec.seq,
            status=TaskStatus.CANCELED,
            reason=reason,
            output=task.progress.output,
        )
    )


def _cancel_inside(draft: Draft, scope: RefName, reason: str) -> None:
    """Cancel what is open inside a loop that ends before its pass is over. Costs the length of the workflow."""
    for task in open_tasks(draft.state):
        around = task.spec.scope
        while around and around != scope:
            around = draft.state.scopes[around].parent
        if around:
            cancel(draft, task, reason)


def _leave_child(draft: Draft, task: Task, reason: str) -> None:
    if task.progress.child_id is not None:
        why = f"Task {task.spec.ref} of the parent workflow has ended" + (f": {reason}" if reason else ".")
        _end_child(draft, task, why)


def _end_child(draft: Draft, task: Task, why: str) -> None:
    """Ask the sub-workflow that an attempt waits for to end: nobody will wait for it any more."""
    child_id = task.progress.child_id
    if child_id is not None:
        draft.emit(
            ChildTerminationRequested(
                at_ms=draft.now_ms,
                seq=task.spec.seq,
                child_id=child_id,
                reason=why,
                told=task.progress.told + 1,
                is_keyed="idempotencyKey" in task.spec.input,
            )
        )


def _workflow_output(draft: Draft) -> JsonObject:
    """Return the declared `outputParameters`, else the output of the task that was scheduled last."""
    declared = draft.graph.definition.output_parameters
    if declared:
        resolved: JsonObject = resolve(declared, StateLookup(draft.state, decision=draft.budget))
        return resolved
    tasks = draft.state.tasks
    last = tasks.get(draft.state.last_seq)
    if last is None and tasks:  # that number is of a slot, or of what is forgotten
        last = tasks[max(tasks)]
    return {} if last is None else last.progress.output
