"""Claims about the arithmetic of the benchmarks."""

import pytest

from benchmarks.figures import growth, latency_figures, percentile
from benchmarks.load.runs import Runs


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentile_is_a_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    """A percentile is one of the values, whatever their order."""
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    """A figure of nothing is no zero."""
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_growth_finds_the_exponent(exponent: float) -> None:
    """Costs that grow like a power are told by that power."""
    sizes = [100.0, 300.0, 1_000.0]
    assert growth(sizes, [7 * size**exponent for size in sizes]) == pytest.approx(exponent)


@pytest.mark.parametrize(("sizes", "costs"), [([1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0])])
def test_growth_without_two_sizes_is_refused(sizes: list[float], costs: list[float]) -> None:
    """One size says nothing about growth."""
    with pytest.raises(ValueError, match="two sizes"):
        growth(sizes, costs)


def test_runs_tell_throughput_and_latency() -> None:
    """Throughput counts from the first start to the last end, latency per workflow."""
    runs = Runs(begun_ns=[0, 10**9], ended_ns=[10**9, 4 * 10**9], ids=["a", "b"])

    assert runs.figures() == {
        "workflows": 2,
        "seconds": 4.0,
        "workflows_per_s": 0.5,
        **latency_figures("", [1_000.0, 3_000.0]),
    }
