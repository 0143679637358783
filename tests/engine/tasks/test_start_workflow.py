"""Claims about START_WORKFLOW."""

import pytest

from engine.commands import StartWorkflow
from engine.definitions import WorkflowTask
from engine.outward import effects_of
from engine.testing import Scenario
from tests.engine.building import output_of, sent, started, task, workflow

CHILD = workflow(name="child", version=2)


def _start(request: object) -> WorkflowTask:
    return task("s", "START_WORKFLOW", input_parameters={"startWorkflow": request})


def test_workflow_is_started_and_not_waited_for() -> None:
    """The task is over with the id of what it starts, which has no parent."""
    scenario = started(_start({"name": "child", "input": {"x": "${workflow.input.x}"}}), others=[CHILD], x=1)
    (command,) = sent(scenario, StartWorkflow)
    assert (command.name, command.version, command.input, command.parent) == ("child", None, {"x": 1}, None)
    assert output_of(scenario, "s") == {"workflowId": command.workflow_id}
    assert scenario.status == "COMPLETED"


def test_repeated_effect_asks_for_the_same_workflow() -> None:
    """The id is derived from the attempt, so a new owner that sends again starts nothing twice."""
    scenario = started(_start({"name": "child", "workflowId": "mine"}), others=[CHILD])
    (command,) = sent(scenario, StartWorkflow)
    again = [effect for event in scenario.events for effect in effects_of(event, scenario.state)]
    assert [effect.command for effect in again if hasattr(effect, "command")] == [command]
    assert command.workflow_id != "mine"


def test_correlation_id_and_domains_are_inherited_where_the_request_has_none() -> None:
    """What the request says wins."""
    scenario = started(_start({"name": "child", "correlationId": "own"}), others=[CHILD])
    assert sent(scenario, StartWorkflow)[0].correlation_id == "own"
    other = Scenario(workflow(_start({"name": "child"})), CHILD)
    other.start(correlation_id="theirs", task_to_domain={"*": "d"})
    (command,) = sent(other, StartWorkflow)
    assert (command.correlation_id, command.task_to_domain) == ("theirs", {"*": "d"})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("child", "should be a start request"),
        ({}, "missing required field"),
        ({"name": "nobody"}, "No such workflow found. name=nobody, any version"),
        ({"name": "child", "version": 3}, "No such workflow found. name=child, version 3"),
        ({"name": "child", "priority": 100}, "should be 0 to 99"),
        ({"name": "own", "workflowDef": {"name": "own", "tasks": []}}, "at least one task"),
        ({"name": "own", "workflowDef": {"tasks": 1}}, "workflowDef of startWorkflow"),
    ],
)
def test_start_that_would_be_refused_fails_the_task(request_: object, reason: str) -> None:
    """The reason stands at the task, since nobody would see the refusal."""
    scenario = started(_start("${workflow.input.request}"), others=[CHILD], request=request_)
    assert scenario.status == "FAILED"
    assert reason in scenario.task("s").progress.reason
    assert sent(scenario, StartWorkflow) == []


def test_definition_may_come_with_the_request() -> None:
    """As with a start over REST."""
    definition = {"name": "own", "tasks": [{"name": "a", "taskReferenceName": "a"}]}
    scenario = started(_start({"name": "own", "workflowDef": definition}))
    assert sent(scenario, StartWorkflow)[0].workflow_def == definition
