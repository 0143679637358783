"""What an open task, and a workflow, waits for: one reason each, typed and as a sentence.

Pure functions of a state, its graph, an instant, and what is known of the queues. Must not look anything up, nor
decide: a reason is for people. Keeps the invariant that everything open has a reason: there is no task about which
nothing can be said.

A reason is one of small types (the union `WaitReason`); whoever makes tasks wait for something new adds its type here
and the case that finds it, before the general ones.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from engine.deadlines import DeadlineKind, deadlines, workflow_deadline_ms
from engine.dispatch import TO_CHILD, TO_HTTP, TO_SCRIPT, TO_WORKER
from engine.ending import UNREGISTERED_WORKER_RETRIES
from engine.graph import Graph
from engine.ids import RefName, WorkflowId
from engine.model import EndedTask, OpenTask, PendingTask, RunningTask, WorkflowState, open_tasks
from engine.nodes import node_of
from engine.retry import retries_allowed
from engine.spans import instant_text, span_text
from engine.status import WorkflowStatus

NAMED_MAX: Final = 20
"""Tasks that a reason names; the others it counts."""


class _Reason(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="kind"):
    """How every reason is spelt."""


class WorkerAwaited(_Reason, frozen=True, kw_only=True, tag="WORKER"):
    """The task is in its queue. `last_poll_at_ms`: when somebody asked for its type, 0 for never, None if unknown."""

    task_type: str
    since_at_ms: int
    domain: str = ""
    last_poll_at_ms: int | None = None
    due_at_ms: int | None = None

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        queue = f"type {self.task_type}" + (f" in domain {self.domain}" if self.domain else "")
        text = f"in the queue of {queue} for {span_text(now_ms - self.since_at_ms)}"
        if self.last_poll_at_ms == 0:
            text += "; no worker has polled it here"
        elif self.last_poll_at_ms is not None and self.last_poll_at_ms < self.since_at_ms:
            text += f"; no worker has polled it for {span_text(now_ms - self.last_poll_at_ms)}"
        elif self.last_poll_at_ms is not None:
            text += f"; last polled {span_text(now_ms - self.last_poll_at_ms)} ago, the workers are busy with others"
        return text + _due(DeadlineKind.POLL_TIMEOUT, self.due_at_ms, now_ms)


class WorkerAtWork(_Reason, frozen=True, kw_only=True, tag="WORKER_AT_WORK"):
    """A worker has the task. `due_at_ms`: when it must have been heard of again."""

    worker_id: str
    since_at_ms: int
    due_at_ms: int | None = None

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        text = f"worker {self.worker_id} has it for {span_text(now_ms - self.since_at_ms)}"
        return text + _due(DeadlineKind.RESPONSE_TIMEOUT, self.due_at_ms, now_ms)


class RetryAwaited(_Reason, frozen=True, kw_only=True, tag="RETRY"):
    """A further attempt begins at `due_at_ms`. `retries` is how many there may be, None if that is not known here."""

    retry: int
    due_at_ms: int
    retries: int | None = None

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        of_all = "" if self.retries is None else f" of {self.retries}"
        return f"retry {self.retry}{of_all}, due {_when(self.due_at_ms, now_ms)}"


class DelayAwaited(_Reason, frozen=True, kw_only=True, tag="DELAY"):
    """The first attempt begins at `due_at_ms`, or the worker `worker_id` wants the task back then."""

    due_at_ms: int
    worker_id: str = ""

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        who = f"worker {self.worker_id} has handed it back until later" if self.worker_id else "its start is delayed"
        return f"{who}; due {_when(self.due_at_ms, now_ms)}"


class TimerAwaited(_Reason, frozen=True, kw_only=True, tag="TIMER"):
    """It ends by itself at `due_at_ms`."""

    due_at_ms: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        return f"timer until {instant_text(self.due_at_ms)}, {_when(self.due_at_ms, now_ms)}"


class SignalAwaited(_Reason, frozen=True, kw_only=True, tag="SIGNAL"):
    """Somebody outside has to complete it: a person, a service, an event. `answered`: Podium's own request is done."""

    task_type: str
    answered: bool = False

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        del now_ms
        if self.answered:
            return "its request is answered, and somebody outside has to complete it (asyncComplete)"
        if self.task_type == "START_WORKFLOW":
            return "the owner of its idempotency key has to say which workflow that stands for"
        who = "a person" if self.task_type == "HUMAN" else "somebody outside (an event, a signal, an update)"
        return f"{who} has to complete it"


class RequestAwaited(_Reason, frozen=True, kw_only=True, tag="REQUEST"):
    """Podium's own HTTP client is at it."""

    since_at_ms: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        return f"an HTTP request of Podium is under way for {span_text(now_ms - self.since_at_ms)}"


class ScriptAwaited(_Reason, frozen=True, kw_only=True, tag="SCRIPT"):
    """The sandbox computes a script; for a loop, whether another pass follows after `iteration`."""

    since_at_ms: int
    iteration: int = 0

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        what = f"the condition after pass {self.iteration}" if self.iteration else "its script"
        return f"{what} is being computed for {span_text(now_ms - self.since_at_ms)}"


