"""The failure workflow: which one starts when a workflow fails, and what it is told.

Holds the choice, which a decision makes, and the input, which is made from the ended workflow when the start is sent.
Must not send it. Keeps the invariant that a run of a workflow starts its failure workflow once, however often the
start is sent: its id follows from the failed workflow's and the run.

Source: Conductor's `WorkflowExecutorOps.terminateWorkflow`.
"""

from typing import Final

import msgspec

from engine.commands import StartWorkflow
from engine.context import DefinitionSource
from engine.definitions import WorkflowDef, version_text
from engine.events import FailureStart, WorkflowEnded
from engine.expressions.references import resolve
from engine.ids import failure_workflow_id, task_id
from engine.json_value import JsonObject, JsonValue
from engine.lookup import StateLookup
from engine.model import EndedTask, Task, WorkflowState, id_of, status_of

NOTED: Final = "conductor.failure_workflow"
"""The output key under which a failed workflow says which failure workflow was started, or why none was."""
DOCUMENT_BYTES_MAX: Final = 400_000
"""Of `failedWorkflow` in the input: half of what a command may have. Above it the tasks come without payloads."""


def failure_start(
    state: WorkflowState, definition: WorkflowDef, definitions: DefinitionSource
) -> tuple[FailureStart | None, JsonObject]:
    """Return what is to start because a workflow fails now, and what its output says of that; nothing if nothing is."""
    if not definition.failure_workflow:
        return None, {}
    name = _name(state, definition.failure_workflow)
    version = definition.failure_workflow_version
    if not isinstance(name, str) or not name:
        return None, {NOTED: f"failureWorkflow {definition.failure_workflow!r} should name a workflow, not {name!r}"}
    if definitions.find_workflow(name, version) is None:
        wanted = version_text(version)
        return None, {NOTED: f"No such workflow found. name={name}, {wanted}: no failure workflow was started"}
    workflow_id = failure_workflow_id(state.workflow_id, state.run)
    return FailureStart(workflow_id=workflow_id, name=name, version=version), {NOTED: workflow_id}


def failure_command(state: WorkflowState, ended: WorkflowEnded, failure: FailureStart) -> StartWorkflow:
    """Return the command that starts the failure workflow of a workflow that has ended."""
    started = state.started
    failed_seq = ended.failed_seq
    given: JsonObject = {
        **started.input,
        "workflowId": state.workflow_id,
        "reason": ended.reason,
        "failureStatus": ended.status.value,
        "failedWorkflow": _document(state, ended),
    }
    if failed_seq is not None:
        given["failureTaskId"] = task_id(state.workflow_id, failed_seq)
    return StartWorkflow(
        workflow_id=failure.workflow_id,
        name=failure.name,
        version=failure.version,
        input=given,
        correlation_id=started.correlation_id or None,
        task_to_domain=started.task_to_domain,
    )


def _name(state: WorkflowState, written: str) -> JsonValue:
    """Return the name that is written, or that an input of the workflow holds: `${workflow.input.key}`.

    Conductor's own form for that, `$workflow.input.key`, is taken too.
    """
    if written.startswith("$") and not written.startswith("${"):
        written = f"${{{written[1:].removeprefix('.')}}}"
    return resolve(written, StateLookup(state))


def _document(state: WorkflowState, ended: WorkflowEnded) -> JsonObject:
    """Return the failed workflow as Conductor's Workflow, its newest attempts included."""
    started = state.started
    document: JsonObject = {
        "workflowId": state.workflow_id,
        "workflowName": started.name,
        "workflowVersion": started.version,
        "status": ended.status.value,
        "reasonForIncompletion": ended.reason,
        "createTime": state.created_at_ms,
        "startTime": state.created_at_ms,
        "endTime": ended.at_ms,
        "priority": started.priority,
        "input": started.input,
        "output": ended.output,
        "variables": state.variables,
        "failedReferenceTaskNames": list(ended.failed_refs),
        "failedTaskNames": list(ended.failed_names),
        "tasks": [_task(state, state.tasks[seq]) for seq in sorted(state.tasks)],
    }
    if started.correlation_id:
        document["correlationId"] = started.correlation_id
    if len(msgspec.json.encode(document)) > DOCUMENT_BYTES_MAX:
        document["tasks"] = [_without_payload(task) for task in document["tasks"]]
    return document


def _task(state: WorkflowState, task: Task) -> JsonObject:
    spec = task.spec
    progress = task.progress
    document: JsonObject = {
        "taskId": id_of(state, task),
        "referenceTaskName": spec.ref,
        "taskDefName": spec.name,
        "taskType": spec.type,
        "status": status_of(task).value,
        "seq": spec.seq,
        "retryCount": spec.attempt,
        "iteration": spec.iteration,
        "scheduledTime": spec.at_ms,
        "startTime": progress.started_at_ms,
        "endTime": task.ended_at_ms if isinstance(task, EndedTask) else 0,
        "inputData": spec.input,
        "outputData": progress.output,
    }
    optional = {
        "reasonForIncompletion": progress.reason,
        "workerId": progress.worker_id,
        "subWorkflowId": progress.child_id,
    }
    document.update({name: value for name, value in optional.items() if value})
    return document


def _without_payload(task: JsonObject) -> JsonObject:
    return {name: value for name, value in task.items() if name not in {"inputData", "outputData"}}
