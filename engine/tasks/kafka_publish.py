"""KAFKA_PUBLISH: one record into a topic of Kafka, published by Podium itself once the decision is in the log.

The input's `kafka_request` says what, and where. The task is over when the brokers have acknowledged the record; with
`asyncComplete` it then stays open until somebody completes it.

Source: Conductor's `KafkaPublishTask`, `KafkaPublishTaskMapper`.
"""

from typing import Final

from engine.commands import ReportTaskResult
from engine.dispatch import TO_SINK
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonValue
from engine.model import OpenTask
from engine.outside import schedule_outside, take_answer
from engine.scheduling import schedule_task
from engine.status import TaskStatus

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
    schedule_outside(draft, node, attempt, given, dispatch=TO_SINK)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the publisher's word."""
    take_answer(draft, task, result, request=REQUEST)


def _problem(request: JsonValue) -> str:
    """Say what is missing in a request, or nothing."""
    if not isinstance(request, dict):
        return f"{REQUEST} should be an object with topic and value and is {request!r:.100}"
    topic = request.get("topic")
    if not isinstance(topic, str) or not topic.strip():
        return f"topic of {REQUEST} should be the name of a topic and is {topic!r:.100}"
    return f"{REQUEST} should have a value" if request.get("value") is None else ""
