"""Changing what a workflow does: run it again from a task, jump, change its state or its version, remove it.

Must not hold rules of workflows: each change is a command, and a refusal comes back with its own words. Keeps the
invariant that an answer shows the workflow as the change has left it, or later.

Source: Conductor's `WorkflowResource`; Orkes' `jump`, `variables`, `state` and `upgrade`.
"""

from typing import Final

import msgspec
from aiohttp import web

from api.access.permissions import Need
from api.errors import NotFound, RequestInvalid
from api.keys import graph_of, node_of
from api.lookup import accepted, act, state_anywhere, state_of, submit, workflow_id_of
from api.parameters import ARCHIVE_WORKFLOW, REASON, RETURN_STRATEGY
from api.routes.workflow_execute import WISH, Wish, response_about
from api.routing import DONE, NO_CONTENT, Route, needed, optional, shows, tells
from api.wire.operations import (
    RerunWorkflowRequest,
    UpgradeWorkflowRequest,
    WorkflowStateUpdate,
    rerun_from,
    state_update_from,
    upgrade_from,
)
from api.wire.outcomes import UpgradeReport
from api.wire.parameters import Flag
from api.wire.reading import read_bytes, read_object
from api.wire.replies import empty_reply, json_reply, no_content, text_reply
from api.wire.shapes import SignalResponse, Workflow
from api.wire.workflows import workflow_json
from engine.commands import (
    JumpToTask,
    RemoveWorkflow,
    RerunWorkflow,
    ResetCallbacks,
    TerminateWorkflow,
    UpdateVariables,
    UpgradeWorkflow,
)
from engine.definitions import version_text
from engine.fitting import fit
from engine.ids import RefName, WorkflowId, parse_task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState

GENERATIONS_MAX: Final = 1_100
"""Sub-workflows in one another; the engine starts no deeper ones."""
REMOVED_WITHIN_MS: Final = 5_000
"""How long a removal waits for the history to have let go of the workflow."""

DRY_RUN: Final = Flag(name="dryRun", about="Only tell what fits.")


def routes() -> tuple[Route, ...]:
    """Return the routes that change workflows."""
    shown = shows(Workflow, "The workflow.")
    settled = shows(SignalResponse, "What the workflow has come to, or how it stands.")
    report = shows(UpgradeReport, "What fits the other version.")
    rerun_body, state_body = optional(RerunWorkflowRequest), needed(WorkflowStateUpdate)
    upgrade_body = optional(UpgradeWorkflowRequest)
    gone, ends = (ARCHIVE_WORKFLOW,), (REASON, ARCHIVE_WORKFLOW)
    waits = (*WISH, RETURN_STRATEGY)
    path = "/api/workflow/{workflowId}"
    return (
        Route.post(f"{path}/rerun", rerun, Need.OPERATE, body=rerun_body, replies=tells("The workflow's id.")),
        Route.post(f"{path}/resetcallbacks", reset_callbacks, Need.OPERATE, replies=(NO_CONTENT,)),
        Route.post(
            f"{path}/jump/{{taskReferenceName}}", jump, Need.OPERATE, body=optional(JsonObject), replies=(DONE,)
        ),
        Route.post(f"{path}/variables", update_variables, Need.OPERATE, body=optional(JsonObject), replies=shown),
        Route.post(f"{path}/state", update_state, Need.OPERATE, takes=waits, body=state_body, replies=settled),
        Route.post(f"{path}/upgrade", upgrade, Need.OPERATE, takes=(DRY_RUN,), body=upgrade_body, replies=report),
        Route.delete(f"{path}/remove", remove, Need.OPERATE, takes=gone, replies=(DONE,)),
        Route.delete(f"{path}/terminate-remove", terminate_and_remove, Need.OPERATE, takes=ends, replies=(DONE,)),
    )


async def rerun(request: web.Request) -> web.Response:
    """Run an ended workflow again, from one of its tasks or of a sub-workflow's, or from its beginning."""
    workflow_id = workflow_id_of(request)
    command = rerun_from(workflow_id, await read_object(request))
    named = None if command.re_run_from_task_id is None else parse_task_id(command.re_run_from_task_id)
    if named is not None and named[0] != workflow_id:
        command = await _in_sub_workflow(request, command, named[0])
    accepted(await submit(request, command))
    return text_reply(workflow_id)


async def reset_callbacks(request: web.Request) -> web.Response:
    """Offer the tasks that wait for a delay now."""
    await act(request, ResetCallbacks(workflow_id=workflow_id_of(request)))
    return no_content()


async def jump(request: web.Request) -> web.Response:
    """Go on with a task of the definition; the body, if there is one, is its input."""
    ref = RefName(request.match_info["taskReferenceName"])
    given = await read_object(request)
    command = JumpToTask(workflow_id=workflow_id_of(request), task_reference_name=ref, task_input=given or None)
    accepted(await submit(request, command))
    return empty_reply()


