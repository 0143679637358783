"""Refusals: a command that cannot be done is answered with a value, not with an exception.

Holds the codes and the two outcomes of a decision. Must not know of HTTP: the surfaces map codes to their own words.
Keeps the invariant that a refusal changes no state.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from engine.events import Event
from engine.model import WorkflowState


class RejectionCode(StrEnum):
    """Why a command was refused: a condition, found true."""

    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    DEFINITION_NOT_FOUND = "DEFINITION_NOT_FOUND"
    DEFINITION_INVALID = "DEFINITION_INVALID"
    ARGUMENT_INVALID = "ARGUMENT_INVALID"
    INPUT_INVALID = "INPUT_INVALID"
    WORKFLOW_ENDED = "WORKFLOW_ENDED"
    WORKFLOW_NOT_ENDED = "WORKFLOW_NOT_ENDED"
    WORKFLOW_NOT_RUNNING = "WORKFLOW_NOT_RUNNING"
    WORKFLOW_NOT_PAUSED = "WORKFLOW_NOT_PAUSED"
    WORKFLOW_NOT_RESTARTABLE = "WORKFLOW_NOT_RESTARTABLE"
    WORKFLOW_EXISTS = "WORKFLOW_EXISTS"
    NOTHING_TO_RETRY = "NOTHING_TO_RETRY"
    TASK_ALREADY_SCHEDULED = "TASK_ALREADY_SCHEDULED"
    SLOT_NOT_AWAITED = "SLOT_NOT_AWAITED"
    MESSAGES_FULL = "MESSAGES_FULL"


class Rejected(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The command was refused. `reason` says what was expected, what was found and the ids."""

    code: RejectionCode
    reason: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The command was accepted. `state` is `before` with `events` applied; no events: nothing had to change."""

    events: tuple[Event, ...]
    state: WorkflowState


Decision: TypeAlias = Accepted | Rejected
