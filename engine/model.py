"""The state of one workflow: what the fold of its events is.

Holds frozen values and look-ups. Must not decide anything, nor change: only `engine.applier`, `engine.appliers` and
`engine.codec` make new states. Keeps the invariant that a look-up costs the same in a workflow of ten thousand tasks
as in one of three.

A task is one of three things, so that no field can be there that its status denies: `PendingTask` (scheduled, not
begun), `RunningTask` (begun), `EndedTask`. What never changes about an attempt is its `TaskScheduled` event, held as
`spec`.
"""

from typing import Final, TypeAlias

import msgspec
from immutables import Map

from engine.commands import Parent, is_same_task
from engine.events import GoingOn, TaskScheduled, WorkflowStarted
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.limiter.ids import LimiterId
from engine.limiter.limits import Limits
from engine.status import WORKFLOW_TERMINAL, TaskStatus, WorkflowStatus


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened to an attempt so far. Instants are 0 while they have not happened.

    `answered`: Podium has done its part of an `asyncComplete` task, which somebody else ends.
    Of a sub-workflow: `child_run` is its newest run that the task knows of; `told` counts the commands that it was
    sent, and `asked` is the newest of them that asked it to go on: an end from before that has been overtaken.
    """

    started_at_ms: int = 0
    updated_at_ms: int = 0
    worker_id: str = ""
    poll_count: int = 0
    output: JsonObject = {}
    reason: str = ""
    callback_after_seconds: int = 0
    child_id: WorkflowId | None = None
    answered: bool = False
    child_run: int = 0
    told: int = 0
    asked: int = 0


class PendingTask(msgspec.Struct, frozen=True, kw_only=True, tag="p", omit_defaults=True):
    """Scheduled. `due_at_ms` is 0 once it may begin; before, it is the instant at which it may.

    `awaits_slot`: whenever that is, it must not begin before its limiter lets it.
    """

    spec: TaskScheduled
    due_at_ms: int
    progress: TaskProgress
    awaits_slot: bool = False


class RunningTask(msgspec.Struct, frozen=True, kw_only=True, tag="r"):
    """In progress."""

    spec: TaskScheduled
    progress: TaskProgress


class EndedTask(msgspec.Struct, frozen=True, kw_only=True, tag="e"):
    """Ended. `final` is False when a further attempt followed."""

    spec: TaskScheduled
    progress: TaskProgress
    status: TaskStatus
    ended_at_ms: int
    final: bool


Task: TypeAlias = PendingTask | RunningTask | EndedTask
OpenTask: TypeAlias = PendingTask | RunningTask


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What an open attempt, or the workflow itself, has from a limiter or waits for. `obtained_at_ms` is 0 till then.

    `seq` is the number under which the limiter knows it, `limits` are those that the workflow knows of. Of a workflow's
    own: `key` is what its `rateLimitKey` came to, `going_on` says how it goes on if it runs again, and `in_pause` that
    the slot came during a pause which is not over: the workflow has still to go on.
    """

    seq: TaskSeq
    limiter_id: LimiterId
    limits: Limits
    since_ms: int
    obtained_at_ms: int = 0
    key: str = ""
    going_on: GoingOn | None = None
    in_pause: bool = False


OWN_SLOT: Final = TaskSeq(0)
"""Stands for the workflow itself where an attempt's number names a slot: attempts count from 1."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of a FORK or a DO_WHILE. `open_count` counts the open tasks in it, nested ones too.

    For a loop, `iteration` is the pass that runs or was the last, `first_seq` the number of its first attempt, and
    `kept` where each pass begins that is kept, oldest first, if the loop keeps only its last ones.
    """

    parent: RefName
    open_count: int
    iteration: int = 0
    first_seq: TaskSeq = TaskSeq(0)
    kept: tuple[TaskSeq, ...] = ()


SEEN_MESSAGES_MAX: Final = 1_000
"""Ids of messages that a workflow remembers. Not fewer than may wait, so that none of those is taken in twice."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a workflow that no task has taken yet."""

    message_id: str
    payload: JsonObject
    received_at_ms: int
    size_bytes: int


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """The messages to a workflow.

    `waiting` are those that no task has taken, oldest first, `seen` the ids of the last ones that came, taken or not.
    `pulls` names the attempts that wait for messages, the first one first; some of them may have ended otherwise.
    """

    waiting: tuple[Message, ...] = ()
    waiting_bytes: int = 0
    seen: tuple[str, ...] = ()
    pulls: tuple[TaskSeq, ...] = ()


