"""Claims about YIELD."""

from tests.engine.building import output_of, started, task


def test_yield_waits_until_somebody_completes_it() -> None:
    """A signal finds it, as it finds a WAIT."""
    scenario = started(task("y", "YIELD"), task("after"))
    scenario.update(None, output={"n": 1})
    assert output_of(scenario, "y") == {"n": 1}
    assert scenario.open_refs() == ["after"]


def test_yield_with_a_duration_ends_by_itself() -> None:
    """As a WAIT does."""
    scenario = started(task("y", "YIELD", input_parameters={"duration": "2 seconds"}))
    scenario.wait(2_000)
    assert scenario.status == "COMPLETED"
