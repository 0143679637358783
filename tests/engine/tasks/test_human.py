"""Claims about HUMAN: it waits for somebody."""

from engine.status import TaskStatus
from tests.engine.building import attempts, output_of, started, task, task_def


def test_human_waits_until_somebody_completes_it() -> None:
    """It is in progress at once, has no timer, and ends by an update."""
    scenario = started(task("h", "HUMAN", input_parameters={"form": "f"}), task("after"))
    assert (scenario.statuses(), scenario.timers) == ({"h": "IN_PROGRESS"}, {})
    scenario.update("h", TaskStatus.COMPLETED, {"approved": True})
    assert output_of(scenario, "h") == {"approved": True}
    assert scenario.open_refs() == ["after"]


def test_human_that_somebody_fails_ends_the_workflow() -> None:
    """A refusal is a failure like any other."""
    scenario = started(task("h", "HUMAN"))
    scenario.update("h", TaskStatus.FAILED)
    assert scenario.status == "FAILED"


def test_human_timeout_holds_while_it_waits() -> None:
    """The timeouts of its definition are looked at, whoever else waits."""
    scenario = started(task("h", "HUMAN"), others=[task_def("h", timeout_seconds=60)])
    scenario.wait(60_000)
    assert scenario.status == "TIMED_OUT"


def test_human_retry_begins_when_its_delay_is_over() -> None:
    """A further attempt is scheduled until then."""
    scenario = started(task("h", "HUMAN"), others=[task_def("h", retry_count=1, retry_delay_seconds=5)])
    scenario.fail("h")
    assert attempts(scenario, "h") == [(0, "FAILED"), (1, "SCHEDULED")]
    scenario.wait(5_000)
    assert attempts(scenario, "h") == [(0, "FAILED"), (1, "IN_PROGRESS")]
