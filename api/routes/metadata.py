"""Workflow and task definitions.

Must not judge definitions: `engine.validation` does, through the readers. Keeps two invariants: a list of
definitions is taken whole or not at all, and registering what is registered already changes nothing, so that
workers may register at every start.

Source: Conductor's `MetadataResource`. Deviation: PUT of an unknown task definition creates it, because
clients register so.
"""

import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from api.access.guard import check_task, check_workflow, principal_of
from api.access.permissions import Need
from api.errors import Conflict, NotFound
from api.keys import node_of
from api.parameters import VERSION
from api.routing import DONE, Route, needed, shows
from api.wire import definitions as wire
from api.wire.definitions import task_def_from, workflow_def_from
from api.wire.outcomes import BulkResponse, WorkflowDefSummary
from api.wire.parameters import Flag
from api.wire.reading import integer_from_path, read_json, read_list
from api.wire.replies import empty_reply, json_reply
from api.wire.workflows import bulk_json, definition_summary_json
from engine.definitions import TaskDef, WorkflowDef, version_text
from streams.service import Definitions
from streams.task_wire import definition_json

OVERWRITE: Final = Flag(name="overwrite", about="Replace a definition of the same name and version.")


def routes() -> tuple[Route, ...]:
    """Return the routes under `/api/metadata`."""
    return (*_workflow_routes(), *_task_routes())


def _workflow_routes() -> tuple[Route, ...]:
    workflow_def, all_defs = needed(wire.WorkflowDef), shows(list[wire.WorkflowDef], "The definitions.")
    versions = shows(list[WorkflowDefSummary], "The versions, oldest first.")
    by_name = shows(dict[str, list[WorkflowDefSummary]], "The versions of each name, oldest first.")
    names, bulk = shows(list[str], "The names, sorted."), shows(BulkResponse, "The names of what is registered.")
    one = shows(wire.WorkflowDef, "The definition.")
    path = "/api/metadata/workflow"
    return (
        Route.post(path, create_workflow_def, Need.AUTHOR, takes=(OVERWRITE,), body=workflow_def, replies=(DONE,)),
        Route.put(path, put_workflow_defs, Need.AUTHOR, body=needed(list[wire.WorkflowDef]), replies=bulk),
        Route.post(f"{path}/validate", validate_workflow_def, Need.READ, body=workflow_def, replies=(DONE,)),
        Route.get(path, list_workflow_defs, Need.READ, replies=all_defs),
        Route.get(f"{path}/names", list_workflow_names, Need.READ, replies=names),
        Route.get(f"{path}/names-and-versions", list_names_and_versions, Need.READ, replies=by_name),
        Route.get(f"{path}/latest-versions", list_latest_versions, Need.READ, replies=all_defs),
        Route.get(f"{path}/{{name}}", get_workflow_def, Need.READ, takes=(VERSION,), replies=one),
        Route.get(f"{path}/{{name}}/versions", list_versions, Need.READ, replies=versions),
        Route.delete(f"{path}/{{name}}/{{version}}", delete_workflow_def, Need.AUTHOR, replies=(DONE,)),
    )


def _task_routes() -> tuple[Route, ...]:
    task_def, task_defs = wire.TaskDef, list[wire.TaskDef]
    path = "/api/metadata/taskdefs"
    return (
        Route.post(path, create_task_defs, Need.AUTHOR, body=needed(task_defs), replies=(DONE,)),
        Route.put(path, put_task_def, Need.AUTHOR, body=needed(task_def), replies=(DONE,)),
        Route.get(path, list_task_defs, Need.READ, replies=shows(task_defs, "The definitions.")),
        Route.get(f"{path}/{{taskType}}", get_task_def, Need.READ, replies=shows(task_def, "The definition.")),
        Route.delete(f"{path}/{{taskType}}", delete_task_def, Need.AUTHOR, replies=(DONE,)),
    )


async def create_workflow_def(request: web.Request) -> web.Response:
    """Register a workflow definition. One of the same name and version is replaced only with `overwrite=true`."""
    overwrite = OVERWRITE.of(request.query)
    definition = workflow_def_from(await read_json(request))
    check_workflow(request, definition.name)
    definitions = node_of(request).definitions
    if not overwrite and definitions.workflow(definition.name, definition.version) is not None:
        message = (
            f"Workflow with {definition.name}.{definition.version} already exists!"
            " Register another version, or set overwrite=true"
        )
        raise Conflict(message)
    await _put_workflow(definitions, definition)
    return empty_reply()


async def put_workflow_defs(request: web.Request) -> web.Response:
    """Register a list of workflow definitions, replacing what is there; answer with a BulkResponse of names."""
    found = [workflow_def_from(value, at=f"[{index}]") for index, value in enumerate(await read_list(request))]
    for definition in found:
        check_workflow(request, definition.name)
    definitions = node_of(request).definitions
    for definition in found:
        await _put_workflow(definitions, definition)
    return json_reply(bulk_json([definition.name for definition in found], {}))


async def validate_workflow_def(request: web.Request) -> web.Response:
    """Say whether a workflow definition could be registered, without registering it."""
    workflow_def_from(await read_json(request))
    return empty_reply()


async def list_workflow_defs(request: web.Request) -> web.Response:
    """Answer with every version of every workflow definition."""
    return json_reply([definition_json(definition) for definition in _workflows(request)])


