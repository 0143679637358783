"""Claims about SET_VARIABLE."""

from engine.context import EngineLimits
from engine.testing import Scenario
from tests.engine.building import output_of, task, workflow


def test_set_variable_sets_each_key_of_its_input() -> None:
    """New keys are added, known ones get their new value, the others stay; the output is empty."""
    scenario = Scenario(
        workflow(
            task("s", "SET_VARIABLE", input_parameters={"a": "${workflow.input.x}", "b": 2}),
            task("t", input_parameters={"seen": "${workflow.variables.a}"}),
            variables={"a": 0, "c": 3},
        )
    )
    scenario.start({"x": {"deep": 1}})
    assert scenario.state.variables == {"a": {"deep": 1}, "b": 2, "c": 3}
    assert output_of(scenario, "s") == {}
    assert scenario.task("t").spec.input == {"seen": {"deep": 1}}


def test_set_variable_without_input_changes_nothing() -> None:
    """Nothing to set is no error."""
    scenario = Scenario(workflow(task("s", "SET_VARIABLE"), task("t"), variables={"a": 1}))
    scenario.start()
    assert scenario.state.variables == {"a": 1}
    assert scenario.open_refs() == ["t"]


def test_set_variable_beyond_the_limit_sets_nothing_and_fails_for_good() -> None:
    """All variables together are bounded; what would pass the bound is not set in part."""
    scenario = Scenario(
        workflow(task("s", "SET_VARIABLE", input_parameters={"a": 1, "b": "${workflow.input.x}"}), variables={"a": 0}),
        limits=EngineLimits(variables_bytes_max=100),
    )
    scenario.start({"x": "y" * 100})
    assert scenario.state.variables == {"a": 0}
    assert scenario.statuses() == {"s": "FAILED_WITH_TERMINAL_ERROR"}
    assert scenario.status == "FAILED"


def test_set_variable_up_to_the_limit_is_set() -> None:
    """The bound itself is allowed: `{"a":"yyy"}` takes 11 bytes."""
    scenario = Scenario(
        workflow(task("s", "SET_VARIABLE", input_parameters={"a": "yyy"}), task("t")),
        limits=EngineLimits(variables_bytes_max=11),
    )
    scenario.start()
    assert scenario.state.variables == {"a": "yyy"}
