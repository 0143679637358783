"""Arithmetic on what was measured.

Must not measure. Keeps the invariant that a figure of nothing is an error, never a zero.
"""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least `share` (0 to 1) of them do not exceed."""
    if not values:
        message = "a percentile needs at least one value"
        raise ValueError(message)
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def growth(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent e of cost = a * size^e that fits best: 1 is linear, 2 is quadratic.

    The least-squares slope in double logarithmic scale.
    """
    if len(sizes) != len(costs) or len(set(sizes)) < 2:
        message = f"growth needs a cost for each of at least two sizes, got {len(sizes)} sizes and {len(costs)} costs"
        raise ValueError(message)
    xs = [math.log(size) for size in sizes]
    ys = [math.log(cost) for cost in costs]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)


def latency_figures(prefix: str, values_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and the maximum of latencies, named `<prefix>p50_ms` and so on."""
    return {
        f"{prefix}p50_ms": percentile(values_ms, 0.5),
        f"{prefix}p90_ms": percentile(values_ms, 0.9),
        f"{prefix}p99_ms": percentile(values_ms, 0.99),
        f"{prefix}max_ms": max(values_ms),
    }
