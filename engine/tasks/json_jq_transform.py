"""JSON_JQ_TRANSFORM: a jq program, `queryExpression`, over the task's whole input.

Output: `result`, the first of its results, and `resultList`, all of them. Source: Conductor's
`JsonJqTransformTaskMapper`, `JsonJqTransform`.
"""

from engine.commands import ReportTaskResult
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.graph import Node
from engine.ids import TaskSeq
from engine.inputs import task_input
from engine.json_value import JsonValue
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, schedule_task
from engine.scripts import QUERY_EXPRESSION, schedule_script
from engine.status import TaskStatus
from engine.tasks import wait


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Let jq compute the results."""
    given = task_input(draft, node.task, node.task_definition)
    source = given.get(QUERY_EXPRESSION)
    if isinstance(source, str) and source.strip():
        schedule_script(draft, node, attempt, given)
    else:
        _fail(draft, schedule_task(draft, node, attempt, task_input=given), f"{QUERY_EXPRESSION} is missing")


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take jq's results, or somebody's word in their place."""
    if result.worker_id != ENGINE_WORKER:
        wait.on_update(draft, task, result)
    elif result.status is TaskStatus.COMPLETED:
        results: JsonValue = (result.output_data or {}).get("result") or []
        listed = results if isinstance(results, list) else [results]
        succeed(draft, task.spec.seq, {"result": listed[0] if listed else None, "resultList": listed})
    else:
        _fail(draft, task.spec.seq, result.reason_for_incompletion or "")


def _fail(draft: Draft, seq: TaskSeq, why: str) -> None:
    fail(draft, seq, TaskStatus.FAILED, why, output={"error": why})
