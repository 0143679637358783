"""The reasons for which something stands still: one small type each, which can say itself.

Holds shapes and sentences. Must not find out which reason applies: `engine.waiting` does. Keeps the invariant that a
sentence can be read by who knows the workflow, and not the engine.
"""

from typing import TypeAlias

import msgspec

from engine.deadlines import DeadlineKind
from engine.ids import RefName, WorkflowId
from engine.limiter.ids import LimiterId
from engine.spans import instant_text, span_text


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


class PublicationAwaited(_Reason, frozen=True, kw_only=True, tag="PUBLICATION"):
    """Podium is publishing its message, and the sink has not acknowledged it."""

    since_at_ms: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        return f"its message is being published for {span_text(now_ms - self.since_at_ms)}"


class MessageAwaited(_Reason, frozen=True, kw_only=True, tag="MESSAGE"):
    """No message has been sent to the workflow since it began to wait."""

    since_at_ms: int

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        return f"a message to the workflow; none has come for {span_text(now_ms - self.since_at_ms)}"


class LimiterAwaited(_Reason, frozen=True, kw_only=True, tag="LIMITER"):
    """Its limiter lets no more begin now: `at_once` run already, or `starts` have begun within `window_ms`.

    0 means no such bound.
    """

    limiter_id: LimiterId
    since_at_ms: int
    at_once: int = 0
    starts: int = 0
    window_ms: int = 0

    def sentence(self, now_ms: int) -> str:
        """Say it."""
        bounds = [f"{self.at_once} at once"] if self.at_once else []
        bounds += [f"{self.starts} in {span_text(self.window_ms)}"] if self.starts else []
        waits = span_text(now_ms - self.since_at_ms)
        return f"a slot of limiter {self.limiter_id} ({' and '.join(bounds)}) for {waits}; the others are taken"


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
    | PublicationAwaited
    | MessageAwaited
    | LimiterAwaited
    | ScriptAwaited
    | ChildAwaited
    | BranchesAwaited
    | PassAwaited
    | ResumeAwaited
    | TasksAwaited
)


def _due(what: DeadlineKind | str, due_at_ms: int | None, now_ms: int) -> str:
    if due_at_ms is None:
        return ""
    return f"; {what.value if isinstance(what, DeadlineKind) else what} {_when(due_at_ms, now_ms)}"


def _when(due_at_ms: int, now_ms: int) -> str:
    return f"in {span_text(due_at_ms - now_ms)}" if due_at_ms > now_ms else "now"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
