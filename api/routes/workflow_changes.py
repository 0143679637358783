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
from api.lookup import accepted, state_anywhere, state_of, submit
from api.routes.workflow_execute import Wish, response_about
from api.routing import Route
from api.wire.operations import rerun_from, state_update_from, upgrade_from
from api.wire.reading import boolean_parameter, read_bytes, read_object, text_parameter
from api.wire.replies import empty_reply, json_reply, no_content, text_reply
from api.wire.workflows import return_strategy, workflow_json
from engine.commands import (
    Command,
    JumpToTask,
    RemoveWorkflow,
    RerunWorkflow,
    ResetCallbacks,
    TerminateWorkflow,
    UpdateVariables,
    UpgradeWorkflow,
)
from engine.fitting import fit
from engine.ids import RefName, WorkflowId, parse_task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState

GENERATIONS_MAX: Final = 1_100
"""Sub-workflows in one another; the engine starts no deeper ones."""
REMOVED_WITHIN_MS: Final = 5_000
"""How long a removal waits for the history to have let go of the workflow."""


def routes() -> tuple[Route, ...]:
    """Return the routes that change workflows."""
    return (
        Route.post("/api/workflow/{workflowId}/rerun", rerun, Need.OPERATE),
        Route.post("/api/workflow/{workflowId}/resetcallbacks", reset_callbacks, Need.OPERATE),
        Route.post("/api/workflow/{workflowId}/jump/{taskReferenceName}", jump, Need.OPERATE),
        Route.post("/api/workflow/{workflowId}/variables", update_variables, Need.OPERATE),
        Route.post("/api/workflow/{workflowId}/state", update_state, Need.OPERATE),
        Route.post("/api/workflow/{workflowId}/upgrade", upgrade, Need.OPERATE),
        Route.delete("/api/workflow/{workflowId}/remove", remove, Need.OPERATE),
        Route.delete("/api/workflow/{workflowId}/terminate-remove", terminate_and_remove, Need.OPERATE),
    )


async def rerun(request: web.Request) -> web.Response:
    """Run an ended workflow again, from one of its tasks or of a sub-workflow's, or from its beginning."""
    workflow_id = _workflow_id(request)
    command = rerun_from(workflow_id, await read_object(request))
    named = None if command.re_run_from_task_id is None else parse_task_id(command.re_run_from_task_id)
    if named is not None and named[0] != workflow_id:
        command = await _in_sub_workflow(request, command, named[0])
    accepted(await submit(request, command))
    return text_reply(workflow_id)


async def reset_callbacks(request: web.Request) -> web.Response:
    """Offer the tasks that wait for a delay now."""
    await _send(request, ResetCallbacks(workflow_id=_workflow_id(request)))
    return no_content()


async def jump(request: web.Request) -> web.Response:
    """Go on with a task of the definition; the body, if there is one, is its input."""
    ref = RefName(request.match_info["taskReferenceName"])
    given = await read_object(request)
    command = JumpToTask(workflow_id=_workflow_id(request), task_reference_name=ref, task_input=given or None)
    accepted(await submit(request, command))
    return empty_reply()


async def update_variables(request: web.Request) -> web.Response:
    """Set the variables that the body names; answer with the workflow."""
    command = UpdateVariables(workflow_id=_workflow_id(request), variables=await read_object(request))
    state = accepted(await submit(request, command))
    return json_reply(workflow_json(state, graph_of(request, state)))


async def update_state(request: web.Request) -> web.Response:
    """Set variables and report on a task in one decision, wait until the workflow settles, and answer with it."""
    wish = Wish.of(request.query, return_strategy(request.query))
    workflow_id = _workflow_id(request)
    accepted(await submit(request, state_update_from(workflow_id, await read_object(request))))
    return json_reply(await response_about(request, workflow_id, wish))


async def upgrade(request: web.Request) -> web.Response:
    """Let a running workflow go on by another version; answer with what fits. With `dryRun` only tell."""
    command = upgrade_from(_workflow_id(request), await read_object(request))
    state = await state_of(request, command.workflow_id)
    report = _fit_json(request, state, command)
    if not boolean_parameter(request.query, "dryRun", default=False):
        accepted(await submit(request, command))
    return json_reply(report)


async def remove(request: web.Request) -> web.Response:
    """Forget an ended workflow: its history too, unless it is archived."""
    await read_bytes(request)
    await remove_workflow(
        request, _workflow_id(request), archive=boolean_parameter(request.query, "archiveWorkflow", default=True)
    )
    return empty_reply()


async def terminate_and_remove(request: web.Request) -> web.Response:
    """Terminate a workflow, then do as `remove` does."""
    workflow_id = _workflow_id(request)
    reason = text_parameter(request.query, "reason") or None
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
        wanted = "any version" if command.version is None else f"version {command.version}"
        message = f"No such workflow found by name: {state.started.name}, {wanted}"
        raise NotFound(message)
    report: JsonObject = msgspec.to_builtins(fit(state, graphs.of(state.started), found))
    return {
        "workflowId": state.workflow_id,
        "fromVersion": state.started.version,
        "toVersion": found.definition.version,
        **report,
    }


async def _send(request: web.Request, command: Command) -> WorkflowState:
    # Whatever body a client puts into an action is read, so that the connection can be used again, and ignored.
    await read_bytes(request)
    return accepted(await submit(request, command))


def _workflow_id(request: web.Request) -> WorkflowId:
    return WorkflowId(request.match_info["workflowId"])
