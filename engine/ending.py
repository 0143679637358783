"""How an attempt ends, and what its end does to its workflow.

Holds the one road by which tasks and workflows come to their end: success, failure with what follows it (another attempt, a
tolerated error, the end of the workflow), cancellation. Must not schedule: it tells the walk what to enter. Keeps the
invariants that a workflow ends once, and that nothing is left open in a workflow that has ended.

Source: conductor-core `DeciderService`, `WorkflowExecutorOps.completeWorkflow`, `terminateWorkflow`.
"""

from typing import Final

from engine import retry
from engine.definitions import TaskDef
from engine.draft import Attempt, Draft
from engine.events import ChildTerminationRequested, TaskEnded, WorkflowEnded
from engine.graph import Node
from engine.ids import RefName, TaskSeq, task_id
from engine.json_value import JsonObject
from engine.lookup import StateLookup
from engine.model import EndedTask, OpenTask, RunningTask, Task, WorkflowState, open_tasks
from engine.status import TASK_UNSUCCESSFUL, WORKFLOW_STATUS_OF_TASK, TaskStatus, WorkflowStatus
from engine.expressions.references import resolve

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
    walk_on: bool = True,
) -> None:
    """End an attempt for good and let the walk go on behind it.

    `walk_on=False`: the task has entered its successors itself (a FORK, a SWITCH with a branch).
    """
    held = draft.state.status is WorkflowStatus.PAUSED
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
        )
    )
    if not held:
        draft.ended.append((seq, walk_on))


def fail(
    draft: Draft,
    seq: TaskSeq,
    status: TaskStatus,
    reason: str,
    *,
    output: JsonObject | None = None,
    worker_id: str = "",
) -> None:
    """End an attempt unsuccessfully and let follow what its definition says."""
    task = draft.task(seq)
    node = draft.graph.node(task.spec.node)
    attempt = next_attempt(draft, task, node, status)
    if node.task.optional and attempt is None:
        status = TaskStatus.COMPLETED_WITH_ERRORS
    held = draft.state.status is WorkflowStatus.PAUSED
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=seq,
            status=status,
            output=output or {},
            reason=reason,
            worker_id=worker_id,
            final=attempt is None,
            held=held,
        )
    )
    if not held:
        follow_failure(draft, seq, attempt)


def follow_failure(draft: Draft, seq: TaskSeq, attempt: Attempt | None) -> None:
    """Do what follows the end of an attempt that did not succeed: another one, going on regardless, or the end."""
    task = draft.task(seq)
    node = draft.graph.node(task.spec.node)
    if attempt is not None:
        draft.enter(node.ref, attempt)
    elif node.task.optional or node.task.permissive:
        draft.ended.append((seq, True))
    else:
        end_by_failure(draft, task)


def next_attempt(draft: Draft, task: Task, node: Node, status: TaskStatus) -> Attempt | None:
    """Return the attempt that follows one which ends with `status` now, or None if there is none."""
    spec = task.spec
    is_worker_task = spec.dispatch == "worker"
    definition = definition_of(draft, task, node)
    allowed = retry.retries_allowed(
        node.task, definition, default=UNREGISTERED_WORKER_RETRIES if is_worker_task else 0
    )
    delay_ms = retry.delay_ms(definition, attempt=spec.attempt, noise=draft.context.noise)
    if not retry.may_retry(task, status, allowed=allowed, now_ms=draft.now_ms, delay_ms=delay_ms):
        return None
    return Attempt(
        number=spec.attempt + 1,
        retry_of=spec.seq,
        first_scheduled_at_ms=spec.first_scheduled_at_ms or spec.at_ms,
        delay_ms=delay_ms,
    )


def end_by_failure(draft: Draft, task: Task) -> None:
    """End the workflow because of an attempt that it cannot do without."""
    assert isinstance(task, EndedTask)  # noqa: S101 - states for the type checker what the callers have just made true
    status = WORKFLOW_STATUS_OF_TASK[task.status]
    reason = (
        f"Task {task_id(draft.state.workflow_id, task.spec.seq)} failed with status: {status} "
        f"and reason: '{task.progress.reason}'"
    )
    end_workflow(draft, status, reason, failed=task)


