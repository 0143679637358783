"""Claims about retries: whether a further attempt follows, and after how long."""

import pytest

from engine.ids import TaskSeq
from engine.retry import DELAY_SECONDS_MAX, delay_ms
from engine.status import TaskStatus
from engine.testing import Scenario
from tests.engine.building import attempts, started, task, task_def, workflow


@pytest.mark.parametrize(
    ("fields", "delays_s"),
    [
        ({"retry_logic": "FIXED", "retry_delay_seconds": 5}, [5, 5, 5, 5]),
        ({"retry_logic": "FIXED", "retry_delay_seconds": 5, "backoff_scale_factor": 9}, [5, 5, 5, 5]),
        ({"retry_logic": "LINEAR_BACKOFF", "retry_delay_seconds": 5}, [5, 10, 15, 20]),
        ({"retry_logic": "LINEAR_BACKOFF", "retry_delay_seconds": 5, "backoff_scale_factor": 3}, [15, 30, 45, 60]),
        ({"retry_logic": "EXPONENTIAL_BACKOFF", "retry_delay_seconds": 5}, [5, 10, 20, 40]),
        (
            {"retry_logic": "EXPONENTIAL_BACKOFF", "retry_delay_seconds": 5, "max_retry_delay_seconds": 15},
            [5, 10, 15, 15],
        ),
        ({"retry_logic": "LINEAR_BACKOFF", "retry_delay_seconds": 5, "max_retry_delay_seconds": 12}, [5, 10, 12, 12]),
        ({"retry_logic": "FIXED", "retry_delay_seconds": 5, "max_retry_delay_seconds": 3}, [3, 3, 3, 3]),
        ({"retry_logic": "FIXED", "retry_delay_seconds": 0}, [0, 0, 0, 0]),
    ],
)
def test_delay_grows_as_the_definition_says(fields: dict[str, object], delays_s: list[int]) -> None:
    """Three logics, a factor for the linear one, and a cap for all."""
    definition = task_def("a", **fields)
    assert [delay_ms(definition, attempt=attempt, noise=0.0) for attempt in range(4)] == [s * 1000 for s in delays_s]


@pytest.mark.parametrize("logic", ["LINEAR_BACKOFF", "EXPONENTIAL_BACKOFF"])
@pytest.mark.parametrize("attempt", [31, 62, 10**6])
def test_delay_never_overflows(logic: str, attempt: int) -> None:
    """However many attempts, a delay is at most what fits an integer of Conductor, and is found at once."""
    definition = task_def("a", retry_logic=logic, retry_delay_seconds=10**6, backoff_scale_factor=10**6)
    assert delay_ms(definition, attempt=attempt, noise=0.0) == DELAY_SECONDS_MAX * 1000


@pytest.mark.parametrize(("noise", "extra_ms"), [(0.0, 0), (0.5, 250), (0.999, 499)])
def test_delay_has_its_jitter_on_top_of_the_cap(noise: float, extra_ms: int) -> None:
    """The jitter is what the shell's noise makes of it, from nothing up to less than the bound."""
    definition = task_def("a", retry_delay_seconds=9, max_retry_delay_seconds=4, backoff_jitter_ms=500)
    assert delay_ms(definition, attempt=0, noise=noise) == 4_000 + extra_ms


def test_delay_of_an_unregistered_task_is_the_default() -> None:
    """Sixty seconds, as Conductor has it."""
    assert delay_ms(None, attempt=2, noise=0.0) == 60_000


@pytest.mark.parametrize(
    ("task_fields", "registered", "expected"),
    [
        ({}, None, 3),  # a worker's task that nobody defined
        ({}, {"retry_count": 2}, 2),
        ({"retry_count": 1}, {"retry_count": 2}, 1),  # the task in the workflow has the last word
        ({"retry_count": 0}, {"retry_count": 2}, 0),
        ({"retry_count": 1}, None, 1),
    ],
)
def test_retries_are_counted_by_task_then_definition_then_default(
    task_fields: dict[str, int], registered: dict[str, int] | None, expected: int
) -> None:
    """So many further attempts follow the first, then the workflow fails."""
    definitions = [] if registered is None else [task_def("a", **registered)]
    scenario = started(task("a", **task_fields), others=definitions)
    while scenario.status == "RUNNING":
        scenario.wait(60_000)
        scenario.fail("a")
    assert len(attempts(scenario, "a")) == expected + 1
    assert scenario.status == "FAILED"


def test_retry_is_a_new_attempt_with_a_new_number_and_a_fresh_input() -> None:
    """It names the attempt that it replaces, has no output, and its input is computed anew."""
    scenario = Scenario(
        workflow(task("a", input_parameters={"seen": "${b.output.n}"}), task("b")),
        task_def("a", retry_delay_seconds=5),
    )
    scenario.start()
    scenario.report("a", TaskStatus.IN_PROGRESS, output={"half": 1})
    scenario.skip("b", output={"n": 2})
    scenario.fail("a")

    spec = scenario.task("a").spec
    assert (spec.attempt, spec.retry_of, spec.input) == (1, 1, {"seen": 2})
    assert scenario.task("a").progress.output == {}
    assert spec.due_at_ms == scenario.now_ms + 5_000
    assert spec.first_scheduled_at_ms == scenario.state.tasks[TaskSeq(1)].spec.at_ms


def test_retry_of_a_retry_remembers_the_first_scheduling() -> None:
    """The clock over all attempts runs from the first of them."""
    scenario = started(task("a"), others=[task_def("a", retry_delay_seconds=5)])
    first_at_ms = scenario.now_ms
    scenario.fail("a")
    scenario.wait(5_000)
    scenario.fail("a")
    assert scenario.task("a").spec.first_scheduled_at_ms == first_at_ms
