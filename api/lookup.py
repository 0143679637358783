"""Finding workflows, sending them commands, and taking answers.

Holds the order of the look-ups: first the memory of the owner, then the history. Must not render. Keeps two
invariants: a workflow which a client was told of is found, in memory while it is open, in the history for good; and
no handler sees or changes a workflow that is beyond the limits of its caller.
"""

from aiohttp import web

from api.access.guard import check_task, check_workflow, principal_of
from api.errors import NotFound, Refused
from api.keys import node_of
from api.wire.reading import read_bytes
from engine.commands import Command, ReportTaskResult, StartWorkflow, workflow_of
from engine.ids import WorkflowId, parse_task_id
from engine.model import WorkflowState
from streams.service import Answer, NotOwner


async def state_of(request: web.Request, workflow_id: WorkflowId, *, asked_for: str = "") -> WorkflowState:
    """Return a workflow. `asked_for` names what the client wanted, if not the workflow itself.

    Raises:
        NotFound: nobody knows it.
        NotOwner: another process does.
        HistoryUnavailable: it is not in memory, and the history cannot answer.
        Forbidden: it is beyond the caller's limits.
    """
    node = node_of(request)
    state = await node.workflows.state(workflow_id)
    if state is None:
        state = await node.history.state(workflow_id)
    if state is None:
        message = f"No such {asked_for or 'workflow'} found by id: {workflow_id}"
        if asked_for:
            message = f"No such {asked_for}: there is no workflow {workflow_id}"
        raise NotFound(message)
    check_workflow(request, state.started.name)
    return state


async def submit(request: web.Request, command: Command) -> Answer:
    """Send a command and wait for its decision.

    Raises:
        Forbidden: its workflow, or its task, is beyond the caller's limits.
        StreamsError: see `streams.service.Workflows.submit`.
    """
    principal = principal_of(request)
    if not (principal.sees_all_workflows and principal.sees_all_tasks):
        await _check(request, command)
    return await node_of(request).workflows.submit(command)


async def act(request: web.Request, command: Command) -> WorkflowState:
    """Send a command that needs nothing of the body, and return the state that it led to.

    Whatever body a client puts into an action is read, so that the connection can be used again, and ignored.

    Raises:
        Refused: the command was refused.
        Forbidden, StreamsError: see `submit`.
    """
    await read_bytes(request)
    return accepted(await submit(request, command))


async def started(request: web.Request, command: StartWorkflow) -> WorkflowId:
    """Start a workflow and return its id.

    Raises:
        Refused: the command was refused.
        Forbidden, StreamsError: see `submit`.
    """
    answer = await submit(request, command)
    accepted(answer)
    return answer.workflow_id


def workflow_id_of(request: web.Request) -> WorkflowId:
    """Return the workflow that the path names."""
    return WorkflowId(request.match_info["workflowId"])


async def _check(request: web.Request, command: Command) -> None:
    if isinstance(command, StartWorkflow):
        check_workflow(request, command.name)
        return
    state = await state_of(request, workflow_of(command) or WorkflowId(""))
    if isinstance(command, ReportTaskResult):
        found = parse_task_id(command.task_id)
        task = None if found is None else state.tasks.get(found[1])
        if task is not None:
            check_task(request, task.spec.type)


async def state_anywhere(request: web.Request, workflow_id: WorkflowId) -> WorkflowState | None:
    """Return a workflow, also one that another process owns: then as the history knows it, a moment late.

    Raises:
        HistoryUnavailable: it is not in memory here, and the history cannot answer.
    """
    node = node_of(request)
    try:
        state = await node.workflows.state(workflow_id)
    except NotOwner:
        state = None
    return state if state is not None else await node.history.state(workflow_id)


def accepted(answer: Answer) -> WorkflowState:
    """Return the state that a command led to.

    Raises:
        Refused: the command was refused.
    """
    if answer.rejected is not None:
        raise Refused(answer.rejected)
    if answer.state is None:
        message = f"the answer for workflow {answer.workflow_id} is neither a refusal nor a state"
        raise AssertionError(message)
    return answer.state
