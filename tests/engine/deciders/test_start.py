"""Claims about starting a workflow."""

import pytest

from engine.commands import Parent, StartWorkflow
from engine.definitions import definition_hash
from engine.events import WorkflowStarted
from engine.ids import TaskSeq, WorkflowId
from engine.rejections import RejectionCode
from engine.testing import Scenario, refusal
from tests.engine.building import accepted, event_names, sub_workflow, switch, task, task_def, workflow

FLOW = workflow(task("a"), version=2, variables={"v": 1}, input_template={"x": 1, "y": 2}, timeout_seconds=30)


def test_start_records_what_the_workflow_is() -> None:
    """One event holds everything that the workflow will ever be asked about its beginning."""
    scenario = Scenario(FLOW)
    parent = Parent(workflow_id=WorkflowId("p"), task_seq=TaskSeq(3), depth=2)
    scenario.start(
        {"x": 5},
        correlation_id="c",
        priority=7,
        task_to_domain={"a": "d"},
        created_by="me",
        event="schedule",
        idempotency_key="k",
        parent=parent,
        generated_id=True,
    )
    begun = scenario.events[0]
    assert isinstance(begun, WorkflowStarted)
    assert (begun.name, begun.version, begun.definition_hash) == ("flow", 2, definition_hash(FLOW))
    assert begun.input == {"x": 5, "y": 2}
    assert (begun.correlation_id, begun.priority, begun.task_to_domain) == ("c", 7, {"a": "d"})
    assert (begun.created_by, begun.trigger, begun.idempotency_key) == ("me", "schedule", "k")
    assert (begun.parent, begun.generated_id, begun.definition) == (parent, True, None)
    assert (scenario.status, scenario.state.variables) == ("RUNNING", {"v": 1})
    assert scenario.state.created_at_ms == scenario.now_ms


def test_start_of_the_same_id_meets_the_first() -> None:
    """A second start changes nothing and is no error, whatever it asks for."""
    scenario = Scenario(FLOW)
    scenario.start({"x": 1})
    assert accepted(scenario.start({"x": 2}, priority=500)) == ()
    assert scenario.state.started.input["x"] == 1


def test_start_without_version_takes_the_newest() -> None:
    """Of several versions the highest number counts, not the last one registered."""
    scenario = Scenario(FLOW, workflow(task("z"), version=9), workflow(task("b"), version=1))
    scenario.when(StartWorkflow(workflow_id=WorkflowId("wf"), name="flow"))
    assert scenario.state.started.version == 9


def test_start_of_an_empty_definition_completes_at_once() -> None:
    """A workflow without tasks has nothing to wait for."""
    scenario = Scenario(workflow())
    assert event_names(scenario.start()) == ["WorkflowStarted", "WorkflowEnded"]
    assert (scenario.status, scenario.output) == ("COMPLETED", {})


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        # In this order: of several faults the first one is told.
        ({"workflow_id": None, "priority": 100, "name": "?"}, RejectionCode.ARGUMENT_INVALID, "workflowId"),
        ({"priority": 100, "name": "?"}, RejectionCode.ARGUMENT_INVALID, "priority should be 0 to 99 and is 100"),
        ({"priority": -1}, RejectionCode.ARGUMENT_INVALID, "is -1"),
        ({"name": "?"}, RejectionCode.DEFINITION_NOT_FOUND, "No such workflow found by name: ?, any version"),
        ({"version": 9}, RejectionCode.DEFINITION_NOT_FOUND, "No such workflow found by name: flow, version 9"),
        ({"workflow_def": {"name": 1}}, RejectionCode.DEFINITION_INVALID, "workflowDef of wf"),
        ({"workflow_def": {"name": "x", "schemaVersion": 1}}, RejectionCode.DEFINITION_INVALID, "schemaVersion"),
        ({"workflow_def": {"name": "x", "tasks": []}}, RejectionCode.DEFINITION_INVALID, "tasks"),
    ],
)
def test_start_is_refused_with_the_first_fault(fields: dict[str, object], code: RejectionCode, reason: str) -> None:
    """A start that cannot be done says why, and there is no workflow."""
    scenario = Scenario(FLOW)
    given: dict[str, object] = {"workflow_id": WorkflowId("wf"), "name": "flow", **fields}
    rejected = refusal(scenario.when(StartWorkflow(**given)))  # type: ignore[arg-type]
    assert rejected.code is code
    assert reason in rejected.reason
    assert not scenario.is_started


def test_start_with_a_definition_of_its_own_runs_by_it() -> None:
    """The definition travels in the first event, so that no registry is asked for it later."""
    definition = {"name": "inline", "version": 4, "tasks": [{"name": "b", "taskReferenceName": "b"}]}
    scenario = Scenario(FLOW)
    scenario.start(workflow_def=definition)

    assert scenario.state.started.definition == definition
    assert (scenario.state.started.name, scenario.state.started.version) == ("inline", 4)
    assert scenario.open_refs() == ["b"]
    scenario.complete("b")
    assert scenario.status == "COMPLETED"


def test_start_pins_the_task_definitions_of_the_whole_tree() -> None:
    """Definitions registered later hold for workflows that start later."""
    first = task_def("deep", retry_count=0)
    scenario = Scenario(workflow(switch("s", "x", {"x": [task("deep")]})), first)
    scenario.start()
    assert scenario.state.started.task_definition_hashes == {"deep": definition_hash(first)}

    scenario.shelf.add(task_def("deep", retry_count=9))
    scenario.fail("deep")
    assert scenario.status == "FAILED"


def test_start_pins_the_newest_version_of_each_sub_workflow() -> None:
    """Only where the definition names none."""
    children = [workflow(name=name, version=version) for name in ("c", "d") for version in (1, 2)]
    scenario = Scenario(workflow(task("a"), sub_workflow("s", "c"), sub_workflow("t", "d", 1)), *children)
    scenario.start()
    assert scenario.state.started.sub_workflow_versions == {"c": 2}


def test_start_with_a_timeout_that_only_alerts_has_none() -> None:
    """The default policy of a workflow ends nothing."""
    scenario = Scenario(FLOW)
    scenario.start()
    scenario.wait(10**9)
    assert (scenario.state.started.timeout_ms, scenario.status) == (0, "RUNNING")
