"""SWITCH: takes the case that its expression names, else the default.

`value-param` names an input key; `javascript` evaluates an expression over the input (`$`), at once if it is simple,
else by a script. A case that is there with an empty list means: do nothing. Source: Conductor's `SwitchTaskMapper`.
"""

from collections.abc import Callable, Sequence

from engine.commands import ReportTaskResult
from engine.definitions import WorkflowTask
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.errors import ExpressionError
from engine.expressions.simple import EvaluationFailed, NotSimple, evaluate, text_of
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.model import OpenTask, Task
from engine.scheduling import schedule_task
from engine.scripts import EVALUATORS, schedule_script
from engine.status import TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Evaluate, end the SWITCH and enter the chosen case, or go on behind the SWITCH if that is empty."""
    task = node.task
    given = task_input(draft, task, None)
    try:
        case = selected_case(task, given)
    except NotSimple:
        schedule_script(draft, node, attempt, given)
        return
    except ExpressionError as error:
        refuse(draft, node, attempt, given, str(error))
        return
    end(draft, node, attempt, given=given, case=case, branch=_branch(task, case), output=_output(case))


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take a script's answer: end the SWITCH with the case that it names."""
    take_answer(draft, task, result, _output)


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return the head of the chosen case, or what follows the SWITCH if that is empty or none was chosen."""
    case = task.progress.output.get("selectedCase")
    return behind(node, () if case is None else _branch(node.task, case))


def selected_case(task: WorkflowTask, given: JsonObject) -> str:
    """Return the case key: the value of the expression as text (null is `null`).

    Raises:
        NotSimple: a script has to evaluate it.
        ExpressionError: the expression cannot be evaluated, or the evaluator is unknown.
    """
    expression = task.expression or ""
    if task.evaluator_type == "value-param":
        return case_of(given.get(expression))
    if task.evaluator_type in EVALUATORS:
        return case_of(evaluated(expression, given))
    message = f"evaluatorType of {task.task_reference_name} is {task.evaluator_type!r}; known: value-param, javascript"
    raise ExpressionError(message)


def evaluated(expression: str, given: JsonObject) -> JsonValue:
    """Return the value of an expression over a task's input.

    Raises:
        NotSimple: a script has to evaluate it.
        ExpressionError: it cannot be evaluated; says why.
    """
    try:
        return evaluate(expression, given)
    except EvaluationFailed as error:
        message = f"the expression {expression!r} cannot be evaluated: {error}"
        raise ExpressionError(message) from error


def take_answer(draft: Draft, task: OpenTask, result: ReportTaskResult, output_of: Callable[[str], JsonObject]) -> None:
    """End a task with the case that a script has named, or as FAILED if it could not. No retry follows."""
    seq = task.spec.seq
    if result.status is not TaskStatus.COMPLETED:
        fail(draft, seq, TaskStatus.FAILED, f"the expression cannot be evaluated: {result.reason_for_incompletion}")
        return
    try:
        case = case_of((result.output_data or {}).get("result"))
    except ExpressionError as error:
        fail(draft, seq, TaskStatus.FAILED, str(error))
    else:
        succeed(draft, seq, output_of(case))


def case_of(value: JsonValue) -> str:
    """Return the case key that a value selects.

    Raises:
        ExpressionError: the value cannot be turned into text.
    """
    try:
        return text_of(value)
    except EvaluationFailed as error:
        message = f"the value has no text: {error}"
        raise ExpressionError(message) from error


def end(
    draft: Draft,
    node: Node,
    attempt: Attempt,
    *,
    given: JsonObject,
    case: str,
    branch: Sequence[WorkflowTask],
    output: JsonObject,
) -> None:
    """Schedule the task and end it with its choice."""
    given = {**given, "case": case}
    if branch:
        given["hasChildren"] = "true"
    succeed(draft, schedule_task(draft, node, attempt, task_input=given), output)


def behind(node: Node, branch: Sequence[WorkflowTask]) -> Sequence[RefName]:
    """Return what the walk enters behind a task that has chosen a branch."""
    if branch:
        return (branch[0].task_reference_name,)
    return () if node.following is None else (node.following,)


def refuse(draft: Draft, node: Node, attempt: Attempt, given: JsonObject, reason: str) -> None:
    """End the task unsuccessfully because of its expression. No retry follows: it would only fail again."""
    seq = schedule_task(draft, node, attempt, task_input=given)
    fail(draft, seq, TaskStatus.FAILED, reason)


def _output(case: str) -> JsonObject:
    return {"evaluationResult": [case], "selectedCase": case}


def _branch(task: WorkflowTask, case: str) -> Sequence[WorkflowTask]:
    return task.decision_cases.get(case, task.default_case)
