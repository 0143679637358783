"""Claims about the budgets and the verdict on a run."""

import pytest

from benchmarks.budgets import BUDGETS, Better, Budget, Verdict, verdicts
from benchmarks.results import Result

LOWER = Budget(work="a", case="case", figure="ms", unit="ms", floor=10, reach=5)
HIGHER = Budget(work="b", case="case", figure="per_s", unit="/s", floor=10, reach=20, better=Better.HIGHER)


@pytest.mark.parametrize(
    ("budget", "measured", "is_missed", "is_reached"),
    [
        (LOWER, 10.1, True, False),
        (LOWER, 10.0, False, False),
        (LOWER, 5.0, False, True),
        (LOWER, None, False, False),
        (HIGHER, 9.9, True, False),
        (HIGHER, 10.0, False, False),
        (HIGHER, 20.0, False, True),
        (HIGHER, None, False, False),
    ],
)
def test_a_verdict_compares_in_the_better_direction(
    budget: Budget, measured: float | None, *, is_missed: bool, is_reached: bool
) -> None:
    """The floor itself is kept, and what was not measured is neither missed nor reached."""
    verdict = Verdict(budget=budget, measured=measured)
    assert (verdict.is_missed, verdict.is_reached) == (is_missed, is_reached)


def test_verdicts_read_the_figure_of_their_case() -> None:
    """Each row finds its own figure; rows without one say that they were not measured."""
    first = BUDGETS[0]
    found = verdicts([Result(case=first.case, figures={first.figure: 1.5})])

    assert [verdict.measured for verdict in found if verdict.budget is first] == [1.5]
    assert {verdict.measured for verdict in found if verdict.budget.case != first.case} == {None}


def test_reaches_are_beyond_their_floors() -> None:
    """What is worked towards is better than what must hold."""
    for budget in BUDGETS:
        if budget.reach is not None:
            assert Verdict(budget=budget, measured=budget.reach).is_reached
            assert not Verdict(budget=budget, measured=budget.reach).is_missed, budget.work
