"""KAFKA_PUBLISH: one record into a topic of Kafka, published by Podium itself once the decision is in the log.

The input's `kafka_request` says what, and where. The task is over when the brokers have acknowledged the record; with
`asyncComplete` it then stays open until somebody completes it.

Source: Conductor's `KafkaPublishTask`, `KafkaPublishTaskMapper`.
"""

from typing import Final

from engine.commands import ReportTaskResult
from engine.deadlines import engine_timeouts
from engine.dispatch import TO_SINK
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.events import TaskOutputUpdated
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, delay_of, schedule_task, start_task
from engine.status import TaskStatus
from engine.tasks import wait

REQUEST: Final = "kafka_request"
FAILURE: Final = "Failed to invoke kafka task due to: "
"""How every reason begins. Source: Conductor; dashboards look for it."""


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the publication and begin it, unless it is delayed. A request that names no record fails for good."""
    given = task_input(draft, node.task, node.task_definition)
    problem = _problem(given.get(REQUEST))
    if problem:
        seq = schedule_task(draft, node, attempt, task_input=given)
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, FAILURE + problem)
        return
    publish(draft, node, attempt, given)


def publish(draft: Draft, node: Node, attempt: Attempt, given: JsonObject) -> None:
    """Schedule a task that Podium's publisher does."""
    delay_ms = delay_of(node, attempt)
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        dispatch=TO_SINK,
        delay_ms=delay_ms,
        timeouts=engine_timeouts(node.task_definition),
    )
    if not delay_ms:
        start_task(draft, seq)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the publisher's word. Success leaves an `asyncComplete` task open, as does an IN_PROGRESS."""
    published = result.status is TaskStatus.COMPLETED and result.worker_id == ENGINE_WORKER
    if published and _is_async(draft.node_of(task.spec), task):
        output = result.output_data or {}
        draft.emit(TaskOutputUpdated(at_ms=draft.now_ms, seq=task.spec.seq, output=output, answered=True))
        return
    wait.on_update(draft, task, result)


def _is_async(node: Node, task: OpenTask) -> bool:
    given = task.spec.input
    request = given.get(REQUEST)
    flags = (given, request) if isinstance(request, dict) else (given,)
    return node.task.async_complete or any(flag.get("asyncComplete") is True for flag in flags)


def _problem(request: JsonValue) -> str:
    """Say what is missing in a request, or nothing."""
    if not isinstance(request, dict):
        return f"{REQUEST} should be an object with topic and value and is {request!r:.100}"
    topic = request.get("topic")
    if not isinstance(topic, str) or not topic.strip():
        return f"topic of {REQUEST} should be the name of a topic and is {topic!r:.100}"
    return f"{REQUEST} should have a value" if request.get("value") is None else ""
