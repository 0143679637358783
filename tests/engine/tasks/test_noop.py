"""Claims about NOOP."""

from tests.engine.building import output_of, started, task


def test_noop_is_over_at_once() -> None:
    """It puts out nothing, and the flow goes on in the same decision."""
    scenario = started(task("n", "NOOP", input_parameters={"x": "${workflow.input.x}"}), task("after"), x=1)
    assert scenario.statuses() == {"n": "COMPLETED", "after": "SCHEDULED"}
    assert output_of(scenario, "n") == {}
    assert scenario.task("n").spec.input == {"x": 1}


def test_noop_alone_completes_the_workflow_in_its_start() -> None:
    """A workflow that waits for nothing ends in the decision that begins it."""
    assert started(task("n", "NOOP")).status == "COMPLETED"
