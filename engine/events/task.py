"""What happens to the attempts of its tasks.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

import msgspec

from engine.deferral import Deferral
from engine.events.shape import EventShape
from engine.ids import DefinitionHash, RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.status import TaskStatus


class TaskTimeouts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The time that an attempt has. 0 means no bound. `total_ms` runs from the first attempt's scheduling."""

    run_ms: int = 0
    response_ms: int = 0
    poll_ms: int = 0
    total_ms: int = 0


class TaskScheduled(EventShape, frozen=True, kw_only=True, tag="task_scheduled"):
    """An attempt of a task exists. It stays in the state as the task's identity; see `engine.model`.

    `ref` carries the loop suffix, `node` is the reference name in the definition. `scope` is the ref of the innermost
    FORK or DO_WHILE around it ("" for none); `opens_scope` says that it is one itself, and `repeats` that its inside
    runs in passes. `due_at_ms` > `at_ms` means that it may begin only then. `dispatch` names who does it, in the words
    of `engine.dispatch`. A task that stands in no definition is branch number `branch` of the dynamic fork `forked_by`.
    `deferred` says where in the input the references to secrets and to the environment stand.
    `given` is an input that somebody gave it in place of what its definition says; further attempts have it too.
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
    deferred: tuple[Deferral, ...] = ()
    given: JsonObject | None = None
    cache_key: str = ""
    cache_ms: int = 0


class TaskReleased(EventShape, frozen=True, kw_only=True, tag="task_released"):
    """The delay of a scheduled attempt is over: it may be handed out."""

    at_ms: int
    seq: TaskSeq


class TaskStarted(EventShape, frozen=True, kw_only=True, tag="task_started"):
    """An attempt is being worked on: by a worker, or by the engine itself (WAIT, JOIN, SUB_WORKFLOW).

    `at_ms` is when a worker says that it began, if that was before the decision.
    """

    at_ms: int
    seq: TaskSeq
    worker_id: str = ""
    child_id: WorkflowId | None = None


class LeaseExtended(EventShape, frozen=True, kw_only=True, tag="lease_extended"):
    """The worker says it is alive: the response timeout runs anew."""

    at_ms: int
    seq: TaskSeq


class TaskPostponed(EventShape, frozen=True, kw_only=True, tag="task_postponed"):
    """The worker reported progress and gave the attempt back: it is handed out again at `due_at_ms`."""

    at_ms: int
    seq: TaskSeq
    output: JsonObject = {}
    worker_id: str = ""
    reason: str = ""
    due_at_ms: int = 0
    callback_after_seconds: int = 0


class TaskOutputUpdated(EventShape, frozen=True, kw_only=True, tag="task_output_updated"):
    """A task that no worker holds (WAIT, HUMAN, HTTP, SUB_WORKFLOW) has a new output, and is still open.

    `answered`: Podium has done its part, an HTTP request; somebody else ends the task.
    """

    at_ms: int
    seq: TaskSeq
    output: JsonObject = {}
    answered: bool = False


class TaskEnded(EventShape, frozen=True, kw_only=True, tag="task_ended"):
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


class TaskRevived(EventShape, frozen=True, kw_only=True, tag="task_revived"):
    """The attempt waits for its sub-workflow again, which had ended and runs again in run `child_run`.

    With `child_run` 0 that is still to come: the parent asks for it.
    """

    at_ms: int
    seq: TaskSeq
    child_run: int = 0


class TasksDropped(EventShape, frozen=True, kw_only=True, tag="tasks_dropped"):
    """These attempts are gone from the state: they will be done anew, or not at all. None of them is open.

    `passes` says of loops around them, by the name under which they run, in which pass they are now.
    """

    at_ms: int
    seqs: tuple[TaskSeq, ...]
    passes: dict[RefName, int] = {}


class ResultIgnored(EventShape, frozen=True, kw_only=True, tag="result_ignored"):
    """A report for an attempt came too late, or came twice. It changed nothing; the reason is kept."""

    at_ms: int
    seq: TaskSeq
    status: TaskStatus
    reason: str
