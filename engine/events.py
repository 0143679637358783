"""Events: what was decided. They are for ever.

Holds the shapes only; what an event changes is in `engine.appliers`. Fields are only ever added, with defaults; a
changed meaning is a new event. Keeps the invariant that a workflow's state is nothing but the fold of its events: no
event needs a definition, a clock or another workflow to be applied.

Instants are `at_ms`, epoch milliseconds of the decision. `seq` names an attempt within its workflow.
"""

from typing import TypeAlias

import msgspec

from engine.commands import Parent
from engine.deferral import Deferral
from engine.ids import DefinitionHash, RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.status import TaskStatus, WorkflowStatus


class _Event(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="event"):
    """How every event is spelt."""


class WorkflowStarted(_Event, frozen=True, kw_only=True, tag="workflow_started"):
    """A workflow began. `definition_hash` and `task_definition_hashes` name what it runs by, for ever.

    `graph_key` names all of them together. `definition` stands here only when it came with the start request and was
    never registered. `sub_workflow_versions` holds, for sub-workflows named without a version, the one that was the
    newest.
    """

    at_ms: int
    workflow_id: WorkflowId
    name: str
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    definition: JsonObject | None = None
    input: JsonObject = {}
    variables: JsonObject = {}
    correlation_id: str = ""
    priority: int = 0
    task_to_domain: dict[str, str] = {}
    created_by: str = ""
    trigger: str = ""
    idempotency_key: str = ""
    parent: Parent | None = None
    timeout_ms: int = 0
    generated_id: bool = False


class WorkflowPaused(_Event, frozen=True, kw_only=True, tag="workflow_paused"):
    """Nothing new is scheduled until the workflow is resumed."""

    at_ms: int


class WorkflowResumed(_Event, frozen=True, kw_only=True, tag="workflow_resumed"):
    """The workflow goes on after a pause; its timeout started anew."""

    at_ms: int


class FailureStart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The workflow that starts because another has failed. `version` None: the newest."""

    workflow_id: WorkflowId
    name: str
    version: int | None = None


class WorkflowEnded(_Event, frozen=True, kw_only=True, tag="workflow_ended"):
    """The workflow reached a terminal status. `failed_seq` is the attempt that brought it down, if one did.

    `failure` starts the failure workflow, if there is one. `heard` is what the workflow has heard of its parent, if
    that is why it ended.
    """

    at_ms: int
    status: WorkflowStatus
    output: JsonObject = {}
    reason: str = ""
    failed_refs: tuple[RefName, ...] = ()
    failed_names: tuple[str, ...] = ()
    failed_seq: TaskSeq | None = None
    failure: FailureStart | None = None
    heard: int = 0


class WorkflowReopened(_Event, frozen=True, kw_only=True, tag="workflow_reopened"):
    """A terminal workflow runs again, keeping its tasks: it is retried or rerun. Its timeout started anew.

    `input` and `correlation_id` replace those that it had. `heard`: its parent has told it to.
    """

    at_ms: int
    input: JsonObject | None = None
    correlation_id: str | None = None
    heard: int = 0


class WorkflowRestarted(_Event, frozen=True, kw_only=True, tag="workflow_restarted"):
    """A terminal workflow runs again from its beginning: the tasks of its earlier run are gone from the state."""

    at_ms: int
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    definition: JsonObject | None = None
    variables: JsonObject = {}
    timeout_ms: int = 0
    input: JsonObject | None = None
    correlation_id: str | None = None


class WorkflowUpgraded(_Event, frozen=True, kw_only=True, tag="workflow_upgraded"):
    """The workflow goes on by another version of its definition."""

    at_ms: int
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    input: JsonObject | None = None
    timeout_ms: int = 0


class WorkflowRemoved(_Event, frozen=True, kw_only=True, tag="workflow_removed"):
    """The ended workflow is to be forgotten, wherever it is kept."""

    at_ms: int


class ParentHeeded(_Event, frozen=True, kw_only=True, tag="parent_heeded"):
    """The workflow's parent has told it to go on, and there is nothing to do: it runs, or cannot be retried."""

    at_ms: int
    heard: int


