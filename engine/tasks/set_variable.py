"""SET_VARIABLE: each key of its input becomes, or overwrites, a variable of the workflow.

Source: Conductor's `SetVariable`; the bound on all variables together is the same 256 KB.
"""

import msgspec

from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.events import VariablesSet
from engine.graph import Node
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.scheduling import schedule_task
from engine.status import TaskStatus


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Set the variables, unless all of them together would become too large."""
    given = task_input(draft, node.task, None)
    seq = schedule_task(draft, node, attempt, task_input=given)
    problem = too_large(draft, given)
    if problem:
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, problem)
        return
    if given:
        draft.emit(VariablesSet(at_ms=draft.now_ms, variables=given))
    succeed(draft, seq, {})


def too_large(draft: Draft, given: JsonObject) -> str:
    """Say why variables cannot be set because all of them together would be too large, or nothing."""
    bound = draft.context.limits.variables_bytes_max
    size = len(msgspec.json.encode({**draft.state.variables, **given}))
    if size <= bound:
        return ""
    return (
        f"The variables of workflow {draft.state.workflow_id} would take {size} bytes and may take {bound}: "
        f"nothing was set. Keep large values in task outputs."
    )
