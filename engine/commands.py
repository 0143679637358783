"""Commands: what clients, workers and the shell ask of a workflow. One JSON object each on the `commands` topic.

Holds the shapes only; what a command does is in `engine.deciders`. Those to limiters are in
`engine.limiter.commands`. The field names are Conductor's, so that a start request or a task result of an existing
client is a command once `command` is added to it. Unknown fields are ignored.
Keeps the invariant that each command names its workflow, except a start without `workflowId`, whose id is then the
record's key.

Source: conductor-common `StartWorkflowRequest`, `TaskResult`, `SkipTaskRequest`.
"""

from typing import TypeAlias

import msgspec

from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, keyed_workflow_id
from engine.json_value import JsonObject
from engine.limiter.commands import LimiterCommand, ToLimiter
from engine.limiter.ids import LimiterId
from engine.status import TaskStatus, WorkflowStatus


class Parent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The SUB_WORKFLOW task that waits for a workflow. `depth` counts the ancestors."""

    workflow_id: WorkflowId
    task_seq: TaskSeq
    depth: int = 1


def is_same_task(one: Parent | None, other: Parent | None) -> bool:
    """Tell whether two parents are the same task: then a start came twice."""
    return (
        one is not None and other is not None and (one.workflow_id, one.task_seq) == (other.workflow_id, other.task_seq)
    )


class _Command(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="command"):
    """How every command is spelt."""


class StartWorkflow(_Command, frozen=True, kw_only=True, tag="start_workflow"):
    """Start a workflow. The same `workflow_id` a second time meets the first.

    With an `idempotency_key` the id follows from name and key, and `idempotency_strategy` says what a second start
    comes to; see `engine.idempotency`. Such a start must not name an id itself.
    `generated_id`: Podium itself made the id, nobody can ask for it a second time. `starter`: the task that does not
    wait for the workflow's end but wants to know which one it is.
    """

    name: str
    workflow_id: WorkflowId | None = None
    version: int | None = None
    correlation_id: str | None = None
    input: JsonObject | None = None
    task_to_domain: dict[str, str] | None = None
    workflow_def: JsonObject | None = None
    external_input_payload_storage_path: str | None = None
    priority: int | None = None
    created_by: str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: str | None = None
    event: str | None = None
    parent: Parent | None = None
    starter: Parent | None = None
    generated_id: bool = False
    request_id: str | None = None


class ReportTaskResult(_Command, frozen=True, kw_only=True, tag="task_result"):
    """Say how an attempt went. `extend_lease` restarts its response timeout and nothing else."""

    workflow_instance_id: WorkflowId
    task_id: TaskId
    status: TaskStatus | None = None
    output_data: JsonObject | None = None
    reason_for_incompletion: str | None = None
    callback_after_seconds: int | None = None
    worker_id: str | None = None
    extend_lease: bool | None = None
    sub_workflow_id: str | None = None
    external_output_payload_storage_path: str | None = None
    request_id: str | None = None


class ClaimTask(_Command, frozen=True, kw_only=True, tag="claim_task"):
    """Say that a worker has begun an attempt: its response timeout runs from `claimed_at_ms`."""

    workflow_instance_id: WorkflowId
    task_id: TaskId
    worker_id: str = ""
    claimed_at_ms: int = 0
    request_id: str | None = None


class UpdateTaskByRef(_Command, frozen=True, kw_only=True, tag="update_task"):
    """Say how the open task of a reference name went; the ref may come without its loop suffix.

    With `ref_name=None` the first waiting WAIT or HUMAN task is meant (a signal). The output is merged into what is
    there.
    """

    workflow_id: WorkflowId
    ref_name: RefName | None
    status: TaskStatus
    output: JsonObject = {}
    worker_id: str = ""
    request_id: str | None = None


class PauseWorkflow(_Command, frozen=True, kw_only=True, tag="pause_workflow"):
    """Schedule nothing new until resumed. Tasks that are out with workers may still end."""

    workflow_id: WorkflowId
    request_id: str | None = None


class ResumeWorkflow(_Command, frozen=True, kw_only=True, tag="resume_workflow"):
    """Go on after a pause. The workflow's timeout starts anew."""

    workflow_id: WorkflowId
    request_id: str | None = None


