"""The rules of task definitions.

Holds `validate_task`. Must not know workflows. Keeps the invariant that a task definition which passes has
delays and timeouts that can be kept.

Source: conductor-common `TaskDef`, `TaskTimeoutConstraint`.
"""

from collections.abc import Iterator
from typing import Final

from engine.definitions import QueueLayout, TaskDef
from engine.expressions.queries import first_names
from engine.expressions.references import (
    DeferredReference,
    Expression,
    InvalidReference,
    QueryReference,
    Reference,
    expressions_of,
)
from engine.validation.violations import Violation, member, minimum_violations, name_violations

QUEUE_PARTITIONS_MAX: Final = 1024
"""More partitions of one task type than this cost more than they bring."""

_MINIMA: Final = {
    "retry_count": 0,
    "retry_delay_seconds": 0,
    "timeout_seconds": 0,
    "response_timeout_seconds": 1,
    "poll_timeout_seconds": 0,
    "total_timeout_seconds": 0,
    "backoff_scale_factor": 1,
    "max_retry_delay_seconds": 0,
    "backoff_jitter_ms": 0,
    "concurrent_exec_limit": 0,
    "rate_limit_per_frequency": 0,
    "rate_limit_frequency_in_seconds": 0,
}
"""Field -> smallest value."""


def validate_task(definition: TaskDef, *, path: str = "") -> tuple[Violation, ...]:
    """Return every rule that a task definition breaks; `path` is where it stands within something larger."""
    return tuple(_violations(definition, path))


def _violations(definition: TaskDef, path: str) -> Iterator[Violation]:
    yield from name_violations(member(path, "name"), definition.name, of="the name of a task definition")
    wire_names = dict(zip(definition.__struct_fields__, definition.__struct_encode_fields__, strict=True))
    for field, minimum in _MINIMA.items():
        name = wire_names[field]
        yield from minimum_violations(member(path, name), getattr(definition, field), minimum, of=name)
    timeout_s, response_s = definition.timeout_seconds, definition.response_timeout_seconds
    if 0 < timeout_s < response_s:
        yield Violation(
            path=member(path, "responseTimeoutSeconds"),
            message=f"responseTimeoutSeconds should be at most timeoutSeconds ({timeout_s}) and is {response_s}",
            invalid_value=response_s,
        )
    total_s = definition.total_timeout_seconds
    if 0 < total_s < timeout_s:
        yield Violation(
            path=member(path, "timeoutSeconds"),
            message=f"timeoutSeconds should be at most totalTimeoutSeconds ({total_s}) and is {timeout_s}",
            invalid_value=timeout_s,
        )
    for expression in expressions_of(definition.input_template):
        if isinstance(expression, InvalidReference):
            where = member(path, "inputTemplate")
            yield Violation(path=where, message=expression.problem, invalid_value=expression.source)
    if definition.queue is not None:
        yield from _queue_violations(definition.queue, member(path, "queue"))


def _queue_violations(queue: QueueLayout, path: str) -> Iterator[Violation]:
    if not 1 <= queue.partitions <= QUEUE_PARTITIONS_MAX:
        yield Violation(
            path=member(path, "partitions"),
            message=f"queue.partitions should be 1 to {QUEUE_PARTITIONS_MAX} and is {queue.partitions}",
            invalid_value=queue.partitions,
        )
    if queue.key is None:
        return
    expressions = list(expressions_of(queue.key))
    if not expressions:
        yield Violation(
            path=member(path, "key"),
            message="queue.key should be an expression over the task's input, such as ${input.videoId}",
            invalid_value=queue.key,
        )
    for expression in expressions:
        if isinstance(expression, InvalidReference):
            yield Violation(path=member(path, "key"), message=expression.problem, invalid_value=queue.key)
        for root in _roots(expression) - {"input", "workflow"}:
            yield Violation(
                path=member(path, "key"),
                message=f"queue.key may name 'input' or 'workflow', not {root!r}",
                invalid_value=queue.key,
            )


def _roots(expression: Expression) -> set[str]:
    """Return what the paths of an expression begin with."""
    match expression:
        case Reference():
            return {expression.path.root}
        case QueryReference():
            return {names[0] for names in first_names(expression.query) if names}
        case DeferredReference():
            return {expression.source}
        case _:
            return set()
