"""`apply`: what an event makes of a state.

Holds the one table from event types to appliers. Must not validate, refuse or look at anything but the state and the
event: it trusts the log. Keeps the invariant that the live path and the replay of a log run exactly the same code.
"""

from collections.abc import Callable, Iterable
from typing import Final, cast

from engine import events
from engine.appliers import loop, message, rewind, slot, task, workflow
from engine.model import WorkflowState

Applier = Callable[[WorkflowState, events.Event], WorkflowState]

APPLIERS: Final[dict[type, Applier]] = cast(
    "dict[type, Applier]",  # each applier takes its own event type; the key is what guarantees it
    {
        events.WorkflowStarted: workflow.started_again,
        events.WorkflowPaused: workflow.paused,
        events.WorkflowResumed: workflow.resumed,
        events.WorkflowEnded: workflow.ended,
        events.WorkflowReopened: workflow.reopened,
        events.WorkflowRestarted: workflow.restarted,
        events.WorkflowUpgraded: workflow.upgraded,
        events.WorkflowRemoved: workflow.removed,
        events.ParentHeeded: workflow.parent_heeded,
        events.VariablesSet: workflow.variables_set,
        events.TaskScheduled: task.scheduled,
        events.TaskReleased: task.released,
        events.TaskStarted: task.started,
        events.LeaseExtended: task.lease_extended,
        events.TaskPostponed: task.postponed,
        events.TaskOutputUpdated: task.output_updated,
        events.TaskEnded: task.ended,
        events.TaskRevived: rewind.task_revived,
        events.TasksDropped: rewind.tasks_dropped,
        events.PassEntered: loop.pass_entered,
        events.PassDropped: loop.pass_dropped,
        events.ConditionAsked: loop.condition_asked,
        events.ResultIgnored: task.result_ignored,
        events.ChildTerminationRequested: task.child_told,
        events.ChildResumeRequested: task.child_told,
        events.StartRequested: task.start_requested,
        events.SlotAwaited: slot.awaited,
        events.SlotObtained: slot.obtained,
        events.SlotReturned: slot.returned,
        events.ParentAttached: workflow.parent_attached,
        events.ChildNamed: task.child_named,
        events.MessageReceived: message.message_received,
        events.MessagesAwaited: message.messages_awaited,
        events.MessagesDelivered: message.messages_delivered,
        events.MessagePosted: message.message_posted,
    },
)


def apply(state: WorkflowState | None, event: events.Event) -> WorkflowState:
    """Return the state after an event. Only a `WorkflowStarted` makes one from nothing.

    Raises:
        InvariantViolated: the event does not fit the state, so the log is not one that `decide` wrote.
    """
    if state is None:
        return workflow.started(event)
    return APPLIERS[type(event)](state, event)


def fold(history: Iterable[events.Event], state: WorkflowState | None = None) -> WorkflowState | None:
    """Return the state after a series of events, from nothing or from an earlier state."""
    for event in history:
        state = apply(state, event)
    return state
