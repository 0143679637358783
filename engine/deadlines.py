"""The instants at which an open task must be looked at again, though nobody reports anything.

Pure functions of a task. Must not look at the clock. Keeps the invariant that a deadline is never early: it is
computed from instants in the log.

Which clock is which: the total timeout runs from the first attempt's scheduling, delays included; the timeout from
the attempt's start; the response timeout from the last word of its worker; the poll timeout from the moment at which
the attempt could be taken. So a delay (`startDelay`, of a retry, asked for by the worker), or waiting for a limiter,
uses up nothing but the total timeout.

Source: Conductor's `DeciderService.checkTaskTimeout`, `checkTaskPollTimeout`, `isResponseTimedOut`; here each is exact.
"""

from enum import Enum
from typing import Final

from engine.definitions import TaskDef
from engine.events import TaskTimeouts
from engine.model import OpenTask, PendingTask, WorkflowState
from engine.status import WorkflowStatus

NO_TIMEOUTS: Final = TaskTimeouts()


class DeadlineKind(Enum):
    """What has run out; of two at the same instant, the one that comes first here counts."""

    TOTAL_TIMEOUT = "total timeout"
    RUN_TIMEOUT = "timeout"
    POLL_TIMEOUT = "poll timeout"
    RESPONSE_TIMEOUT = "response timeout"
    RELEASE = "delay"
    WAKE = "wait"


def deadlines(task: OpenTask) -> list[tuple[DeadlineKind, int]]:
    """Return the deadlines of an open task with their instants (epoch ms), in the order of `DeadlineKind`."""
    spec = task.spec
    limits = spec.timeouts
    progress = task.progress
    found: list[tuple[DeadlineKind, int]] = []
    if limits.total_ms:
        found.append((DeadlineKind.TOTAL_TIMEOUT, (spec.first_scheduled_at_ms or spec.at_ms) + limits.total_ms))
    if limits.run_ms and progress.started_at_ms:
        found.append((DeadlineKind.RUN_TIMEOUT, progress.started_at_ms + limits.run_ms))
    if isinstance(task, PendingTask):
        if task.due_at_ms:
            found.append((DeadlineKind.RELEASE, task.due_at_ms))
        elif limits.poll_ms and not task.awaits_slot:
            found.append((DeadlineKind.POLL_TIMEOUT, progress.updated_at_ms + limits.poll_ms))
    else:
        if limits.response_ms:
            found.append((DeadlineKind.RESPONSE_TIMEOUT, progress.updated_at_ms + limits.response_ms))
        if spec.wakes_at_ms:
            found.append((DeadlineKind.WAKE, spec.wakes_at_ms))
    return found


def next_deadline_ms(task: OpenTask, *, after_ms: int = 0) -> int | None:
    """Return the first instant after `after_ms` at which an open task must be looked at, or None if there is none."""
    return min((at_ms for _, at_ms in deadlines(task) if at_ms > after_ms), default=None)


def workflow_deadline_ms(state: WorkflowState) -> int | None:
    """Return the instant at which the workflow's own time ends, or None if it has no bound."""
    if not state.started.timeout_ms or state.status not in {WorkflowStatus.RUNNING, WorkflowStatus.PAUSED}:
        return None
    return state.clock_from_ms + state.started.timeout_ms


def due(task: OpenTask, now_ms: int) -> list[DeadlineKind]:
    """Return what has run out by now, in the order in which it did."""
    passed = [(at_ms, kind) for kind, at_ms in deadlines(task) if at_ms <= now_ms]
    if len(passed) > 1:
        passed.sort(key=lambda deadline: deadline[0])
    return [kind for _, kind in passed]


def worker_timeouts(definition: TaskDef | None) -> TaskTimeouts:
    """Return the bounds of a task that a worker does; without a definition the defaults hold."""
    policy = definition or _DEFAULTS
    return TaskTimeouts(
        run_ms=policy.timeout_seconds * 1000,
        response_ms=policy.response_timeout_seconds * 1000,
        poll_ms=(policy.poll_timeout_seconds or 0) * 1000,
        total_ms=policy.total_timeout_seconds * 1000,
    )


def engine_timeouts(definition: TaskDef | None) -> TaskTimeouts:
    """Return the bounds of a task that the engine itself keeps open: nobody polls it, nobody responds."""
    if definition is None:
        return NO_TIMEOUTS
    return TaskTimeouts(run_ms=definition.timeout_seconds * 1000, total_ms=definition.total_timeout_seconds * 1000)


_DEFAULTS: Final = TaskDef(name="defaults")