async def list_workflow_names(request: web.Request) -> web.Response:
    """Answer with the names of all workflow definitions."""
    return json_reply(sorted({definition.name for definition in _workflows(request)}))


async def list_names_and_versions(request: web.Request) -> web.Response:
    """Answer with a map from each name to its versions, oldest first."""
    found: dict[str, list[WorkflowDef]] = {}
    for definition in _workflows(request):
        found.setdefault(definition.name, []).append(definition)
    return json_reply({name: _summaries(versions) for name, versions in sorted(found.items())})


async def list_latest_versions(request: web.Request) -> web.Response:
    """Answer with the newest version of each workflow definition."""
    newest: dict[str, WorkflowDef] = {}
    for definition in _workflows(request):
        known = newest.get(definition.name)
        if known is None or known.version < definition.version:
            newest[definition.name] = definition
    return json_reply([definition_json(newest[name]) for name in sorted(newest)])


async def get_workflow_def(request: web.Request) -> web.Response:
    """Answer with a workflow definition, the newest version unless one is asked for."""
    name = request.match_info["name"]
    check_workflow(request, name)
    version = VERSION.of(request.query)
    definition = node_of(request).definitions.workflow(name, version)
    if definition is None:
        message = f"No such workflow found by name: {name}, {version_text(version)}"
        raise NotFound(message)
    return json_reply(definition_json(definition))


async def list_versions(request: web.Request) -> web.Response:
    """Answer with the versions of one workflow definition, oldest first."""
    name = request.match_info["name"]
    check_workflow(request, name)
    found = [definition for definition in _workflows(request) if definition.name == name]
    return json_reply(_summaries(found))


async def delete_workflow_def(request: web.Request) -> web.Response:
    """Forget one version of a workflow definition. What runs by it goes on."""
    name = request.match_info["name"]
    check_workflow(request, name)
    version = integer_from_path(request, "version")
    if not await node_of(request).definitions.delete_workflow(name, version):
        message = f"No such workflow definition: {name} version: {version}"
        raise NotFound(message)
    return empty_reply()


async def create_task_defs(request: web.Request) -> web.Response:
    """Register a list of task definitions, replacing what is there."""
    found = [task_def_from(value, at=f"[{index}]") for index, value in enumerate(await read_list(request))]
    for definition in found:
        check_task(request, definition.name)
    definitions = node_of(request).definitions
    for definition in found:
        await _put_task(definitions, definition, created=True)
    return empty_reply()


async def put_task_def(request: web.Request) -> web.Response:
    """Register one task definition; one that is there keeps the time of its creation."""
    definition = task_def_from(await read_json(request))
    check_task(request, definition.name)
    await _put_task(node_of(request).definitions, definition, created=False)
    return empty_reply()


async def list_task_defs(request: web.Request) -> web.Response:
    """Answer with every task definition."""
    principal = principal_of(request)
    found = [found for found in node_of(request).definitions.tasks() if principal.may_see_task(found.name)]
    return json_reply([definition_json(definition) for definition in found])


async def get_task_def(request: web.Request) -> web.Response:
    """Answer with one task definition."""
    name = request.match_info["taskType"]
    check_task(request, name)
    definition = node_of(request).definitions.task(name)
    if definition is None:
        message = f"No such task type found by name: {name}"
        raise NotFound(message)
    return json_reply(definition_json(definition))


async def delete_task_def(request: web.Request) -> web.Response:
    """Forget a task definition. What runs by it goes on; a workflow that starts later gets the defaults."""
    name = request.match_info["taskType"]
    check_task(request, name)
    if not await node_of(request).definitions.delete_task(name):
        message = f"No such task definition: {name}"
        raise NotFound(message)
    return empty_reply()


def _workflows(request: web.Request) -> list[WorkflowDef]:
    """Return the definitions that the caller may see."""
    principal = principal_of(request)
    return [found for found in node_of(request).definitions.workflows() if principal.may_see_workflow(found.name)]


async def _put_workflow(definitions: Definitions, definition: WorkflowDef) -> None:
    known = definitions.workflow(definition.name, definition.version)
    if known is None:
        stamped = replace(definition, create_time=_now_ms(), update_time=0)
    elif replace(definition, create_time=known.create_time, update_time=known.update_time) == known:
        return
    else:
        stamped = replace(definition, create_time=known.create_time, update_time=_now_ms())
    await definitions.put_workflow(stamped)


async def _put_task(definitions: Definitions, definition: TaskDef, *, created: bool) -> None:
    """Store a task definition. `created`: it counts as new, as Conductor's POST has it, and was never updated."""
    known = definitions.task(definition.name)
    if known is not None and replace(definition, create_time=known.create_time, update_time=known.update_time) == known:
        return
    if known is None or created:
        stamped = replace(definition, create_time=_now_ms(), update_time=0)
    else:
        stamped = replace(
            definition,
            create_time=known.create_time,
            created_by=definition.created_by or known.created_by,
            update_time=_now_ms(),
        )
    await definitions.put_task(stamped)


def _summaries(definitions: Sequence[WorkflowDef]) -> list[dict[str, object]]:
    ordered = sorted(definitions, key=lambda definition: definition.version)
    return [definition_summary_json(definition) for definition in ordered]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
