"""Effects: what the shell must do once a decision is in the log.

Holds the shapes only; `engine.outward` derives them from events. Must not perform anything. Keeps the invariant that
an effect may be done twice without harm: each names ids from which its receiver recognises a repetition.
"""

from typing import Final, TypeAlias

import msgspec

from engine.commands import Command
from engine.ids import TaskSeq
from engine.json_value import JsonObject

WORKFLOW_TIMER: Final = TaskSeq(0)
"""Stands for the workflow itself where an attempt's number names a timer: attempts count from 1."""


class DispatchTask(msgspec.Struct, frozen=True, kw_only=True):
    """Hand an attempt to whoever does it: the queue of its type, or a built-in worker."""

    seq: TaskSeq


class RetractTask(msgspec.Struct, frozen=True, kw_only=True):
    """Forget an attempt, wherever it was offered: it has ended."""

    seq: TaskSeq


class ArmTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Fire at `due_at_ms`; replaces the timer of the same attempt. `WORKFLOW_TIMER` is the workflow's own timeout."""

    seq: TaskSeq
    due_at_ms: int


class DisarmTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Forget the timer of an attempt."""

    seq: TaskSeq


class SendCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Append a command for another workflow: start a child, end a child, tell a parent."""

    command: Command


class KeepOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the output of a task that succeeded for others of the same name and key, until `until_ms`."""

    task_name: str
    key: str
    output: JsonObject
    until_ms: int


class AnnounceOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Publish how the workflow ended."""


class PublishMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Send a message to a sink, after those of the same workflow before it."""

    message_id: str
    sink: str
    payload: JsonObject
    at_ms: int


Effect: TypeAlias = (
    DispatchTask | RetractTask | ArmTimer | DisarmTimer | SendCommand | KeepOutput | AnnounceOutcome | PublishMessage
)
