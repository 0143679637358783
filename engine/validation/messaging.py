"""The rules of what sends messages out of a workflow, and takes them in.

Holds the rules of the task types EVENT, KAFKA_PUBLISH and PULL_WORKFLOW_MESSAGES, and of listeners. Must not know what
is behind a sink. Keeps the invariant that what is written down literally is checked; an expression is looked at when
it has its value.
"""

from collections.abc import Iterator
from typing import Final

from engine.definitions import WorkflowDef, WorkflowTask
from engine.expressions.references import has_expression
from engine.json_value import JsonValue
from engine.sinks import SinkInvalid, full_name
from engine.validation.violations import Violation, member
from engine.validation.walk import Placed

STATE_CHANGES: Final = ("onScheduled", "onStart", "onSuccess", "onFailed", "onCancelled")
"""What an `onStateChange` may name. Source: conductor-common `StateChangeEventType`."""


def event(placed: Placed) -> Iterator[Violation]:
    """Yield what is wrong with an EVENT."""
    sink = placed.task.sink
    if sink is None:
        sink = placed.task.input_parameters.get("sink")
    if sink is None or sink == "":
        yield Violation(path=f"{placed.path}.sink", message="an EVENT needs a sink")
    else:
        yield from _sink(f"{placed.path}.sink", sink)


def kafka_publish(placed: Placed) -> Iterator[Violation]:
    """Yield what is wrong with a KAFKA_PUBLISH."""
    definition = placed.task.task_definition
    template = {} if definition is None else definition.input_template
    request = placed.task.input_parameters.get("kafka_request", template.get("kafka_request"))
    path = f"{placed.path}.inputParameters.kafka_request"
    if not isinstance(request, dict):
        if not has_expression(request):
            message = "a KAFKA_PUBLISH needs kafka_request, an object with topic and value, in its inputParameters"
            yield Violation(path=path, message=message, invalid_value=request)
        return
    for key in ("topic", "value"):
        if request.get(key) in (None, ""):
            yield Violation(path=f"{path}.{key}", message=f"kafka_request needs a {key}")


def pull_workflow_messages(placed: Placed) -> Iterator[Violation]:
    """Yield what is wrong with a PULL_WORKFLOW_MESSAGES."""
    size = placed.task.input_parameters.get("batchSize")
    if size is None or has_expression(size):
        return
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        message = f"batchSize should be a number from 1 on and is {size!r}"
        yield Violation(path=f"{placed.path}.inputParameters.batchSize", message=message, invalid_value=size)


def workflow_listener(definition: WorkflowDef, path: str) -> Iterator[Violation]:
    """Yield what is wrong with the sink of a workflow's status listener."""
    sink = definition.workflow_status_listener_sink
    if sink:
        yield from _sink(member(path, "workflowStatusListenerSink"), sink, webhooks=True)


def state_changes(task: WorkflowTask, path: str) -> Iterator[Violation]:
    """Yield what is wrong with the messages that a task sends when its status changes."""
    for key, posted in task.on_state_change.items():
        where = f"{path}.onStateChange.{key}"
        for name in key.split(","):
            if name.strip() not in STATE_CHANGES:
                message = f"onStateChange knows {', '.join(STATE_CHANGES)}, not {name.strip()!r}"
                yield Violation(path=where, message=message, invalid_value=key)
        if not isinstance(posted, list | tuple):
            yield Violation(path=where, message="should be a list of objects with type and payload")
            continue
        for position, one in enumerate(posted):
            yield from _posted(f"{where}[{position}]", one)


def _posted(path: str, one: JsonValue) -> Iterator[Violation]:
    kind = one.get("type") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(kind, str) or not kind.strip():
        yield Violation(path=path, message="should be an object with type, a text, and payload", invalid_value=one)
    elif not isinstance(one.get("payload", {}), dict | None):
        yield Violation(path=f"{path}.payload", message="should be an object", invalid_value=one.get("payload"))
    elif ":" in kind:
        yield from _sink(f"{path}.type", kind, webhooks=True)


def _sink(path: str, sink: JsonValue, *, webhooks: bool = False) -> Iterator[Violation]:
    if has_expression(sink):
        return
    try:
        full_name(sink, workflow="workflow", owner="task", webhooks=webhooks)
    except SinkInvalid as error:
        yield Violation(path=path, message=str(error), invalid_value=sink)