EMPTY_INBOX: Final = Inbox()


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for a workflow which another has started, and how much the workflow has heard of it."""

    parent: Parent
    heard: int = 0


class WorkflowState(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow at one moment.

    `tasks` holds every attempt of the present run by number, `latest` the newest attempt of each reference name, and
    `newest` that of each name in the definition whose task runs under others, in loops, unless its pass is forgotten
    or it was skipped.
    `scopes` counts what is open per FORK and loop, and `open_count` in all. `missing` counts per open JOIN (by its
    number) the awaited refs that have not ended for good, and `awaited` tells which JOINs await a ref, or did. `loops`
    holds each open loop by number, with the pass whose condition a script is asked about, 0 for none. `slots` holds,
    per open attempt of a limited kind, what it has from its limiter, and under `OWN_SLOT` what the workflow has.
    `clock_from_ms` is where the workflow's own timeout starts. `held` names the attempts that ended during a pause,
    oldest first. `version` counts the events. `failed_seq` is the attempt that brought the workflow down.
    `run` counts how often it has begun to run again, and `heard` what its parent has told it. `attached` are the tasks
    that wait for this workflow without having started it.
    """

    started: WorkflowStarted
    status: WorkflowStatus
    tasks: Map[TaskSeq, Task]
    latest: Map[RefName, TaskSeq]
    newest: Map[RefName, TaskSeq]
    scopes: Map[RefName, Scope]
    missing: Map[TaskSeq, int]
    awaited: Map[RefName, tuple[TaskSeq, ...]]
    loops: Map[TaskSeq, int]
    slots: Map[TaskSeq, Slot]
    variables: JsonObject
    output: JsonObject
    reason: str
    failed_refs: tuple[RefName, ...]
    failed_names: tuple[str, ...]
    failed_seq: TaskSeq | None
    held: tuple[TaskSeq, ...]
    open_count: int
    last_seq: TaskSeq
    version: int
    created_at_ms: int
    updated_at_ms: int
    ended_at_ms: int
    clock_from_ms: int
    last_retried_at_ms: int
    run: int = 0
    heard: int = 0
    attached: tuple[Attached, ...] = ()
    inbox: Inbox = EMPTY_INBOX

    @property
    def workflow_id(self) -> WorkflowId:
        """The id of the workflow."""
        return self.started.workflow_id

    @property
    def is_terminal(self) -> bool:
        """Whether the workflow has ended."""
        return self.status in WORKFLOW_TERMINAL

    @property
    def is_queued(self) -> bool:
        """Whether the whole workflow waits for a slot: nothing is entered until it comes.

        Open meanwhile is at most what needs nobody to enter it: a sub-workflow that runs again by itself, or a loop.
        """
        own = self.slots.get(OWN_SLOT)
        return own is not None and not own.obtained_at_ms

    @property
    def parents(self) -> tuple[Parent, ...]:
        """The tasks that wait for the workflow: the one that started it, if one did, first."""
        attached = tuple(one.parent for one in self.attached)
        return attached if self.started.parent is None else (self.started.parent, *attached)

    def heard_of(self, parent: Parent) -> int:
        """Return what the workflow has heard of a task that waits for it."""
        found = (one.heard for one in self.attached if is_same_task(one.parent, parent))
        return self.heard if is_same_task(self.started.parent, parent) else next(found, 0)

    def task(self, ref: RefName) -> Task | None:
        """Return the newest attempt of a reference name, or None if it was never scheduled."""
        seq = self.latest.get(ref)
        return None if seq is None else self.tasks[seq]

    def named(self, ref: RefName) -> Task | None:
        """Return the newest attempt of a reference name, which may come without its loop suffix."""
        seq = self.latest.get(ref)
        if seq is None:
            seq = self.newest.get(ref)
        return None if seq is None else self.tasks[seq]


def status_of(task: Task) -> TaskStatus:
    """Return the status of an attempt as the wire spells it."""
    match task:
        case EndedTask():
            return task.status
        case RunningTask():
            return TaskStatus.IN_PROGRESS
        case PendingTask():
            return TaskStatus.SCHEDULED


def id_of(state: WorkflowState, task: Task) -> TaskId:
    """Return the id of an attempt."""
    return task_id(state.workflow_id, task.spec.seq)


def open_tasks(state: WorkflowState) -> list[OpenTask]:
    """Return the tasks that have not ended, oldest first. Costs the length of the workflow: not for the hot path."""
    found = [task for task in state.tasks.values() if not isinstance(task, EndedTask)]
    found.sort(key=lambda task: task.spec.seq)
    return found
