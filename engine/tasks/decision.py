"""DECISION: the older SWITCH. An empty case falls back to the default here.

`caseExpression` is a JavaScript expression over the input; else `caseValueParam` names an input key.
Source: Conductor's `DecisionTaskMapper`.
"""

from engine.draft import Attempt, Draft
from engine.errors import ExpressionError
from engine.graph import Node
from engine.inputs import task_input
from engine.tasks.switch import case_of, evaluated, refuse, take


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
    take(
        draft,
        node,
        attempt,
        given={**given, "case": case},
        branch=task.decision_cases.get(case) or task.default_case,
        output={"caseOutput": [case]},
    )
