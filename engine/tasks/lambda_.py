"""LAMBDA: the older INLINE. `scriptExpression` is the body of a function over `$`; what it returns is the `result`.

Source: Conductor's `LambdaTaskMapper`, `Lambda`.
"""

from engine.commands import ReportTaskResult
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.graph import Node
from engine.inputs import task_input
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, schedule_task
from engine.scripts import SCRIPT_EXPRESSION, schedule_script
from engine.status import TaskStatus
from engine.tasks import wait


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Let a script compute the result."""
    given = task_input(draft, node.task, node.task_definition)
    source = given.get(SCRIPT_EXPRESSION)
    if isinstance(source, str) and source.strip():
        schedule_script(draft, node, attempt, given)
        return
    reason = f"{SCRIPT_EXPRESSION} of {node.at} is missing"
    fail(draft, schedule_task(draft, node, attempt, task_input=given), TaskStatus.FAILED_WITH_TERMINAL_ERROR, reason)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the script's answer, or somebody's word in its place."""
    if result.worker_id != ENGINE_WORKER:
        wait.on_update(draft, task, result)
    elif result.status is TaskStatus.COMPLETED:
        succeed(draft, task.spec.seq, {"result": (result.output_data or {}).get("result")})
    else:
        fail(draft, task.spec.seq, TaskStatus.FAILED, result.reason_for_incompletion or "")