class ChildAwaited(_Reason, frozen=True, kw_only=True, tag="SUB_WORKFLOW"):
    """A sub-workflow has not ended."""

    name: str
    child_id: WorkflowId
    since_at_ms: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        return f"sub-workflow {self.name} ({self.child_id}) runs for {span_text(now_ms - self.since_at_ms)}"


class BranchesAwaited(_Reason, frozen=True, kw_only=True, tag="BRANCHES"):
    """A JOIN misses these refs, the first `NAMED_MAX` of `missing_count`; of an EXCLUSIVE_JOIN one is enough."""

    missing: tuple[RefName, ...]
    missing_count: int
    any_of: bool = False

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        del now_ms
        if not self.missing_count:
            return "what it joins has ended; what stands before it in its branches has not"
        listed = ", ".join(self.missing)
        more = self.missing_count - len(self.missing)
        listed += f" and {more} more" if more else ""
        return f"the first of these to end: {listed}" if self.any_of else f"joined branches missing: {listed}"


class PassAwaited(_Reason, frozen=True, kw_only=True, tag="LOOP"):
    """A pass of a loop is under way, with so many tasks open in it."""

    iteration: int
    open_count: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        del now_ms
        return f"pass {self.iteration} of the loop is under way, {_counted(self.open_count, 'task')} open in it"


class ResumeAwaited(_Reason, frozen=True, kw_only=True, tag="PAUSED"):
    """The workflow is paused, and this goes on when somebody resumes it. `held_count`: ends that wait for that too."""

    held_count: int = 0

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        del now_ms
        held = f"; {_counted(self.held_count, 'task')} ended meanwhile" if self.held_count else ""
        return f"paused by an operator: goes on when the workflow is resumed{held}"


class TasksAwaited(_Reason, frozen=True, kw_only=True, tag="TASKS"):
    """The workflow waits for its open tasks. `because` is the reason of `ref`, the one that says most."""

    ref: RefName
    because: "WaitReason"
    open_count: int
    due_at_ms: int | None = None

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        others = self.open_count - 1
        rest = f" (and {_counted(others, 'other open task')})" if others else ""
        return f"{self.ref}: {self.because.sentence(now_ms)}{rest}" + _due("workflow timeout", self.due_at_ms, now_ms)


WaitReason: TypeAlias = (
    WorkerAwaited
    | WorkerAtWork
    | RetryAwaited
    | DelayAwaited
    | TimerAwaited
    | SignalAwaited
    | RequestAwaited
    | ScriptAwaited
    | ChildAwaited
    | BranchesAwaited
    | PassAwaited
    | ResumeAwaited
    | TasksAwaited
)

LastPoll: TypeAlias = Callable[[str, str], int | None]
"""Tells when a worker last asked for a type in a domain: 0 for never, None for not known."""


def nothing_known(task_type: str, domain: str) -> None:
    """Know nothing of any queue: a `LastPoll`."""
    del task_type, domain


def task_waits_for(
    state: WorkflowState, task: OpenTask, graph: Graph, *, last_poll: LastPoll = nothing_known
) -> WaitReason:
    """Return what an open task waits for."""
    if isinstance(task, PendingTask):
        return _pending(state, task, graph, last_poll)
    return _running(state, task)


def workflow_waits_for(state: WorkflowState, graph: Graph, *, last_poll: LastPoll = nothing_known) -> WaitReason | None:
    """Return what an open workflow waits for, None for one that has ended. Costs the workflow's length."""
    if state.is_terminal:
        return None
    if state.status is WorkflowStatus.PAUSED:
        return ResumeAwaited(held_count=len(state.held))
    found = open_tasks(state)
    # A JOIN or a loop waits for other open tasks; one of those says more.
    task = next((task for task in found if task.spec.seq not in state.missing and not _is_inner(state, task)), found[0])
    return TasksAwaited(
        ref=task.spec.ref,
        because=task_waits_for(state, task, graph, last_poll=last_poll),
        open_count=state.open_count,
        due_at_ms=workflow_deadline_ms(state),
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
    missing = tuple(ref for ref in join.spec.join_on if not _has_ended(state, ref))
    if not missing and state.held:
        return ResumeAwaited()
    return BranchesAwaited(
        missing=missing[:NAMED_MAX], missing_count=len(missing), any_of=join.spec.type == "EXCLUSIVE_JOIN"
    )


def _has_ended(state: WorkflowState, ref: RefName) -> bool:
    task = state.task(ref)
    return isinstance(task, EndedTask) and task.final


def _due_at_ms(task: OpenTask, kind: DeadlineKind) -> int | None:
    return next((at_ms for found, at_ms in deadlines(task) if found is kind), None)


def _due(what: DeadlineKind | str, due_at_ms: int | None, now_ms: int) -> str:
    if due_at_ms is None:
        return ""
    return f"; {what.value if isinstance(what, DeadlineKind) else what} {_when(due_at_ms, now_ms)}"


def _when(due_at_ms: int, now_ms: int) -> str:
    return f"in {span_text(due_at_ms - now_ms)}" if due_at_ms > now_ms else "now"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
