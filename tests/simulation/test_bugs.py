"""The simulator bites: every bug that is put in on purpose is found."""

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.runs import SeedFailed, run_seed


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_found_within_its_number_of_seeds(bug: Bug) -> None:
    """Each is a mistake that somebody could make; the seeds before the one that finds it cost about 20 ms each."""
    seeds = range(bug.seeds_max)
    with bug.put_in():
        found = next((result for seed in seeds if (result := _failure(seed)) is not None), None)
    assert found is not None, f"{bug.name} ({bug.mistake}) was not found within {bug.seeds_max} seeds"


def test_bugs_are_taken_out_again() -> None:
    """After all of them, the seeds that found them pass."""
    assert [failed for seed in range(20) if (failed := _failure(seed)) is not None] == []


def _failure(seed: int) -> SeedFailed | None:
    result = run_seed(seed)
    return result if isinstance(result, SeedFailed) else None
