"""What the server answers, as types: workflows, tasks, and what clients get besides definitions.

Holds shapes for the document of the interface. Must not be instantiated to answer: rendering is in `api.wire.workflows`
and `streams.task_wire`, and the hot routes do not pay for validation. Keeps the invariant that the API tests hold every
answer of the running server against these types, so that what is said here is what is sent.

Instants are epoch milliseconds, 0 for what has not happened. A field with a default is left out where it has no value.

Source: conductor-common `Workflow`, `Task`, `WorkflowStatus`, `SignalResponse`, `WorkflowSummary`, `TaskSummary`.
"""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from api.wire.definitions import WorkflowDef, WorkflowTask
from api.wire.workflows import ReturnStrategy
from engine.json_value import JsonObject
from engine.status import TaskStatus, WorkflowStatus

Hit = TypeVar("Hit")


class Shape(BaseModel):
    """What every shape is: camelCase; the text below a field describes it where the name does not say enough."""

    model_config = ConfigDict(alias_generator=to_camel, defer_build=True)


class WaitingFor(Shape):
    """What an open workflow or task waits for. There are more fields, depending on `kind`."""

    model_config = ConfigDict(extra="allow")

    kind: str
    sentence: str
    """The reason in words, with the ids and the times."""


class Task(Shape):
    """One attempt of a task."""

    task_id: str
    workflow_instance_id: str
    task_type: str
    task_def_name: str
    reference_task_name: str
    """The name within the workflow; in a loop with `__` and the iteration behind."""
    status: TaskStatus
    input_data: JsonObject
    output_data: JsonObject
    workflow_type: str
    """The name of the workflow's definition."""
    seq: int
    """Place in the order of scheduling, from 1."""
    retry_count: int
    poll_count: int
    iteration: int
    """Of the loop, from 1; 0 outside loops."""
    loop_over_task: bool
    scheduled_time: int
    start_time: int
    end_time: int
    update_time: int
    first_start_time: int
    queue_wait_time: int
    """Milliseconds between scheduling and start."""
    start_delay_in_seconds: int
    callback_after_seconds: int
    response_timeout_seconds: int
    """How long the worker may be silent; 0 for ever."""
    workflow_priority: int
    retried: bool
    executed: bool
    callback_from_worker: bool
    subworkflow_changed: bool
    rate_limit_per_frequency: int
    rate_limit_frequency_in_seconds: int
    workflow_task: WorkflowTask | None = None
    """The task as the definition has it."""
    correlation_id: str | None = None
    worker_id: str | None = None
    reason_for_incompletion: str | None = None
    domain: str | None = None
    retried_task_id: str | None = None
    sub_workflow_id: str | None = None
    isolation_group_id: str | None = None
    execution_name_space: str | None = None
    runtime_metadata: JsonObject | None = None
    """The secrets and environment values that the worker asked for. Only in the answer of a poll."""
    waiting_for: WaitingFor | None = None


class Workflow(Shape):
    """A workflow with its tasks."""

    workflow_id: str
    workflow_name: str
    workflow_version: int
    status: WorkflowStatus
    create_time: int
    update_time: int
    start_time: int
    end_time: int
    last_retried_time: int
    priority: int
    input: JsonObject
    output: JsonObject
    variables: JsonObject
    task_to_domain: dict[str, str]
    failed_reference_task_names: list[str]
    failed_task_names: list[str]
    tasks: list[Task]
    """Every attempt of the present run, in the order of scheduling."""
    history: list[JsonObject]
    """Always empty: earlier runs are in the history."""
    rate_limited: bool
    workflow_definition: WorkflowDef
    """The definition that this workflow runs by, whatever was registered since."""
    correlation_id: str | None = None
    reason_for_incompletion: str | None = None
    event: str | None = None
    """What started it, if that was no caller."""
    created_by: str | None = None
    idempotency_key: str | None = None
    owner_app: str | None = None
    parent_workflow_id: str | None = None
    parent_workflow_task_id: str | None = None
    waiting_for: WaitingFor | None = None


class Rehearsal(Shape):
    """How a rehearsal went."""

    end: str
    sentence: str
    decisions: int
    virtual_ms: int
    """How much time would have passed."""
    workflows: list[Workflow]
    """The sub-workflows that it started."""


class RehearsedWorkflow(Workflow):
    """A workflow as its rehearsal has left it."""

    rehearsal: Rehearsal


class WorkflowState(Shape):
    """The little that pollers need."""

    workflow_id: str
    status: WorkflowStatus
    correlation_id: str | None = None
    output: JsonObject | None = None
    variables: JsonObject | None = None


class SignalResponse(Shape):
    """What a workflow has come to: the workflow, or the task that waits, as the return strategy says.

    With `BLOCKING_TASK` and `BLOCKING_TASK_INPUT` the fields of Task are there as well.
    """

    model_config = ConfigDict(extra="allow")

    response_type: ReturnStrategy
    target_workflow_id: str
    target_workflow_status: WorkflowStatus
    workflow_id: str
    input: JsonObject
    output: JsonObject
    status: str
    request_id: str | None = None
    correlation_id: str | None = None
    signal_timeout: bool | None = None
    """Whether the time was over before the workflow settled."""
    priority: int | None = None
    variables: JsonObject | None = None
    tasks: list[Task] | None = None
    create_time: int | None = None
    update_time: int | None = None
    created_by: str | None = None
    reason_for_incompletion: str | None = None


class WorkflowSummary(Shape):
    """A workflow as a search shows it. Times are texts, input and output are JSON as text."""

    workflow_id: str
    workflow_type: str
    version: int
    start_time: str
    update_time: str
    status: WorkflowStatus
    input: str
    output: str
    input_size: int
    output_size: int
    execution_time: int
    """Milliseconds."""
    failed_reference_task_names: str
    """With commas between."""
    priority: int
    parent_workflow_id: str
    end_time: str | None = None
    correlation_id: str | None = None
    reason_for_incompletion: str | None = None
    event: str | None = None
    failed_task_names: list[str] | None = None
    created_by: str | None = None
    idempotency_key: str | None = None
    task_to_domain: dict[str, str] | None = None


class TaskSummary(Shape):
    """An attempt of a task as a search shows it. Times are texts, input and output are JSON as text."""

    workflow_id: str
    workflow_type: str
    scheduled_time: str
    update_time: str
    status: TaskStatus
    execution_time: int
    """Milliseconds."""
    queue_wait_time: int
    """Milliseconds."""
    task_def_name: str
    task_type: str
    input: str
    output: str
    task_id: str
    task_reference_name: str
    workflow_priority: int
    correlation_id: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    reason_for_incompletion: str | None = None
    domain: str | None = None


class _Page(Shape, Generic[Hit]):
    total_hits: int
    """Of all pages."""
    results: list[Hit]


class WorkflowPage(_Page[Workflow]):
    """A page of the workflows that were found, without their tasks."""


class WorkflowSummaryPage(_Page[WorkflowSummary]):
    """A page of the workflows that were found."""


class TaskPage(_Page[Task]):
    """A page of the attempts of tasks that were found."""


class TaskSummaryPage(_Page[TaskSummary]):
    """A page of the attempts of tasks that were found."""