class VariablesSet(_Event, frozen=True, kw_only=True, tag="variables_set"):
    """These workflow variables have new values; the others keep theirs."""

    at_ms: int
    variables: JsonObject


class TaskTimeouts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The time that an attempt has. 0 means no bound. `total_ms` runs from the first attempt's scheduling."""

    run_ms: int = 0
    response_ms: int = 0
    poll_ms: int = 0
    total_ms: int = 0


class TaskScheduled(_Event, frozen=True, kw_only=True, tag="task_scheduled"):
    """An attempt of a task exists. It stays in the state as the task's identity; see `engine.model`.

    `ref` carries the loop suffix, `node` is the reference name in the definition. `scope` is the ref of the innermost
    FORK or DO_WHILE around it ("" for none); `opens_scope` says that it is one itself, and `repeats` that its inside
    runs in passes. `due_at_ms` > `at_ms` means that it may begin only then. `dispatch` names who does it, in the words
    of `engine.dispatch`. A task that stands in no definition is branch number `branch` of the dynamic fork `forked_by`.
    `deferred` says where in the input the references to secrets and to the environment stand.
    `given` is an input that somebody gave it in place of what its definition says; further attempts have it too.
    """

    at_ms: int
    seq: TaskSeq
    ref: RefName
    node: RefName
    name: str
    type: str
    dispatch: str = ""
    attempt: int = 0
    iteration: int = 0
    scope: RefName = RefName("")
    opens_scope: bool = False
    input: JsonObject = {}
    domain: str = ""
    queue_key: str | None = None
    join_on: tuple[RefName, ...] = ()
    awaits_scope: RefName = RefName("")
    due_at_ms: int = 0
    wakes_at_ms: int = 0
    first_scheduled_at_ms: int = 0
    retry_of: TaskSeq | None = None
    timeouts: TaskTimeouts = TaskTimeouts()
    dynamic_definition_hash: DefinitionHash | None = None
    repeats: bool = False
    forked_by: TaskSeq = TaskSeq(0)
    branch: int = 0
    deferred: tuple[Deferral, ...] = ()
    given: JsonObject | None = None


class TaskReleased(_Event, frozen=True, kw_only=True, tag="task_released"):
    """The delay of a scheduled attempt is over: it may be handed out."""

    at_ms: int
    seq: TaskSeq


class TaskStarted(_Event, frozen=True, kw_only=True, tag="task_started"):
    """An attempt is being worked on: by a worker, or by the engine itself (WAIT, JOIN, SUB_WORKFLOW).

    `at_ms` is when a worker says that it began, if that was before the decision.
    """

    at_ms: int
    seq: TaskSeq
    worker_id: str = ""
    child_id: WorkflowId | None = None


class LeaseExtended(_Event, frozen=True, kw_only=True, tag="lease_extended"):
    """The worker says it is alive: the response timeout runs anew."""

    at_ms: int
    seq: TaskSeq


class TaskPostponed(_Event, frozen=True, kw_only=True, tag="task_postponed"):
    """The worker reported progress and gave the attempt back: it is handed out again at `due_at_ms`."""

    at_ms: int
    seq: TaskSeq
    output: JsonObject = {}
    worker_id: str = ""
    reason: str = ""
    due_at_ms: int = 0
    callback_after_seconds: int = 0


class TaskOutputUpdated(_Event, frozen=True, kw_only=True, tag="task_output_updated"):
    """A task that no worker holds (WAIT, HUMAN, HTTP, SUB_WORKFLOW) has a new output, and is still open.

    `answered`: Podium has done its part, an HTTP request; somebody else ends the task.
    """

    at_ms: int
    seq: TaskSeq
    output: JsonObject = {}
    answered: bool = False