class TerminateWorkflow(_Command, frozen=True, kw_only=True, tag="terminate_workflow"):
    """End a workflow as TERMINATED and cancel what is open in it, its sub-workflows too.

    `parent`: the task that no longer waits for it. If another one started it, nothing happens. `told`, where a parent
    sends it, counts what the parent has told this child: what comes a second time is not heard.
    """

    workflow_id: WorkflowId
    reason: str | None = None
    trigger_failure_workflow: bool = False
    parent: Parent | None = None
    told: int = 0
    request_id: str | None = None


class RetryWorkflow(_Command, frozen=True, kw_only=True, tag="retry_workflow"):
    """Give each task that ended a workflow unsuccessfully a further attempt.

    With `resume_subworkflow_tasks` a sub-workflow that ended so is retried itself, instead of starting another.
    """

    workflow_id: WorkflowId
    resume_subworkflow_tasks: bool = False
    request_id: str | None = None


class RestartWorkflow(_Command, frozen=True, kw_only=True, tag="restart_workflow"):
    """Run an ended workflow again from its beginning, under the same id and with the same input."""

    workflow_id: WorkflowId
    use_latest_definitions: bool = False
    request_id: str | None = None


class RerunWorkflow(_Command, frozen=True, kw_only=True, tag="rerun_workflow"):
    """Run an ended workflow again from one of its tasks on; from its beginning if no task is named.

    What does not follow that task stays. `task_input` replaces that task's input, `workflow_input` the workflow's.
    """

    workflow_id: WorkflowId
    re_run_from_task_id: TaskId | None = None
    task_input: JsonObject | None = None
    workflow_input: JsonObject | None = None
    correlation_id: str | None = None
    request_id: str | None = None


class JumpToTask(_Command, frozen=True, kw_only=True, tag="jump_to_task"):
    """Go on with a task of the definition, whatever stands before it or has followed it."""

    workflow_id: WorkflowId
    task_reference_name: RefName
    task_input: JsonObject | None = None
    request_id: str | None = None


class UpdateVariables(_Command, frozen=True, kw_only=True, tag="update_variables"):
    """Set variables of a workflow that has not ended; the others keep their values."""

    workflow_id: WorkflowId
    variables: JsonObject
    request_id: str | None = None


class UpdateState(_Command, frozen=True, kw_only=True, tag="update_state"):
    """Set variables and report on the open task of a reference name, in one decision: both or neither."""

    workflow_id: WorkflowId
    variables: JsonObject = {}
    task_reference_name: RefName | None = None
    status: TaskStatus | None = None
    output: JsonObject = {}
    reason: str | None = None
    worker_id: str = ""
    request_id: str | None = None


class UpgradeWorkflow(_Command, frozen=True, kw_only=True, tag="upgrade_workflow"):
    """Let a workflow go on by another version of its definition.

    Tasks that are new, and behind which the workflow already is, are skipped; `task_output` says by reference name
    what they put out.
    """

    workflow_id: WorkflowId
    name: str | None = None
    version: int | None = None
    task_output: dict[RefName, JsonObject] = {}
    workflow_input: JsonObject | None = None
    request_id: str | None = None


class ResetCallbacks(_Command, frozen=True, kw_only=True, tag="reset_callbacks"):
    """Offer the tasks that wait for a delay now: of a retry, of a `startDelay`, or asked for by their worker."""

    workflow_id: WorkflowId
    request_id: str | None = None


class RemoveWorkflow(_Command, frozen=True, kw_only=True, tag="remove_workflow"):
    """Forget a workflow for good, its history too."""

    workflow_id: WorkflowId
    request_id: str | None = None


class SkipTask(_Command, frozen=True, kw_only=True, tag="skip_task"):
    """Step over a task that has not ended yet, as if it had ended with the given output."""

    workflow_id: WorkflowId
    task_reference_name: RefName
    task_input: JsonObject | None = None
    task_output: JsonObject | None = None
    request_id: str | None = None


