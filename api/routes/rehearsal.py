"""A workflow, rehearsed: run through the real engine with mocked answers, and nothing stored.

Must not know how a rehearsal goes. Keeps the invariant that its path is looked at before that of a start by name:
`test` is not the name of a workflow here.

Source: Conductor's `WorkflowResource.testWorkflow`.
"""

from aiohttp import web

from api.access.guard import check_workflow, principal_of
from api.access.permissions import Need
from api.errors import Refused
from api.keys import node_of
from api.routing import Route, needed, shows
from api.wire.operations import start_from
from api.wire.reading import read_object
from api.wire.rehearsals import WorkflowTestRequest, mocks_from, rehearsal_json
from api.wire.replies import json_reply
from api.wire.shapes import RehearsedWorkflow


def routes() -> tuple[Route, ...]:
    """Return the one route."""
    shown = shows(RehearsedWorkflow, "The workflow as the rehearsal has left it.")
    return (Route.post("/api/workflow/test", rehearse, Need.OPERATE, body=needed(WorkflowTestRequest), replies=shown),)


async def rehearse(request: web.Request) -> web.Response:
    """Run a workflow with mocked answers as far as it goes; answer with the workflow as it is then."""
    body = await read_object(request)
    command = start_from(body)
    check_workflow(request, command.name)
    mocks, definitions = mocks_from(body)
    rehearsal = await node_of(request).rehearsals.run(command, mocks=mocks, definitions=definitions)
    if rehearsal.refused is not None:
        raise Refused(rehearsal.refused)
    return json_reply(rehearsal_json(rehearsal, may_see=principal_of(request).may_see_workflow))