def complete_workflow(draft: Draft) -> None:
    """End a workflow in which nothing is open any more: COMPLETED, or FAILED if a permissive task had failed."""
    if draft.graph.has_permissive:
        failures = [
            task
            for task in draft.state.tasks.values()
            if isinstance(task, EndedTask) and task.final and task.status in TASK_UNSUCCESSFUL
        ]
        if failures:
            failures.sort(key=lambda task: task.spec.seq)
            reason = "; ".join(f"{task.spec.ref}: {task.progress.reason or task.status}" for task in failures)
            end_workflow(draft, WorkflowStatus.FAILED, reason, failed=failures[-1])
            return
    end_workflow(draft, WorkflowStatus.COMPLETED, "")


def end_workflow(
    draft: Draft,
    status: WorkflowStatus,
    reason: str,
    *,
    output: JsonObject | None = None,
    failed: EndedTask | None = None,
) -> None:
    """End the workflow and cancel what is open in it. The walk has nothing more to visit."""
    cancel_open(draft, f"The workflow has ended: {status}." if not reason else reason)
    draft.entries.clear()
    draft.ended.clear()
    draft.joins.clear()
    refs, names = failed_tasks(draft.state) if status is not WorkflowStatus.COMPLETED else ((), ())
    draft.emit(
        WorkflowEnded(
            at_ms=draft.now_ms,
            status=status,
            output=workflow_output(draft) if output is None else output,
            reason=reason,
            failed_refs=refs,
            failed_names=names,
            failed_seq=failed.spec.seq if failed is not None else None,
        )
    )


def cancel_open(draft: Draft, reason: str) -> None:
    """Cancel every open task, and ask the sub-workflows of those that have one to end."""
    if not draft.state.open_count:
        return
    for task in open_tasks(draft.state):
        cancel(draft, task, reason)


def cancel(draft: Draft, task: OpenTask, reason: str) -> None:
    """Cancel one open task."""
    child = task.progress.child_id
    if isinstance(task, RunningTask) and child is not None:
        why = f"Parent workflow has been terminated with reason: {reason}"
        draft.emit(ChildTerminationRequested(seq=task.spec.seq, child_id=child, reason=why))
    draft.emit(
        TaskEnded(
            at_ms=draft.now_ms,
            seq=task.spec.seq,
            status=TaskStatus.CANCELED,
            reason=reason,
            output=task.progress.output,
        )
    )


def failed_tasks(state: WorkflowState) -> tuple[tuple[RefName, ...], tuple[str, ...]]:
    """Return the refs and the names of the tasks that failed for good, in the order of their numbers."""
    failed = [
        task
        for task in state.tasks.values()
        if isinstance(task, EndedTask)
        and task.final
        and task.status in TASK_UNSUCCESSFUL
        and task.status is not TaskStatus.CANCELED
    ]
    failed.sort(key=lambda task: task.spec.seq)
    return tuple(task.spec.ref for task in failed), tuple(task.spec.name for task in failed)


def workflow_output(draft: Draft) -> JsonObject:
    """Return the workflow's output: the declared `outputParameters`, else the output of its last task."""
    declared = draft.graph.definition.output_parameters
    if declared:
        resolved: JsonObject = resolve(declared, StateLookup(draft.state))
        return resolved
    if not draft.state.last_seq:
        return {}
    return (
        draft.state.tasks[draft.state.last_seq].progress.output
        if draft.state.last_seq in draft.state.tasks
        else {}
    )


def definition_of(draft: Draft, task: Task, node: Node) -> TaskDef | None:
    """Return the task definition that holds for an attempt, None for the defaults."""
    dynamic = task.spec.dynamic_definition_hash
    if dynamic is not None:
        return draft.context.definitions.task_at(dynamic)
    return node.task_definition
