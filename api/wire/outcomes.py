"""What the server answers besides workflows and tasks, as types: outcomes of requests, queues, the server itself.

Holds shapes for the document of the interface. Must not be instantiated to answer. Keeps the invariant of
`api.wire.shapes`: the API tests hold every answer of the running server against these types.

Source: conductor-common `ErrorResponse`, `ValidationError`, `BulkResponse`, `PollData`, `WorkflowDefSummary`.
"""

from api.wire.shapes import Shape
from engine.json_value import JsonObject, JsonValue


class ValidationError(Shape):
    """One broken rule of a request."""

    path: str
    """Where in the body, as `tasks[1].name`."""
    message: str
    invalid_value: JsonValue
    """What stands there; cut where it is long."""


class ErrorResponse(Shape):
    """Why a request is not answered as asked: every answer from 400 on."""

    status: int
    code: str
    """Stable, for programs."""
    message: str
    """For people: what was expected, what came, which id."""
    retryable: bool
    """Whether the same request can succeed later."""
    instance: str | None = None
    """The host that answers."""
    error: str | None = None
    """Of 401: whether another token helps."""
    validation_errors: list[ValidationError] | None = None


class BulkResponse(Shape):
    """How the same action went for each of many."""

    bulk_successful_results: list[str]
    bulk_error_results: dict[str, str]
    """The reason by id."""
    message: str


class WorkflowDefSummary(Shape):
    """A version of a workflow definition."""

    name: str
    version: int
    create_time: int
    update_time: int


class PollData(Shape):
    """Who polled a queue last."""

    queue_name: str
    """The task type."""
    worker_id: str
    last_poll_time: int
    domain: str | None = None


class QueueShard(Shape):
    """How much is in a queue."""

    size: int
    uacked: int
    """Always 0: what was handed out is in no queue."""


class Misfit(Shape):
    """An open task that cannot go on by the other version."""

    ref: str
    why: str


class UpgradeReport(Shape):
    """How a workflow fits another version of its definition."""

    workflow_id: str
    from_version: int
    to_version: int
    fits: list[str]
    """Open tasks that go on."""
    misfits: list[Misfit]
    """Open tasks that cannot go on."""
    forgotten: list[str]
    """Ended tasks that the other version does not have there."""
    renewed: list[str]
    """Open JOINs that begin to wait anew."""
    added: list[str]
    """Tasks that are new."""


class PartitionsHealth(Shape):
    """What the process does for its partitions of the log."""

    deciding: list[int]
    recovering: list[int]
    halted: dict[str, str]
    """Why, by partition."""


class Health(Shape):
    """What is well and what is not."""

    healthy: bool
    """Whether a start would be taken now."""
    log: str
    node: str
    partitions: PartitionsHealth
    history: JsonObject


class Token(Shape):
    """A token for a key."""

    token: str


class RoleName(Shape):
    """A role of the caller."""

    name: str


class Caller(Shape):
    """Who calls, and what it may do."""

    id: str
    name: str
    roles: list[RoleName]
    workflows: list[str]
    """Names, or beginnings of names with `*` behind."""
    task_types: list[str]
    """Names, or beginnings of names with `*` behind."""
