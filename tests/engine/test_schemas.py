"""Claims about schemas that definitions enforce: what violates one is refused, or ends for good, and says why."""

import pytest

from engine.commands import StartWorkflow, UpgradeWorkflow
from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.errors import EngineError
from engine.json_value import JsonObject
from engine.rejections import RejectionCode
from engine.testing import Scenario, refusal
from streams.schemas import JsonSchemas
from tests.engine.building import attempts, output_of, sent, sub_workflow, task, task_def, workflow

WIDTH: JsonObject = {
    "name": "sized",
    "type": "JSON",
    "data": {"type": "object", "required": ["width"], "properties": {"width": {"type": "integer"}}},
}
BY_NAME: JsonObject = {"name": "sized", "version": 2}


def scenario(definition: WorkflowDef, *others: WorkflowDef | TaskDef | SchemaDef, **given: object) -> Scenario:
    """Return a scenario that has been asked to start."""
    made = Scenario(definition, *others, schemas=JsonSchemas())
    made.start(dict(given))
    return made


def enforcing(**fields: object) -> TaskDef:
    """Return a definition of task `a` that enforces its schemas, and would be retried."""
    return task_def("a", enforce_schema=True, retry_count=5, retry_delay_seconds=0, **fields)


def test_start_that_violates_the_input_schema_is_refused_with_every_violation() -> None:
    """Nothing is started; the template counts as input."""
    schema = {"data": {"required": ["width"], "properties": {"width": {"type": "integer"}, "n": {"maximum": 3}}}}
    flow = workflow(task("a"), input_schema=schema, input_template={"n": 1})
    found = Scenario(flow, schemas=JsonSchemas())
    refused = refusal(found.start({"width": "x", "n": 9}))
    assert refused.code is RejectionCode.INPUT_INVALID
    assert "width: the value is not of type" in refused.reason
    assert "n: the value is greater than the maximum of 3" in refused.reason
    assert not found.is_started
    assert "width" in refusal(found.start({})).reason
    found.start({"width": 1})
    assert found.status == "RUNNING"


def test_schema_that_is_not_enforced_is_only_a_description() -> None:
    """A workflow enforces unless it says otherwise, a task only if it says so. Conductor's defaults."""
    assert scenario(workflow(task("a"), input_schema=WIDTH, enforce_schema=False)).status == "RUNNING"
    assert scenario(workflow(task("a")), task_def("a", input_schema=WIDTH)).status == "RUNNING"


def test_input_of_a_task_that_violates_its_schema_ends_it_before_anybody_sees_it() -> None:
    """A further attempt would have the same input, so there is none."""
    found = scenario(workflow(task("a", input_parameters={"width": "x"})), enforcing(input_schema=WIDTH))
    assert attempts(found, "a") == [(0, "FAILED_WITH_TERMINAL_ERROR")]
    assert 'inputSchema is violated: width: the value is not of type "integer"' in found.task("a").progress.reason
    assert (found.status, found.dispatched) == ("FAILED", set())


def test_sub_workflow_with_an_input_that_violates_its_schema_starts_nothing() -> None:
    """Every type is judged before it does anything."""
    child = workflow(task("x"), name="child")
    found = scenario(workflow(sub_workflow("a", "child")), child, enforcing(input_schema=WIDTH))
    assert found.status == "FAILED"
    assert sent(found, StartWorkflow) == []


def test_input_that_somebody_gives_is_judged_as_the_definition_s_is() -> None:
    """A task's own is judged when it is entered, a workflow's before anything changes."""
    flow = workflow(task("a", input_parameters={"width": 1}), input_schema=WIDTH)
    found = scenario(flow, enforcing(input_schema=WIDTH), width=1)
    found.complete("a")
    for ref in ("a", None):
        refused = refusal(found.rerun(ref, workflow_input={"width": "x"}))
        assert (refused.code, found.status) == (RejectionCode.INPUT_INVALID, "COMPLETED")
    found.rerun("a", given={"width": "x"})
    assert (found.status, found.statuses()) == ("FAILED", {"a": "FAILED_WITH_TERMINAL_ERROR"})
    found.rerun("a", given={"width": 2})
    assert found.status == "RUNNING"


