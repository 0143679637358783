"""TERMINATE: ends the workflow with the status, reason and output that its input says.

Source: Conductor's `Terminate`, `DeciderService.getNextTask`.
"""

from collections.abc import Sequence

from engine.draft import Attempt, Draft
from engine.ending import end_workflow, succeed
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.model import Task
from engine.scheduling import schedule_task
from engine.status import WorkflowStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """End the task, then the workflow; whatever else is open in it is cancelled."""
    given = task_input(draft, node.task, None)
    output = _as_output(given.get("workflowOutput"))
    seq = schedule_task(draft, node, attempt, task_input=given)
    succeed(draft, seq, output)
    status = WorkflowStatus(given.get("terminationStatus", WorkflowStatus.COMPLETED))
    reason = given.get("terminationReason")
    end_workflow(draft, status, "" if reason is None else str(reason), output=output)


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return nothing: the workflow has ended here."""
    return ()


def _as_output(value: JsonValue) -> JsonObject:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"output": value}
