"""What the events of slots change: those that attempts, and whole workflows, get from limiters.

Must not decide. Keeps the invariant that a pending attempt awaits a slot exactly as long as the one under its number
has not been obtained.
"""

from msgspec.structs import replace

from engine.events import SlotAwaited, SlotObtained, SlotReturned
from engine.ids import TaskSeq
from engine.model import OWN_SLOT, PendingTask, Slot, WorkflowState
from engine.status import WorkflowStatus


def awaited(state: WorkflowState, event: SlotAwaited) -> WorkflowState:
    """The attempt, or the workflow, waits for its limiter."""
    slot = Slot(
        seq=event.seq,
        limiter_id=event.limiter_id,
        limits=event.limits,
        since_ms=event.at_ms,
        key=event.key,
        going_on=event.going_on,
    )
    if event.whole:
        return replace(
            state,
            slots=state.slots.set(OWN_SLOT, slot),
            last_seq=event.seq,
            updated_at_ms=event.at_ms,
            version=state.version + 1,
        )
    return replace(
        _with_wait(state, event.seq, event.at_ms, awaits_slot=True),
        slots=state.slots.set(event.seq, slot),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def obtained(state: WorkflowState, event: SlotObtained) -> WorkflowState:
    """The attempt, or the workflow, has its slot."""
    key = event.seq if event.seq in state.slots else OWN_SLOT
    in_pause = key == OWN_SLOT and state.status is WorkflowStatus.PAUSED
    slot = replace(state.slots[key], obtained_at_ms=event.at_ms, in_pause=in_pause)
    return replace(
        _with_wait(state, key, event.at_ms, awaits_slot=False),
        slots=state.slots.set(key, slot),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def returned(state: WorkflowState, event: SlotReturned) -> WorkflowState:
    """Nothing is held under that number any more."""
    key = event.seq if event.seq in state.slots else OWN_SLOT
    return replace(state, slots=state.slots.delete(key), version=state.version + 1)


def _with_wait(state: WorkflowState, seq: TaskSeq, at_ms: int, *, awaits_slot: bool) -> WorkflowState:
    task = state.tasks.get(seq)
    if not isinstance(task, PendingTask):
        return state
    progress = replace(task.progress, updated_at_ms=at_ms)
    pending = replace(task, progress=progress, awaits_slot=awaits_slot)
    return replace(state, tasks=state.tasks.set(seq, pending))
