"""Events: what was decided. They are for ever.

Holds the shapes only, a module per thing that they are about; what an event changes is in `engine.appliers`. Fields
are only ever added, with defaults; a changed meaning is a new event. Keeps the invariant that a workflow's state is
nothing but the fold of its events: no event needs a definition, a clock or another workflow to be applied.

Instants are `at_ms`, epoch milliseconds of the decision. `seq` names an attempt within its workflow.
"""

from typing import TypeAlias

from engine.events.child import (
    ChildNamed,
    ChildResumeRequested,
    ChildTerminationRequested,
    ParentAttached,
    StartRequested,
)
from engine.events.loop import (
    ConditionAsked,
    PassDropped,
    PassEntered,
)
from engine.events.message import (
    MessagePosted,
    MessageReceived,
    MessagesAwaited,
    MessagesDelivered,
)
from engine.events.slot import (
    GoingOn,
    SlotAwaited,
    SlotObtained,
    SlotReturned,
)
from engine.events.task import (
    LeaseExtended,
    ResultIgnored,
    TaskEnded,
    TaskOutputUpdated,
    TaskPostponed,
    TaskReleased,
    TaskRevived,
    TaskScheduled,
    TasksDropped,
    TaskStarted,
    TaskTimeouts,
)
from engine.events.workflow import (
    FailureStart,
    ParentHeeded,
    VariablesSet,
    WorkflowEnded,
    WorkflowPaused,
    WorkflowRemoved,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowUpgraded,
)

__all__ = [
    "ChildNamed",
    "ChildResumeRequested",
    "ChildTerminationRequested",
    "ConditionAsked",
    "Event",
    "FailureStart",
    "GoingOn",
    "LeaseExtended",
    "MessagePosted",
    "MessageReceived",
    "MessagesAwaited",
    "MessagesDelivered",
    "ParentAttached",
    "ParentHeeded",
    "PassDropped",
    "PassEntered",
    "ResultIgnored",
    "SlotAwaited",
    "SlotObtained",
    "SlotReturned",
    "StartRequested",
    "TaskEnded",
    "TaskOutputUpdated",
    "TaskPostponed",
    "TaskReleased",
    "TaskRevived",
    "TaskScheduled",
    "TaskStarted",
    "TaskTimeouts",
    "TasksDropped",
    "VariablesSet",
    "WorkflowEnded",
    "WorkflowPaused",
    "WorkflowRemoved",
    "WorkflowReopened",
    "WorkflowRestarted",
    "WorkflowResumed",
    "WorkflowStarted",
    "WorkflowUpgraded",
]

Event: TypeAlias = (
    WorkflowStarted
    | WorkflowPaused
    | WorkflowResumed
    | WorkflowEnded
    | WorkflowReopened
    | WorkflowRestarted
    | WorkflowUpgraded
    | WorkflowRemoved
    | ParentHeeded
    | VariablesSet
    | TaskScheduled
    | TaskReleased
    | TaskStarted
    | LeaseExtended
    | TaskPostponed
    | TaskOutputUpdated
    | TaskEnded
    | TaskRevived
    | TasksDropped
    | PassEntered
    | PassDropped
    | ConditionAsked
    | ResultIgnored
    | ChildTerminationRequested
    | ChildResumeRequested
    | StartRequested
    | ParentAttached
    | ChildNamed
    | MessageReceived
    | MessagesAwaited
    | MessagesDelivered
    | MessagePosted
    | SlotAwaited
    | SlotObtained
    | SlotReturned
)
