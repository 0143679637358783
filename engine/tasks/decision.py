"""DECISION: the older SWITCH. An empty case falls back to the default here.

`caseExpression` is a JavaScript expression over the input; else `caseValueParam` names an input key.
Source: Conductor's `DecisionTaskMapper`.
"""

from collections.abc import Sequence

from engine.commands import ReportTaskResult
from engine.definitions import WorkflowTask
from engine.draft import Attempt, Draft
from engine.errors import ExpressionError
from engine.expressions.simple import NotSimple
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.model import OpenTask, Task
from engine.scripts import schedule_script
from engine.tasks.switch import behind, case_of, end, evaluated, refuse, take_answer


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Evaluate, end the DECISION and enter the chosen case, or go on behind it if there is nothing to enter."""
    task = node.task
    given = task_input(draft, task, None)
    try:
        if task.case_expression:
            case = case_of(evaluated(task.case_expression, given))
        else:
            case = case_of(given.get(task.case_value_param or ""))
    except NotSimple:
        schedule_script(draft, node, attempt, given)
        return
    except ExpressionError as error:
        refuse(draft, node, attempt, given, str(error))
        return
    end(draft, node, attempt, given=given, case=case, branch=_branch(task, case), output=_output(case))


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take a script's answer: end the DECISION with the case that it names."""
    take_answer(draft, task, result, _output)


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return the head of the chosen case, or what follows the DECISION if there is nothing to enter."""
    chosen = task.progress.output.get("caseOutput")
    return behind(node, _branch(node.task, chosen[0]) if chosen else ())


def _output(case: str) -> JsonObject:
    return {"caseOutput": [case]}


def _branch(task: WorkflowTask, case: str) -> Sequence[WorkflowTask]:
    return task.decision_cases.get(case) or task.default_case
