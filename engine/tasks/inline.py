"""INLINE: JavaScript over the task's input, `$`. Its value is the output's `result`.

An everyday expression is evaluated in the decision itself; anything else by a script, whose answer comes as a report,
as is everything that a secret or the environment is needed for. What goes wrong ends the task for good, with the
reason as `error` in its output.

Source: Conductor's `InlineTaskMapper`, `Inline`, `ValueParamEvaluator`.
"""

from engine.commands import ReportTaskResult
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.expressions.simple import EvaluationFailed, NotSimple, evaluate
from engine.graph import Node
from engine.ids import TaskSeq
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER, delay_of, schedule_task
from engine.scripts import EVALUATORS, EXPRESSION, schedule_script
from engine.status import TaskStatus
from engine.tasks import wait


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Evaluate the expression, or let a script do so."""
    given = task_input(draft, node.task, node.task_definition)
    evaluator, expression = given.get("evaluatorType") or "javascript", given.get(EXPRESSION)
    if not isinstance(expression, str) or not expression.strip():
        _fail(draft, schedule_task(draft, node, attempt, task_input=given), f"{EXPRESSION} of {node.at} is missing")
    elif evaluator == "value-param":
        succeed(draft, schedule_task(draft, node, attempt, task_input=given), {"result": given.get(expression)})
    elif evaluator not in EVALUATORS:
        why = f"evaluatorType of {node.at} should be javascript or value-param and is {evaluator!r}"
        _fail(draft, schedule_task(draft, node, attempt, task_input=given), why)
    elif draft.deferred or delay_of(node, attempt) or not _evaluated(draft, node, attempt, given, expression):
        schedule_script(draft, node, attempt, given)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take the script's answer, or somebody's word in its place."""
    if result.worker_id != ENGINE_WORKER:
        wait.on_update(draft, task, result)
    elif result.status is TaskStatus.COMPLETED:
        succeed(draft, task.spec.seq, {"result": (result.output_data or {}).get("result")})
    else:
        _fail(draft, task.spec.seq, result.reason_for_incompletion or "")


def _evaluated(draft: Draft, node: Node, attempt: Attempt, given: JsonObject, expression: str) -> bool:
    """Evaluate at once and tell whether that was possible."""
    try:
        value = evaluate(expression, given)
    except NotSimple:
        return False
    except EvaluationFailed as error:
        _fail(draft, schedule_task(draft, node, attempt, task_input=given), str(error))
    else:
        succeed(draft, schedule_task(draft, node, attempt, task_input=given), {"result": value})
    return True


def _fail(draft: Draft, seq: TaskSeq, why: str) -> None:
    fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, why, output={"error": why})