def test_upgrade_with_an_input_that_the_new_version_refuses_changes_nothing() -> None:
    """The schema of the new version counts."""
    found = scenario(workflow(task("a")))
    found.shelf.add(workflow(task("a"), version=2, input_schema=WIDTH))
    upgrade = UpgradeWorkflow(workflow_id=found.workflow_id, version=2, workflow_input={"width": "x"})
    assert refusal(found.when(upgrade)).code is RejectionCode.INPUT_INVALID
    assert found.state.started.version == 1


def test_secret_in_an_input_is_judged_as_the_reference_to_it() -> None:
    """It stays where it stands, for whoever hands the task out; a task that follows has none of it."""
    schema: JsonObject = {"data": {"properties": {"token": {"type": "string"}}}}
    first = task("a", input_parameters={"token": "${workflow.secrets.TOKEN}"})
    found = scenario(workflow(first, task("b")), enforcing(input_schema=schema))
    assert [one.at for one in found.task("a").spec.deferred] == [("token",)]
    found.complete("a")
    assert found.task("b").spec.deferred == ()


def test_skipped_task_is_not_judged() -> None:
    """It has put out nothing."""
    found = scenario(workflow(task("a"), task("b")), enforcing(output_schema=WIDTH))
    found.skip("a")
    assert found.statuses() == {"a": "SKIPPED", "b": "SCHEDULED"}


def test_optional_task_with_a_wrong_input_lets_the_workflow_go_on() -> None:
    """As with any other failure."""
    found = scenario(workflow(task("a", optional=True), task("b")), enforcing(input_schema=WIDTH))
    assert found.statuses() == {"a": "COMPLETED_WITH_ERRORS", "b": "SCHEDULED"}


def test_result_that_violates_the_output_schema_fails_its_task_for_good() -> None:
    """With the violations as the reason, and the output for whoever looks for the mistake."""
    found = scenario(workflow(task("a")), enforcing(output_schema=WIDTH))
    found.complete("a", {"width": "x"})
    assert attempts(found, "a") == [(0, "FAILED_WITH_TERMINAL_ERROR")]
    assert "outputSchema is violated: width" in found.task("a").progress.reason
    assert output_of(found, "a") == {"width": "x"}


def test_only_success_is_judged() -> None:
    """What a failed attempt puts out is no result."""
    found = scenario(workflow(task("a")), enforcing(output_schema=WIDTH))
    found.fail("a", "out of order")
    assert attempts(found, "a")[0] == (0, "FAILED")
    found.complete("a", {"width": 1})
    assert found.status == "COMPLETED"


def test_dynamic_task_is_judged_by_what_it_turns_out_to_be() -> None:
    """The definition of the name that comes with the input holds, for input and output."""
    dynamic = task(
        "d", "DYNAMIC", dynamic_task_name_param="n", input_parameters={"n": "a", "width": "${workflow.input.w}"}
    )
    definition = enforcing(input_schema=WIDTH, output_schema=WIDTH)
    assert scenario(workflow(dynamic), definition, w="x").status == "FAILED"
    found = scenario(workflow(dynamic), definition, w=1)
    found.complete("d", {})
    assert "outputSchema is violated" in found.task("d").progress.reason


def test_workflow_whose_output_violates_its_schema_fails() -> None:
    """At its end, with its output still shown."""
    flow = workflow(task("a"), output_schema=WIDTH, output_parameters={"width": "${a.output.width}"})
    found = scenario(flow)
    found.complete("a", {"width": "x"})
    assert (found.status, found.output) == ("FAILED", {"width": "x"})
    assert "outputSchema is violated: width" in found.state.reason
    found = scenario(flow)
    found.complete("a", {"width": 1})
    assert found.status == "COMPLETED"


def test_schema_may_be_named_and_is_then_looked_up() -> None:
    """The newest version where none is named; one that is not registered satisfies nothing."""
    flow = workflow(task("a"), input_schema=BY_NAME)
    named = Scenario(flow, schemas=JsonSchemas())
    reason = refusal(named.start({"width": 1})).reason
    assert "no such schema found by name: sized, version 2; register it" in reason
    for version in (2, 3):
        named.shelf.add(SchemaDef(name="sized", version=version, data={"required": ["width"] * (version == 2)}))
    assert "width" in refusal(named.start({})).reason
    assert scenario(workflow(task("a"), input_schema={"name": "sized"}), SchemaDef(name="sized")).status == "RUNNING"


def test_decision_without_a_validator_says_that_it_needs_one() -> None:
    """Rather than letting everything pass."""
    with pytest.raises(EngineError, match="has no validator"):
        Scenario(workflow(task("a"), input_schema=WIDTH)).start({})
