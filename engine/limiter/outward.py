"""What the shell must do because of an event of a limiter.

Holds the derivation from events and the newest state. Must not perform anything. Keeps the invariant that whoever asked
is answered in the end: a new owner derives from the log the answers that may not have arrived.
"""

from collections.abc import Iterable

from engine.commands import AnswerSlot
from engine.ids import TaskId, TaskSeq, WorkflowId
from engine.limiter.events import LimiterEvent, SlotGranted, SlotRefused
from engine.limiter.ids import LimiterId
from engine.limiter.model import LimiterState


def answers_of(
    limiter_id: LimiterId, events: Iterable[LimiterEvent], state: LimiterState | None
) -> tuple[AnswerSlot, ...]:
    """Return what is to be told, and to whom. Who has given its slot back since needs no word of it any more."""
    answers: list[AnswerSlot] = []
    for event in events:
        if isinstance(event, SlotGranted):
            if state is not None and event.holder in state.held:
                answers.append(_answer(limiter_id, event.holder))
        elif isinstance(event, SlotRefused):
            answers.append(_answer(limiter_id, event.holder, refused=event.reason))
    return tuple(answers)


def _answer(limiter_id: LimiterId, holder: TaskId, *, refused: str = "") -> AnswerSlot:
    workflow_id, _, seq = holder.rpartition("~")
    return AnswerSlot(
        workflow_id=WorkflowId(workflow_id), seq=TaskSeq(int(seq)), limiter_id=limiter_id, refused=refused
    )
