"""DECISION: the older SWITCH. An empty case falls back to the default here.

`caseExpression` is a JavaScript expression over the input; else `caseValueParam` names an input key.
Source: Conductor's `DecisionTaskMapper`.
"""

from collections.abc import Sequence

from engine.definitions import WorkflowTask
from engine.draft import Attempt, Draft
from engine.errors import ExpressionError
from engine.graph import Node
from engine.ids import RefName
from engine.inputs import task_input
from engine.model import Task
from engine.tasks.switch import behind, case_of, end, evaluated, refuse


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Evaluate, end the DECISION and enter the chosen case, or go on behind it if there is nothing to enter."""
    task = node.task
    given = task_input(draft, task, None)
    try:
        if task.case_expression:
            case = case_of(evaluated(task.case_expression, given))
        else:
            case = case_of(given.get(task.case_value_param or ""))
    except ExpressionError as error:
        refuse(draft, node, attempt, given, str(error))
        return
    end(draft, node, attempt, given=given, case=case, branch=_branch(task, case), output={"caseOutput": [case]})


def leads_to(node: Node, task: Task) -> Sequence[RefName]:
    """Return the head of the chosen case, or what follows the DECISION if there is nothing to enter."""
    chosen = task.progress.output.get("caseOutput")
    return behind(node, _branch(node.task, chosen[0]) if chosen else ())


def _branch(task: WorkflowTask, case: str) -> Sequence[WorkflowTask]:
    return task.decision_cases.get(case) or task.default_case