class TaskEnded(_Event, frozen=True, kw_only=True, tag="task_ended"):
    """An attempt reached a terminal status. `final`: no further attempt follows it.

    `gather`: the output is not in the event; it is the outputs of the refs that a JOIN awaited, or those of a loop's
    passes, taken from the state.
    `held`: the workflow was paused; what follows from this end is decided when it is resumed.
    """

    at_ms: int
    seq: TaskSeq
    status: TaskStatus
    output: JsonObject = {}
    reason: str = ""
    worker_id: str = ""
    final: bool = True
    gather: bool = False
    held: bool = False
    child_run: int = 0


class TaskRevived(_Event, frozen=True, kw_only=True, tag="task_revived"):
    """The attempt waits for its sub-workflow again, which had ended and runs again in run `child_run`.

    With `child_run` 0 that is still to come: the parent asks for it.
    """

    at_ms: int
    seq: TaskSeq
    child_run: int = 0


class TasksDropped(_Event, frozen=True, kw_only=True, tag="tasks_dropped"):
    """These attempts are gone from the state: they will be done anew, or not at all. None of them is open.

    `passes` says of loops around them, by the name under which they run, in which pass they are now.
    """

    at_ms: int
    seqs: tuple[TaskSeq, ...]
    passes: dict[RefName, int] = {}


class PassEntered(_Event, frozen=True, kw_only=True, tag="pass_entered"):
    """The loop `seq` begins pass number `iteration`.

    `forgettable`: the loop keeps only its last passes, so where this one begins is remembered.
    """

    at_ms: int
    seq: TaskSeq
    iteration: int
    forgettable: bool = False


class PassDropped(_Event, frozen=True, kw_only=True, tag="pass_dropped"):
    """The tasks of the oldest pass that the loop `seq` still kept are gone from the state. They have all ended."""

    at_ms: int
    seq: TaskSeq


class ConditionAsked(_Event, frozen=True, kw_only=True, tag="condition_asked"):
    """Pass `iteration` of the loop `seq` is over; whether another follows, a script has to say."""

    at_ms: int
    seq: TaskSeq
    iteration: int


class ResultIgnored(_Event, frozen=True, kw_only=True, tag="result_ignored"):
    """A report for an attempt came too late, or came twice. It changed nothing; the reason is kept."""

    at_ms: int
    seq: TaskSeq
    status: TaskStatus
    reason: str


class ChildTerminationRequested(_Event, frozen=True, kw_only=True, tag="child_termination_requested"):
    """The sub-workflow of a task that has ended without it shall end too.

    `told` counts what the task has told its child.
    """

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
    reason: str
    told: int = 0


class ChildResumeRequested(_Event, frozen=True, kw_only=True, tag="child_resume_requested"):
    """The sub-workflow of a task that waits for it again shall retry what failed in it."""

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
    told: int


class StartRequested(_Event, frozen=True, kw_only=True, tag="start_requested"):
    """The workflow that a task's input asks for shall start; nobody waits for it."""

    at_ms: int
    seq: TaskSeq
    workflow_id: WorkflowId


class MessageReceived(_Event, frozen=True, kw_only=True, tag="message_received"):
    """Somebody sent the workflow a message. It waits until a task takes it. `size_bytes` is that of its JSON."""

    at_ms: int
    message_id: str
    payload: JsonObject = {}
    size_bytes: int = 0


class MessagesAwaited(_Event, frozen=True, kw_only=True, tag="messages_awaited"):
    """An attempt waits for messages: there were none when it began."""

    at_ms: int
    seq: TaskSeq


class MessagesDelivered(_Event, frozen=True, kw_only=True, tag="messages_delivered"):
    """An attempt took the `count` oldest messages that waited; its end follows in the same decision."""

    at_ms: int
    seq: TaskSeq
    count: int


class MessagePosted(_Event, frozen=True, kw_only=True, tag="message_posted"):
    """A message leaves the workflow for a listener. Whoever gets it twice recognises it by `message_id`.

    `sink` is the full name of where it goes, `payload` its whole content. It is about the attempt `seq`, or about the
    workflow itself (0).
    """

    at_ms: int
    message_id: str
    sink: str
    payload: JsonObject
    seq: TaskSeq = TaskSeq(0)


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
    | MessageReceived
    | MessagesAwaited
    | MessagesDelivered
    | MessagePosted
)