class SendMessage(_Command, frozen=True, kw_only=True, tag="send_message"):
    """Send a running workflow a message, for a PULL_WORKFLOW_MESSAGES task. The same id a second time does nothing."""

    workflow_id: WorkflowId
    message_id: str
    payload: JsonObject = {}
    request_id: str | None = None


class ReportChildEnd(_Command, frozen=True, kw_only=True, tag="child_ended"):
    """Tell a parent how its sub-workflow ended. Sent by the owner of the child.

    `child_run` says in which of its runs, and `heard` what of its parent's commands the child had heard by then.
    """

    workflow_id: WorkflowId
    task_seq: TaskSeq
    child_id: WorkflowId
    status: WorkflowStatus
    output: JsonObject = {}
    reason: str = ""
    child_run: int = 0
    heard: int = 0
    request_id: str | None = None


class ReviveTask(_Command, frozen=True, kw_only=True, tag="revive_task"):
    """Tell a parent that its sub-workflow, which had ended, runs again. Sent by the owner of the child."""

    workflow_id: WorkflowId
    task_seq: TaskSeq
    child_id: WorkflowId
    child_run: int
    request_id: str | None = None


class ResumeChild(_Command, frozen=True, kw_only=True, tag="resume_child"):
    """Tell a sub-workflow to retry what failed in it. Sent by the owner of the parent, which waits for it again."""

    workflow_id: WorkflowId
    told: int
    parent: Parent
    request_id: str | None = None


class ReportChildStart(_Command, frozen=True, kw_only=True, tag="child_started"):
    """Tell a task which workflow its idempotency key stands for, or why there is none. Sent by the owner of the key."""

    workflow_id: WorkflowId
    task_seq: TaskSeq
    child_id: WorkflowId
    refusal: str = ""
    request_id: str | None = None


class EvaluateWorkflow(_Command, frozen=True, kw_only=True, tag="evaluate_workflow"):
    """Look whether anything is due. Never needed: timers are exact. Conductor's `decide` route sends it."""

    workflow_id: WorkflowId
    request_id: str | None = None


class FireTimer(_Command, frozen=True, kw_only=True, tag="fire_timer"):
    """Say that a deadline of a task, or of the whole workflow (`task_seq` 0), has passed. Made by the owner itself."""

    workflow_id: WorkflowId
    task_seq: TaskSeq
    request_id: str | None = None


class AnswerSlot(_Command, frozen=True, kw_only=True, tag="answer_slot"):
    """Tell whoever asked a limiter that it has its slot, or, with a reason under `refused`, that it gets none."""

    workflow_id: WorkflowId
    seq: TaskSeq
    limiter_id: LimiterId
    refused: str = ""
    request_id: str | None = None


Command: TypeAlias = (
    StartWorkflow
    | ReportTaskResult
    | ClaimTask
    | UpdateTaskByRef
    | PauseWorkflow
    | ResumeWorkflow
    | TerminateWorkflow
    | RetryWorkflow
    | RestartWorkflow
    | RerunWorkflow
    | JumpToTask
    | UpdateVariables
    | UpdateState
    | UpgradeWorkflow
    | ResetCallbacks
    | RemoveWorkflow
    | SkipTask
    | SendMessage
    | ReportChildEnd
    | ReportChildStart
    | ReviveTask
    | ResumeChild
    | EvaluateWorkflow
    | FireTimer
    | AnswerSlot
    | LimiterCommand
)
"""Everything that may stand on the topic."""


def workflow_of(command: Command) -> WorkflowId | None:
    """Return the workflow that a command is for, or the limiter; None for a start that names none, by id or by key."""
    if isinstance(command, ReportTaskResult | ClaimTask):
        return command.workflow_instance_id
    if isinstance(command, ToLimiter):
        return WorkflowId(command.limiter_id)
    if isinstance(command, StartWorkflow) and command.workflow_id is None and command.idempotency_key:
        return keyed_workflow_id(command.name, command.idempotency_key)
    return command.workflow_id


def tag_of(command: Command) -> str:
    """Return the word that stands under `command` on the wire."""
    return str(type(command).__struct_config__.tag)
