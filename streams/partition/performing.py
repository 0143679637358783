"""What each effect becomes in the shell: a timer, a kept output, or an entry of the outbox.

Holds the one match over effects. Must not send anything. Keeps the invariant that an effect is performed only when the
decision behind it is in the log: its callers see to that.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from engine.effects import (
    AnnounceOutcome,
    ArmTimer,
    DisarmTimer,
    DispatchTask,
    Effect,
    KeepOutput,
    PublishMessage,
    RetractTask,
    SendCommand,
)
from engine.ids import task_id
from engine.json_value import JsonObject
from engine.model import EndedTask, WorkflowState
from streams.kept_outputs import KeptOutputs
from streams.masking import masked
from streams.partition.timers import Timers
from streams.partition.turn import Outbox

_SHOWN: Final = ("output", "payload")
"""The fields of a message to listeners that hold what tasks and workflows have put out."""


def perform(effect: Effect, state: WorkflowState, *, outbox: Outbox, timers: Timers, outputs: KeptOutputs) -> None:
    """Take an effect of a workflow in its place."""
    match effect:
        case ArmTimer():
            timers.arm(state.workflow_id, effect.seq, effect.due_at_ms)
        case DisarmTimer():
            timers.disarm(state.workflow_id, effect.seq)
        case DispatchTask():
            task = state.tasks[effect.seq]
            if not isinstance(task, EndedTask):
                outbox.dispatches.append((state, task))
        case RetractTask():
            outbox.retracts.append(task_id(state.workflow_id, effect.seq))
        case SendCommand():
            outbox.commands.append(effect.command)
        case KeepOutput():
            outputs.keep(effect)
        case AnnounceOutcome():
            outbox.outcomes.append(state)
        case PublishMessage():
            fields = state.started.masked_fields
            shown = replace(effect, payload=_shown(effect.payload, fields)) if fields else effect
            outbox.messages.append((state.workflow_id, shown))


def _shown(payload: JsonObject, fields: Collection[str]) -> JsonObject:
    """Return what listeners get to see of a message: they are not the workers that a masked field is for."""
    told = {key: payload[key] for key in _SHOWN if isinstance(payload.get(key), dict)}
    return {**payload, **{key: masked(value, fields) for key, value in told.items()}}
