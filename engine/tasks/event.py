"""EVENT: a message to a sink, a topic of Kafka or Podium's internal queue, sent once the decision is in the log.

The message is the task's input with what names the workflow, and becomes the task's output. Its id is that of the
attempt: whoever gets it twice recognises it. The task is over when the sink has acknowledged it; with `asyncComplete`
it then stays open until somebody completes it.

Source: Conductor's `Event`, `EventTaskMapper`.
"""

from typing import Final

from engine.commands import ReportTaskResult
from engine.dispatch import TO_SINK
from engine.draft import Attempt, Draft
from engine.ending import fail
from engine.expressions.references import resolve
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.lookup import StateLookup
from engine.model import OpenTask, WorkflowState
from engine.outside import schedule_outside
from engine.scheduling import schedule_task
from engine.sinks import SinkInvalid, full_name
from engine.status import TaskStatus
from engine.tasks import kafka_publish

SINK: Final = "sink"
PRODUCED: Final = "event_produced"


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule the message and send it, unless it is delayed. A sink that is none fails the task for good."""
    given = task_input(draft, node.task, node.task_definition)
    sink = given.get(SINK)
    if node.task.sink is not None:
        sink = resolve(node.task.sink, StateLookup(draft.state, draft.next_seq()))
    given = {**given, SINK: sink, "asyncComplete": node.task.async_complete or given.get("asyncComplete") is True}
    try:
        full_name(sink, workflow=draft.state.started.name, owner=node.ref)
    except SinkInvalid as error:
        seq = schedule_task(draft, node, attempt, task_input=given)
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, f"{node.at} has no sink: {error}")
        return
    schedule_outside(draft, node, attempt, given, dispatch=TO_SINK)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the publisher's word."""
    kafka_publish.on_update(draft, task, result)


def message_of(state: WorkflowState, task: OpenTask) -> JsonObject:
    """Return what the task sends, and puts out. `event_produced` is the full name of its sink."""
    started, given = state.started, task.spec.input
    return {
        **given,
        "workflowInstanceId": state.workflow_id,
        "workflowType": started.name,
        "workflowVersion": started.version,
        "correlationId": started.correlation_id or None,
        "taskToDomain": started.task_to_domain,
        PRODUCED: full_name(given.get(SINK), workflow=started.name, owner=task.spec.node),
    }