async def update_variables(request: web.Request) -> web.Response:
    """Set the variables that the body names; answer with the workflow."""
    command = UpdateVariables(workflow_id=workflow_id_of(request), variables=await read_object(request))
    state = accepted(await submit(request, command))
    return json_reply(workflow_json(state, graph_of(request, state)))


async def update_state(request: web.Request) -> web.Response:
    """Set variables and report on a task in one decision, wait until the workflow settles, and answer with it."""
    wish = Wish.of(request.query, RETURN_STRATEGY.of(request.query))
    workflow_id = workflow_id_of(request)
    accepted(await submit(request, state_update_from(workflow_id, await read_object(request))))
    return json_reply(await response_about(request, workflow_id, wish))


async def upgrade(request: web.Request) -> web.Response:
    """Let a running workflow go on by another version; answer with what fits. With `dryRun` only tell."""
    command = upgrade_from(workflow_id_of(request), await read_object(request))
    state = await state_of(request, command.workflow_id)
    report = _fit_json(request, state, command)
    if not DRY_RUN.of(request.query):
        accepted(await submit(request, command))
    return json_reply(report)


async def remove(request: web.Request) -> web.Response:
    """Forget an ended workflow: its history too, unless it is archived."""
    await read_bytes(request)
    await remove_workflow(request, workflow_id_of(request), archive=ARCHIVE_WORKFLOW.of(request.query))
    return empty_reply()


async def terminate_and_remove(request: web.Request) -> web.Response:
    """Terminate a workflow, then do as `remove` does."""
    workflow_id = workflow_id_of(request)
    reason = REASON.of(request.query) or None
    answer = await submit(request, TerminateWorkflow(workflow_id=workflow_id, reason=reason))
    if answer.state is None:
        accepted(answer)  # one that has completed is in its end, too
    return await remove(request)


async def remove_workflow(request: web.Request, workflow_id: WorkflowId, *, archive: bool) -> None:
    """Forget an ended workflow. One that is archived stays in the history, which is where it would be anyway.

    Raises:
        RequestInvalid: one that is to be archived has not ended.
        Refused: one that is to be removed has not ended.
        NotFound: there is no such workflow.
    """
    if archive:
        state = await state_of(request, workflow_id)
        if not state.is_terminal:
            message = f"cannot archive workflow {workflow_id}: it should have ended and is {state.status}"
            raise RequestInvalid(message)
        return
    node = node_of(request)
    state = accepted(await submit(request, RemoveWorkflow(workflow_id=workflow_id)))
    await node.history.wait_projected(workflow_id, state.version, timeout_ms=REMOVED_WITHIN_MS)


async def _in_sub_workflow(request: web.Request, command: RerunWorkflow, named: WorkflowId) -> RerunWorkflow:
    """Return the command for the sub-workflow that a task is of. Those above it will wait for it again.

    Raises:
        RequestInvalid: that is no sub-workflow of the one in the path; or an input is given for the one in the path.
        NotOwner: the sub-workflow lives in another process.
    """
    ancestor: WorkflowId | None = named
    for _ in range(GENERATIONS_MAX):
        if ancestor is None or ancestor == command.workflow_id:
            break
        state = await state_anywhere(request, ancestor)
        parent = None if state is None else state.started.parent
        ancestor = None if parent is None else parent.workflow_id
    if ancestor != command.workflow_id:
        message = (
            f"reRunFromTaskId {command.re_run_from_task_id} should name a task of workflow {command.workflow_id} or of "
            f"its sub-workflows, and names one of workflow {named}"
        )
        raise RequestInvalid(message)
    if command.workflow_input is not None or command.correlation_id is not None:
        message = (
            f"workflowInput and correlationId are for workflow {command.workflow_id}, and reRunFromTaskId names a "
            f"task of its sub-workflow {named}: rerun that one"
        )
        raise RequestInvalid(message)
    return msgspec.structs.replace(command, workflow_id=named)


def _fit_json(request: web.Request, state: WorkflowState, command: UpgradeWorkflow) -> JsonObject:
    """Return how a workflow fits another version of its definition."""
    graphs = node_of(request).graphs
    found = graphs.newest(state.started.name, command.version)
    if found is None:
        message = f"No such workflow found by name: {state.started.name}, {version_text(command.version)}"
        raise NotFound(message)
    report: JsonObject = msgspec.to_builtins(fit(state, graphs.of(state.started), found))
    return {
        "workflowId": state.workflow_id,
        "fromVersion": state.started.version,
        "toVersion": found.definition.version,
        **report,
    }
