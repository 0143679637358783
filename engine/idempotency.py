"""Idempotency keys: what a start comes to whose key has been used before.

Holds the one table of the three strategies. Must not look anything up: whoever holds the workflows says what the key
stands for. Keeps the invariant that of all starts with one name and key no two begin a workflow, but where the strategy
asks for a successor of one that has ended.

A key is decided about in one place: the id of its first workflow follows from name and key, and its successors live in
the same partition.

Source: Conductor's `IdempotencyStrategy`, which its open-source server accepts and ignores.
"""

from enum import StrEnum
from typing import Final

from engine.commands import Command, ReportChildEnd, ReportChildStart, StartWorkflow
from engine.ids import WorkflowId
from engine.json_value import JsonValue
from engine.rejections import Rejected, RejectionCode
from engine.status import WorkflowStatus

KEY_CHARS_MAX: Final = 1_000
"""A key is hashed into an id, but it is also stored with every workflow that it started."""


class Strategy(StrEnum):
    """What a start wants if there has been one with its key."""

    RETURN_EXISTING = "RETURN_EXISTING"
    FAIL = "FAIL"
    FAIL_ON_RUNNING = "FAIL_ON_RUNNING"


class Verdict(StrEnum):
    """What a start comes to: a first workflow, the one that is there, the next one of its key, or a refusal."""

    BEGIN = "BEGIN"
    MEET = "MEET"
    SUCCEED = "SUCCEED"
    REFUSE = "REFUSE"


def verdict_of(strategy: Strategy, *, is_used: bool, is_open: bool) -> Verdict:
    """Return what a start comes to. `is_used`: its key stands for a workflow, the newest of which `is_open` or not."""
    if not is_used:
        return Verdict.BEGIN
    match strategy:
        case Strategy.RETURN_EXISTING:
            return Verdict.MEET
        case Strategy.FAIL:
            return Verdict.REFUSE
        case Strategy.FAIL_ON_RUNNING:
            return Verdict.REFUSE if is_open else Verdict.SUCCEED


def strategy_of(command: StartWorkflow) -> Strategy | None:
    """Return the strategy of a start, RETURN_EXISTING where it names none; None if it names one that there is not."""
    try:
        return Strategy(command.idempotency_strategy or Strategy.RETURN_EXISTING)
    except ValueError:
        return None


def problem_of(key: JsonValue, strategy: JsonValue) -> str:
    """Say what is wrong with a key and its strategy, or nothing."""
    if not isinstance(key, str) or not 0 < len(key) <= KEY_CHARS_MAX:
        shown = repr(key)[:100]
        return f"idempotencyKey should be a text of 1 to {KEY_CHARS_MAX} characters and is {shown}"
    if strategy is not None and strategy not in Strategy.__members__:
        return f"idempotencyStrategy should be one of {', '.join(Strategy)} and is {strategy!r}"
    return ""


def notice_of_start(command: StartWorkflow, first: WorkflowId, found: WorkflowId) -> tuple[ReportChildStart, ...]:
    """Return what tells the task that asked for a start which workflow it came to, if it cannot know by itself.

    `first` is the id that follows from the key, `found` that of the workflow.
    """
    asker = command.starter
    if asker is None and found != first:
        asker = command.parent
    if asker is None:
        return ()
    return (ReportChildStart(workflow_id=asker.workflow_id, task_seq=asker.task_seq, child_id=found),)


def notice_of_refused_start(command: StartWorkflow, workflow_id: WorkflowId, refusal: Rejected) -> tuple[Command, ...]:
    """Return what tells the task that asked for a start that there is none: it must not wait for ever.

    A child that has run and ended has told its parent before: its start came a second time. Not so where an idempotency
    key is the reason: that workflow may be another's. `workflow_id` is the one that the task waits for.
    """
    starter, parent = command.starter, command.parent
    if starter is not None:
        return (
            ReportChildStart(
                workflow_id=starter.workflow_id,
                task_seq=starter.task_seq,
                child_id=workflow_id,
                refusal=refusal.reason,
            ),
        )
    if parent is None or (refusal.code is RejectionCode.WORKFLOW_EXISTS and not command.idempotency_key):
        return ()
    return (
        ReportChildEnd(
            workflow_id=parent.workflow_id,
            task_seq=parent.task_seq,
            child_id=workflow_id,
            status=WorkflowStatus.FAILED,
            reason=refusal.reason,
        ),
    )
