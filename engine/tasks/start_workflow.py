"""START_WORKFLOW: starts another workflow and does not wait for it.

The input's `startWorkflow` is a start request. The id of what it starts is derived from the attempt, so that a repeated
start meets the first; with an `idempotencyKey` the task waits for the word of whoever owns the key. Correlation id and
domains are inherited where the request has none.

Source: Conductor's `StartWorkflow`.
"""

from typing import Final

import msgspec

from engine.commands import StartWorkflow
from engine.definitions import version_text
from engine.draft import Attempt, Draft
from engine.ending import fail, succeed
from engine.events import StartRequested
from engine.graph import Node, inline_definition
from engine.idempotency import problem_of
from engine.ids import keyed_workflow_id, started_workflow_id
from engine.inputs import task_input
from engine.json_value import JsonObject
from engine.scheduling import schedule_task, start_task
from engine.status import TaskStatus
from engine.validation import validate_workflow

REQUEST: Final = "startWorkflow"
_PRIORITY_MAX: Final = 99


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Ask for the start and end the task with the id of what is started."""
    given = task_input(draft, node.task, node.task_definition)
    seq = schedule_task(draft, node, attempt, task_input=given)
    problem = _problem(draft, given)
    if problem:
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, problem)
        return
    name, key = given[REQUEST].get("name"), given[REQUEST].get("idempotencyKey")
    if key:  # which workflow that comes to, only the owner of the key can say: a command will
        start_task(draft, seq)
        draft.emit(StartRequested(at_ms=draft.now_ms, seq=seq, workflow_id=keyed_workflow_id(name, str(key))))
        return
    workflow_id = started_workflow_id(draft.state.workflow_id, seq)
    draft.emit(StartRequested(at_ms=draft.now_ms, seq=seq, workflow_id=workflow_id))
    succeed(draft, seq, {"workflowId": workflow_id})


def _problem(draft: Draft, given: JsonObject) -> str:
    """Say why the start would be refused, or nothing."""
    try:
        request = msgspec.convert(given.get(REQUEST), StartWorkflow, strict=False)
    except msgspec.ValidationError as error:
        return f"{REQUEST} should be a start request with the name of a workflow: {error}"
    if not 0 <= (request.priority or 0) <= _PRIORITY_MAX:
        return f"priority of {REQUEST} should be 0 to {_PRIORITY_MAX} and is {request.priority}"
    if request.idempotency_key:
        problem = problem_of(request.idempotency_key, request.idempotency_strategy)
        if problem:
            return f"{REQUEST}: {problem}"
    if request.workflow_def is not None:
        try:
            violations = validate_workflow(inline_definition(request.workflow_def))
        except msgspec.ValidationError as error:
            return f"workflowDef of {REQUEST}: {error}"
        return "" if not violations else f"workflowDef of {REQUEST}: {violations[0].path}: {violations[0].message}"
    if draft.context.definitions.find_workflow(request.name, request.version) is None:
        wanted = version_text(request.version)
        return f"No such workflow found. name={request.name}, {wanted}: register it, then retry this workflow."
    return ""
