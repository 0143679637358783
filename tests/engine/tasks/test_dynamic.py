"""Claims about DYNAMIC: a task whose type comes with its input."""

import pytest

from engine.events import TaskScheduled
from engine.json_value import JsonValue
from engine.tasks.dynamic import BUILT_IN, NEEDS_A_PLACE
from engine.tasks.registry import TASK_TYPES
from engine.testing import Scenario
from tests.engine.building import attempts, output_of, started, task, task_def, workflow


def _dynamic(**fields: object) -> Scenario:
    given = {"which": "${workflow.input.which}", "n": 1}
    return Scenario(
        workflow(
            task("d", "DYNAMIC", dynamic_task_name_param="which", input_parameters=given, **fields), task("after")
        ),
        task_def("encode", retry_count=1, retry_delay_seconds=0, response_timeout_seconds=9),
    )


def test_dynamic_schedules_the_task_that_its_input_names() -> None:
    """The named task is a worker's, under the limits of its own definition."""
    scenario = _dynamic()
    scenario.start({"which": "encode"})

    spec = scenario.task("d").spec
    assert (spec.type, spec.name, spec.dispatch) == ("encode", "encode", "worker")
    assert spec.timeouts.response_ms == 9_000
    assert spec.input == {"which": "encode", "n": 1}
    scenario.complete("d", {"x": 1})
    assert scenario.open_refs() == ["after"]


def test_dynamic_is_retried_by_the_definition_of_the_task_that_it_named() -> None:
    """The retries of the named task hold, also for its last attempt."""
    scenario = _dynamic()
    scenario.start({"which": "encode"})
    scenario.fail("d")
    scenario.fail("d")
    assert attempts(scenario, "d") == [(0, "FAILED"), (1, "FAILED")]
    assert scenario.status == "FAILED"


def test_dynamic_keeps_the_definition_that_it_was_scheduled_with() -> None:
    """A definition registered while an attempt is open holds for later attempts only."""
    scenario = _dynamic()
    scenario.start({"which": "encode"})
    scenario.shelf.add(task_def("encode", retry_count=0))
    scenario.fail("d")
    assert attempts(scenario, "d") == [(0, "FAILED"), (1, "SCHEDULED")]
    scenario.fail("d")
    assert scenario.status == "FAILED"


def test_dynamic_that_names_an_unregistered_task_runs_with_the_defaults() -> None:
    """A task that nobody defined is a worker's with the default limits."""
    scenario = _dynamic()
    scenario.start({"which": "unheard_of"})
    assert scenario.task("d").spec.timeouts.response_ms == 3_600_000
    scenario.fail("d")
    assert scenario.status == "RUNNING"


def test_dynamic_may_name_a_built_in_type() -> None:
    """A built-in type does what it always does, with the input of the DYNAMIC task."""
    scenario = _dynamic()
    scenario.start({"which": "SET_VARIABLE"})
    assert scenario.state.variables == {"which": "SET_VARIABLE", "n": 1}
    assert scenario.open_refs() == ["after"]


def test_dynamic_wait_ends_by_its_timer() -> None:
    """A WAIT chosen at run time wakes like any other."""
    scenario = Scenario(
        workflow(
            task(
                "d",
                "DYNAMIC",
                dynamic_task_name_param="which",
                input_parameters={"which": "WAIT", "duration": "5 seconds"},
            )
        )
    )
    scenario.start()
    scenario.wait(5_000)
    assert scenario.status == "COMPLETED"


def test_dynamic_sub_workflow_takes_everything_from_its_input() -> None:
    """The input says which workflow, and with which input."""
    given = {"which": "SUB_WORKFLOW", "subWorkflowName": "child", "workflowInput": {"n": 1}}
    scenario = started(
        task("d", "DYNAMIC", dynamic_task_name_param="which", input_parameters=given),
        others=[workflow(task("x"), name="child")],
    )
    scenario.end_child("d", output={"y": 2})
    assert output_of(scenario, "d")["y"] == 2


@pytest.mark.parametrize("name", [None, "", 7, {}, *sorted(NEEDS_A_PLACE)])
def test_dynamic_that_names_no_possible_task_fails_the_workflow(name: JsonValue) -> None:
    """No name, and a type that needs a place in the definition, end the workflow with the reason."""
    scenario = _dynamic()
    scenario.start({"which": name})
    assert scenario.status == "FAILED"
    assert scenario.state.reason.startswith("Cannot map a dynamic task: input 'which' of d")
    assert not any(isinstance(event, TaskScheduled) for event in scenario.events)


def test_dynamic_knows_every_type_of_the_registry() -> None:
    """A type is either possible for a DYNAMIC task or refused by name: it never becomes a queue that nobody serves."""
    assert set(BUILT_IN) | NEEDS_A_PLACE == set(TASK_TYPES)
    assert not set(BUILT_IN) & NEEDS_A_PLACE


def test_dynamic_that_failed_the_workflow_is_asked_again_by_a_retry() -> None:
    """What could not be scheduled begins with the retry, on what its input says then."""
    scenario = started(
        task("v", "SET_VARIABLE", input_parameters={"which": None}),
        task(
            "d", "DYNAMIC", dynamic_task_name_param="which", input_parameters={"which": "${workflow.variables.which}"}
        ),
    )
    assert scenario.status == "FAILED"
    scenario.retry()
    assert scenario.status == "FAILED"
    assert scenario.statuses() == {"v": "COMPLETED"}
