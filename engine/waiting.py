"""What an open task, and a workflow, waits for: one reason each, typed and as a sentence.

Pure functions of a state, its graph, an instant, and what is known of the queues. Must not look anything up, nor
decide: a reason is for people. Keeps the invariant that everything open has a reason: there is no task about which
nothing can be said.

A reason is one of the small types of `engine.wait_reasons`; whoever makes tasks wait for something new adds its type
there, and here the case that finds it, before the general ones.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from engine.appliers.counting import has_ended_for_good
from engine.deadlines import DeadlineKind, deadlines, workflow_deadline_ms
from engine.dispatch import TO_CHILD, TO_HTTP, TO_SCRIPT, TO_SINK, TO_WORKER
from engine.ending import UNREGISTERED_WORKER_RETRIES
from engine.graph import Graph
from engine.model import OpenTask, PendingTask, RunningTask, Slot, WorkflowState, open_tasks
from engine.nodes import node_of
from engine.retry import retries_allowed
from engine.slots import waiting_for_slot
from engine.status import WorkflowStatus
from engine.wait_reasons import (
    BranchesAwaited,
    ChildAwaited,
    DelayAwaited,
    LimiterAwaited,
    MessageAwaited,
    PassAwaited,
    PublicationAwaited,
    RequestAwaited,
    ResumeAwaited,
    RetryAwaited,
    ScriptAwaited,
    SignalAwaited,
    TasksAwaited,
    TimerAwaited,
    WaitReason,
    WorkerAtWork,
    WorkerAwaited,
)

NAMED_MAX: Final = 20
"""Tasks that a reason names; the others it counts."""


LastPoll: TypeAlias = Callable[[str, str], int | None]
"""Tells when a worker last asked for a type in a domain: 0 for never, None for not known."""


def nothing_known(task_type: str, domain: str) -> None:
    """Know nothing of any queue: a `LastPoll`."""
    del task_type, domain


def task_waits_for(
    state: WorkflowState, task: OpenTask, graph: Graph, *, last_poll: LastPoll = nothing_known
) -> WaitReason:
    """Return what an open task waits for."""
    slot = waiting_for_slot(state, task.spec.seq)
    if slot is not None:
        return _for_slot(slot)
    if isinstance(task, PendingTask):
        return _pending(state, task, graph, last_poll)
    return _running(state, task)


def workflow_waits_for(state: WorkflowState, graph: Graph, *, last_poll: LastPoll = nothing_known) -> WaitReason | None:
    """Return what an open workflow waits for, None for one that has ended. Costs the workflow's length."""
    if state.is_terminal:
        return None
    if state.status is WorkflowStatus.PAUSED:
        return ResumeAwaited(held_count=len(state.held))
    own_slot = waiting_for_slot(state)
    if own_slot is not None:
        return _for_slot(own_slot)
    found = open_tasks(state)
    # A JOIN or a loop waits for other open tasks; one of those says more.
    task = next((task for task in found if task.spec.seq not in state.missing and not _is_inner(state, task)), found[0])
    return TasksAwaited(
        ref=task.spec.ref,
        because=task_waits_for(state, task, graph, last_poll=last_poll),
        open_count=state.open_count,
        due_at_ms=workflow_deadline_ms(state),
    )


def _for_slot(slot: Slot) -> LimiterAwaited:
    return LimiterAwaited(
        limiter_id=slot.limiter_id,
        since_at_ms=slot.since_ms,
        at_once=slot.limits.at_once,
        starts=slot.limits.starts,
        window_ms=slot.limits.window_ms,
    )


def _is_inner(state: WorkflowState, task: OpenTask) -> bool:
    return task.spec.repeats and not state.loops[task.spec.seq] and state.scopes[task.spec.ref].open_count > 0


def _pending(state: WorkflowState, task: PendingTask, graph: Graph, last_poll: LastPoll) -> WaitReason:
    spec, progress = task.spec, task.progress
    if not task.due_at_ms:
        return WorkerAwaited(
            task_type=spec.type,
            domain=spec.domain,
            since_at_ms=progress.updated_at_ms,
            last_poll_at_ms=last_poll(spec.type, spec.domain),
            due_at_ms=_due_at_ms(task, DeadlineKind.POLL_TIMEOUT),
        )
    if state.status is WorkflowStatus.PAUSED:
        return ResumeAwaited()
    if progress.callback_after_seconds:
        return DelayAwaited(due_at_ms=task.due_at_ms, worker_id=progress.worker_id)
    if not spec.attempt:
        return DelayAwaited(due_at_ms=task.due_at_ms)
    return RetryAwaited(retry=spec.attempt, retries=_retries(state, task, graph), due_at_ms=task.due_at_ms)


def _retries(state: WorkflowState, task: OpenTask, graph: Graph) -> int | None:
    spec = task.spec
    node = node_of(graph, state, spec)
    if spec.dynamic_definition_hash is not None and node.task.retry_count is None:
        return None  # that definition is not in the graph
    default = UNREGISTERED_WORKER_RETRIES if spec.dispatch == TO_WORKER else 0
    return retries_allowed(node.task, node.task_definition, default=default)


def _running(state: WorkflowState, task: RunningTask) -> WaitReason:
    spec, progress = task.spec, task.progress
    since_at_ms = progress.started_at_ms
    if spec.dispatch == TO_WORKER:
        due_at_ms = _due_at_ms(task, DeadlineKind.RESPONSE_TIMEOUT)
        return WorkerAtWork(worker_id=progress.worker_id, since_at_ms=since_at_ms, due_at_ms=due_at_ms)
    if spec.dispatch == TO_CHILD and progress.child_id is not None:
        name = str(spec.input.get("subWorkflowName") or "of its own definition")
        return ChildAwaited(name=name, child_id=progress.child_id, since_at_ms=since_at_ms)
    if spec.dispatch == TO_HTTP and not progress.answered:
        return RequestAwaited(since_at_ms=since_at_ms)
    if spec.dispatch == TO_SINK and not progress.answered:
        return PublicationAwaited(since_at_ms=since_at_ms)
    if spec.type == "PULL_WORKFLOW_MESSAGES":
        return MessageAwaited(since_at_ms=since_at_ms)
    if spec.repeats and not state.loops[spec.seq]:
        scope = state.scopes[spec.ref]
        # In a pause a pass may have nothing open: what has ended is held.
        return (
            PassAwaited(iteration=scope.iteration, open_count=scope.open_count) if scope.open_count else ResumeAwaited()
        )
    if spec.dispatch == TO_SCRIPT:
        return ScriptAwaited(since_at_ms=progress.updated_at_ms, iteration=state.loops.get(spec.seq, 0))
    if spec.type in {"JOIN", "EXCLUSIVE_JOIN"}:
        return _joining(state, task)
    if spec.wakes_at_ms:
        is_held = state.status is WorkflowStatus.PAUSED
        return ResumeAwaited() if is_held else TimerAwaited(due_at_ms=spec.wakes_at_ms)
    return SignalAwaited(task_type=spec.type, answered=progress.answered)


def _joining(state: WorkflowState, join: RunningTask) -> WaitReason:
    missing = tuple(ref for ref in join.spec.join_on if not has_ended_for_good(state, ref))
    if not missing and state.held:
        return ResumeAwaited()
    return BranchesAwaited(
        missing=missing[:NAMED_MAX], missing_count=len(missing), any_of=join.spec.type == "EXCLUSIVE_JOIN"
    )


def _due_at_ms(task: OpenTask, kind: DeadlineKind) -> int | None:
    return next((at_ms for found, at_ms in deadlines(task) if found is kind), None)
