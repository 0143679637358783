"""Requests to rehearse a workflow, and what is answered.

Holds the edge models of the mocks in a WorkflowTestRequest, their reader and the rendering of a rehearsal. Must not run
one. Keeps the invariant that what is answered is Conductor's Workflow, with one more field.

Source: conductor-common `WorkflowTestRequest`, `TaskMock`.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from api.wire.definitions import WorkflowDef as WireWorkflowDef
from api.wire.definitions import workflow_def_from
from api.wire.operations import StartWorkflowRequest
from api.wire.violations import ShownAs, Wire, validated
from api.wire.waiting import add_waits
from api.wire.workflows import workflow_json
from engine.definitions import WorkflowDef
from engine.json_value import JsonObject
from engine.mocks import Mocks, TaskMock
from engine.model import WorkflowState
from engine.rehearsal import Rehearsal
from engine.status import TaskStatus
from engine.waiting import nothing_known

_MS_MAX = 10**12
"""Thirty years: beyond what is skipped."""
Milliseconds = Annotated[int, Field(ge=0, le=_MS_MAX)]


class MockRequest(Wire):
    """Conductor's TaskMock: times are milliseconds."""

    status: Literal["COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "IN_PROGRESS"] = "COMPLETED"
    output: JsonObject = {}
    execution_time: Milliseconds = 0
    queue_wait_time: Milliseconds = 0


class MocksRequest(Wire):
    """What a WorkflowTestRequest has besides a start request."""

    task_ref_to_mock_output: dict[str, list[MockRequest]] = {}
    sub_workflow_test_request: "dict[str, MocksRequest]" = {}
    workflow_def: Annotated[JsonObject, ShownAs(WireWorkflowDef)] | None = None


class WorkflowTestRequest(MocksRequest, StartWorkflowRequest):
    """Conductor's WorkflowTestRequest: a start request, and the answers of workers."""


def mocks_from(value: JsonObject) -> tuple[Mocks, list[WorkflowDef]]:
    """Return the mocks of a request, and the definitions of sub-workflows that came with it.

    Raises:
        RequestInvalid: with every broken rule.
    """
    request = validated(MocksRequest, value)
    definitions: list[WorkflowDef] = []
    return _mocks(request, "", definitions), definitions


def rehearsal_json(rehearsal: Rehearsal, *, may_see: Callable[[str], bool]) -> JsonObject:
    """Return the workflow as the rehearsal has left it, and in `rehearsal` how it went.

    Of the workflows that it started, those are shown whose names the caller may see.
    """
    root, *others = rehearsal.states.values()
    wire = _workflow_json(rehearsal, root)
    wire["rehearsal"] = {
        "end": rehearsal.end().value,
        "sentence": rehearsal.sentence(),
        "decisions": rehearsal.decisions,
        "virtualMs": rehearsal.now_ms - root.created_at_ms,
        "workflows": [_workflow_json(rehearsal, state) for state in others if may_see(state.started.name)],
    }
    return wire


def _workflow_json(rehearsal: Rehearsal, state: WorkflowState) -> JsonObject:
    graph = rehearsal.graph(state)
    wire = workflow_json(state, graph)
    if not state.is_terminal:
        add_waits(wire, state, graph, now_ms=rehearsal.now_ms, last_poll=nothing_known)
    return wire


def _mocks(request: MocksRequest, at: str, definitions: list[WorkflowDef]) -> Mocks:
    if at and request.workflow_def is not None:
        definitions.append(workflow_def_from(request.workflow_def, at=f"{at}.workflowDef"))
    return Mocks(
        tasks={ref: [_mock(mock) for mock in mocks] for ref, mocks in request.task_ref_to_mock_output.items()},
        sub_workflows={
            ref: _mocks(inner, f"{at}{'.' if at else ''}subWorkflowTestRequest.{ref}", definitions)
            for ref, inner in request.sub_workflow_test_request.items()
        },
    )


def _mock(mock: MockRequest) -> TaskMock:
    return TaskMock(
        status=TaskStatus(mock.status),
        output=mock.output,
        execution_ms=mock.execution_time,
        queue_wait_ms=mock.queue_wait_time,
    )
