"""Events: what was decided. They are for ever.

Holds the shapes only; what an event changes is in `engine.appliers`. Fields are only ever added, with defaults; a
changed meaning is a new event. Keeps the invariant that a workflow's state is nothing but the fold of its events: no
event needs a definition, a clock or another workflow to be applied.

Instants are `at_ms`, epoch milliseconds of the decision. `seq` names an attempt within its workflow.
"""

from typing import TypeAlias

import msgspec

from engine.commands import Parent
from engine.ids import DefinitionHash, RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.status import TaskStatus, WorkflowStatus


class _Event(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="event"):
    """How every event is spelt."""


class WorkflowStarted(_Event, frozen=True, kw_only=True, tag="workflow_started"):
    """A workflow began. `definition_hash` and `task_definition_hashes` name what it runs by, for ever.

    `graph_key` names all of them together. `definition` stands here only when it came with the start request and was
    never registered. `sub_workflow_versions` holds, for sub-workflows named without a version, the one that was the
    newest. `masked_fields`: whoever shows the workflow to people hides the values of these.
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
    masked_fields: tuple[str, ...] = ()


class WorkflowPaused(_Event, frozen=True, kw_only=True, tag="workflow_paused"):
    """Nothing new is scheduled until the workflow is resumed."""

    at_ms: int


class WorkflowResumed(_Event, frozen=True, kw_only=True, tag="workflow_resumed"):
    """The workflow goes on after a pause; its timeout started anew."""

    at_ms: int


class WorkflowEnded(_Event, frozen=True, kw_only=True, tag="workflow_ended"):
    """The workflow reached a terminal status. `failed_seq` is the attempt that brought it down, if one did."""

    at_ms: int
    status: WorkflowStatus
    output: JsonObject = {}
    reason: str = ""
    failed_refs: tuple[RefName, ...] = ()
    failed_names: tuple[str, ...] = ()
    failed_seq: TaskSeq | None = None


class WorkflowReopened(_Event, frozen=True, kw_only=True, tag="workflow_reopened"):
    """A terminal workflow runs again, keeping its tasks: it is retried. Its timeout started anew."""

    at_ms: int


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
    masked_fields: tuple[str, ...] = ()


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
    The output is kept for `cache_ms`, unless that is 0, for other tasks of the same name whose key is `cache_key`.
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
    cache_key: str = ""
    cache_ms: int = 0


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
    """The sub-workflow of a task that has ended without it shall end too, if it is `is_keyed` only if it began it."""

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId
    reason: str
    is_keyed: bool = False


class ParentAttached(_Event, frozen=True, kw_only=True, tag="parent_attached"):
    """A further SUB_WORKFLOW task waits for this workflow, which its idempotency key stands for."""

    at_ms: int
    parent: Parent


class ChildNamed(_Event, frozen=True, kw_only=True, tag="child_named"):
    """The sub-workflow that a task waits for is this one: another workflow had its idempotency key before."""

    at_ms: int
    seq: TaskSeq
    child_id: WorkflowId


class StartRequested(_Event, frozen=True, kw_only=True, tag="start_requested"):
    """The workflow that a task's input asks for shall start; nobody waits for it."""

    at_ms: int
    seq: TaskSeq
    workflow_id: WorkflowId


Event: TypeAlias = (
    WorkflowStarted
    | WorkflowPaused
    | WorkflowResumed
    | WorkflowEnded
    | WorkflowReopened
    | WorkflowRestarted
    | VariablesSet
    | TaskScheduled
    | TaskReleased
    | TaskStarted
    | LeaseExtended
    | TaskPostponed
    | TaskOutputUpdated
    | TaskEnded
    | PassEntered
    | PassDropped
    | ConditionAsked
    | ResultIgnored
    | ChildTerminationRequested
    | StartRequested
    | ParentAttached
    | ChildNamed
)
