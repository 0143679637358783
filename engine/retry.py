"""Whether a failed attempt is followed by another, and when.

Pure arithmetic over a definition. Must not draw random numbers: the jitter's noise comes in. Keeps the invariant that
a delay never overflows nor exceeds its cap.

Source: Conductor's `DeciderService.retry`.
"""

from typing import Final

from engine.definitions import RetryLogic, TaskDef, WorkflowTask
from engine.model import Task
from engine.status import TASK_RETRIABLE, TaskStatus

DELAY_SECONDS_MAX: Final = 2**31 - 1
"""Conductor's integer limit: a longer delay is cut to it."""

_DOUBLINGS_MAX: Final = 31
"""One second doubled so often is beyond `DELAY_SECONDS_MAX`; a larger power would only cost time."""

NOT_RETRIED: Final = frozenset({"DECISION", "SWITCH", "FORK_JOIN", "JOIN", "EXCLUSIVE_JOIN", "DO_WHILE", "TERMINATE"})
"""Types whose failure would only repeat itself."""


def retries_allowed(task: WorkflowTask, definition: TaskDef | None, *, default: int) -> int:
    """Return how many further attempts a task may have. `default` holds where nobody registered a definition."""
    if task.retry_count is not None:
        return task.retry_count
    return default if definition is None else definition.retry_count


def may_retry(attempt: Task, status: TaskStatus, *, allowed: int, begins_at_ms: int) -> bool:
    """Tell whether a further attempt, beginning at `begins_at_ms`, follows one that ends with `status`.

    One that would begin only when the time for all attempts is over could not succeed.
    """
    spec = attempt.spec
    if status not in TASK_RETRIABLE or spec.attempt >= allowed or spec.type in NOT_RETRIED:
        return False
    total_ms = spec.timeouts.total_ms
    return not total_ms or begins_at_ms < (spec.first_scheduled_at_ms or spec.at_ms) + total_ms


def delay_ms(definition: TaskDef | None, *, attempt: int, noise: float) -> int:
    """Return how long to wait after the failure of attempt number `attempt` (from 0), in milliseconds."""
    policy = definition or _DEFAULTS
    seconds = policy.retry_delay_seconds
    match policy.retry_logic:
        case RetryLogic.FIXED:
            pass
        case RetryLogic.LINEAR_BACKOFF:
            seconds *= policy.backoff_scale_factor * (attempt + 1)
        case RetryLogic.EXPONENTIAL_BACKOFF:
            seconds *= 2 ** min(attempt, _DOUBLINGS_MAX)
    seconds = min(seconds, DELAY_SECONDS_MAX)
    if policy.max_retry_delay_seconds > 0:
        seconds = min(seconds, policy.max_retry_delay_seconds)
    return seconds * 1000 + int(policy.backoff_jitter_ms * noise)


_DEFAULTS: Final = TaskDef(name="defaults")
