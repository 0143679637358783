"""What passes between a machine and the loop that drives it.

Holds decisions on their way into the log and, once they are there, what is to be done about them. Must not do it. Keeps
the invariant that an outbox holds nothing that could not be done twice without harm.
"""

from typing import Final

import msgspec

from engine.commands import AnswerSlot, Command, ReportChildEnd, ResumeChild, StartWorkflow
from engine.effects import PublishMessage
from engine.events import Event, ResultIgnored
from engine.idempotency import notice_of_refused_start
from engine.ids import TaskId, WorkflowId, task_id
from engine.limiter.commands import ReleaseSlot
from engine.model import OpenTask, WorkflowState
from engine.rejections import Rejected, RejectionCode
from engine.status import WorkflowStatus
from streams.partition.chain import ChainPosition
from streams.ports import LogRecord, NewRecord
from streams.records import DEPTH_MAX, DecisionRecord, encode, nests_too_deep
from streams.service import Answer

NEVER_OVERTAKEN: Final = 2**31 - 1
"""The run of a child that nobody knows any more: none of its runs comes after that."""


class Outbox(msgspec.Struct, kw_only=True):
    """What is to be done now that it is in the log. Everything in it may be done twice without harm."""

    dispatches: list[tuple[WorkflowState, OpenTask]] = []
    retracts: list[TaskId] = []
    commands: list[Command] = []
    outcomes: list[WorkflowState] = []
    messages: list[tuple[WorkflowId, PublishMessage]] = []
    kept: list[WorkflowState] = []
    """Ended workflows that a recovery found in the tail of the log."""
    forwards: list[tuple[int, LogRecord]] = []
    dead_letters: list[tuple[LogRecord, str]] = []
    rereads: list[DecisionRecord] = []
    """Decisions to forward or park a command whose bytes must be read again (after a crash only)."""
    replies: list[tuple[str, Answer]] = []
    sequence: int = 0
    """All effects up to this decision are in here, or were before."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on its way into the log. `value` is the record's JSON."""

    record: DecisionRecord
    value: bytes
    state: WorkflowState | None
    source: LogRecord | None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of decisions, to be appended in one piece. `position` is where the chain stands after it."""

    records: list[NewRecord]
    decided: list[Decided]
    position: ChainPosition


def as_decided(record: DecisionRecord, state: WorkflowState | None, source: LogRecord | None) -> Decided:
    """Return a decision with its JSON.

    Raises:
        ValueError: it could perhaps be written, but not be read again by whoever stands deeper in its calls.
    """
    value = encode(record)
    if nests_too_deep(value):
        raise ValueError(f"its record would nest deeper than {DEPTH_MAX} objects and lists")
    return Decided(record=record, value=value, state=state, source=source)


def answer_of(record: DecisionRecord, state: WorkflowState | None) -> Answer:
    """Return what the caller of a decided command is told."""
    ignored = ""
    last: Event | None = record.events[-1] if record.events else None
    if isinstance(last, ResultIgnored):
        ignored = last.reason
    rejected = record.rejection
    if record.parked:
        rejected = Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=record.parked)
    return Answer(workflow_id=record.workflow_id, rejected=rejected, state=state, ignored=ignored)


def notice_of_refusal(command: Command, workflow_id: WorkflowId, refusal: Rejected) -> tuple[Command, ...]:
    """Return the command that tells a task of a workflow that cannot start, or go on: it must not wait for ever.

    `workflow_id` is the one that the task waits for. A slot that nobody waits for any more goes back to its limiter.
    """
    if isinstance(command, AnswerSlot) and not command.refused:
        holder = task_id(workflow_id, command.seq)
        return (ReleaseSlot(limiter_id=command.limiter_id, holder=holder, used=True),)
    if isinstance(command, ResumeChild):
        return (
            ReportChildEnd(
                workflow_id=command.parent.workflow_id,
                task_seq=command.parent.task_seq,
                child_id=workflow_id,
                status=WorkflowStatus.FAILED,
                reason=f"it cannot go on: {refusal.reason}",
                child_run=NEVER_OVERTAKEN,
                heard=command.told,
            ),
        )
    return notice_of_refused_start(command, workflow_id, refusal) if isinstance(command, StartWorkflow) else ()
