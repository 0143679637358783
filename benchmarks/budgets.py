"""What Podium promises to cost: the table of floors and reaches, and the verdict on a run.

Holds the numbers and the comparison. Must not measure. Keeps the invariant that a floor without a measured figure is
said to be unmeasured, never taken for kept.

The floor is what must hold on two cores with clients, workers and (where there is one) the broker on the same two; the
reach is what is worked towards.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from benchmarks.results import Result


class Better(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One row: which figure of which case, and what it should be."""

    work: str
    case: str
    figure: str
    unit: str
    floor: float
    reach: float | None = None
    better: Better = Better.LOWER


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A row with what was measured; None where it was not."""

    budget: Budget
    measured: float | None

    @property
    def is_missed(self) -> bool:
        """Whether the figure was measured and does not keep the floor."""
        return self.measured is not None and not _keeps(self.measured, self.budget.floor, self.budget.better)

    @property
    def is_reached(self) -> bool:
        """Whether the figure is where it is worked towards."""
        reach = self.budget.reach
        return self.measured is not None and reach is not None and _keeps(self.measured, reach, self.budget.better)


BUDGETS: Final[tuple[Budget, ...]] = (
    Budget(
        work="3 tasks, HTTP workers, embedded, 64 in flight",
        case="3 tasks, http workers, embedded log, 64 in flight",
        figure="workflows_per_s",
        unit="/s",
        floor=600,
        reach=1_000,
        better=Better.HIGHER,
    ),
    Budget(
        work="3 tasks, HTTP workers, embedded, 1 in flight, p50",
        case="3 tasks, http workers, embedded log, 1 in flight",
        figure="p50_ms",
        unit="ms",
        floor=10,
        reach=5,
    ),
    Budget(
        work="3 tasks, HTTP workers, Kafka, 1 in flight, p50",
        case="3 tasks, http workers, kafka log, 1 in flight",
        figure="p50_ms",
        unit="ms",
        floor=15,
        reach=9,
    ),
    Budget(
        work="3 tasks, Kafka workers, 1 in flight, p50",
        case="3 tasks, kafka workers, kafka log, 1 in flight",
        figure="p50_ms",
        unit="ms",
        floor=12,
        reach=6,
    ),
    Budget(
        work="3 tasks, Kafka workers, 256 in flight",
        case="3 tasks, kafka workers, kafka log, 256 in flight",
        figure="workflows_per_s",
        unit="/s",
        floor=1_500,
        reach=5_000,
        better=Better.HIGHER,
    ),
    Budget(
        work="deciding, CPU per 3-task workflow",
        case="deciding, 3-task workflows",
        figure="cpu_ms_per_workflow",
        unit="ms",
        floor=0.4,
        reach=0.15,
    ),
    Budget(
        work="folding events of a log",
        case="folding, 3-task workflows",
        figure="events_per_s",
        unit="/s",
        floor=150_000,
        better=Better.HIGHER,
    ),
    Budget(
        work="sequence of 100 to 10,000 tasks, growth of server CPU",
        case="ladder, sequence, embedded log",
        figure="growth_of_server_cpu",
        unit="",
        floor=1.1,
    ),
    Budget(
        work="fork of 100 to 10,000 tasks and join, growth of server CPU",
        case="ladder, fork, embedded log",
        figure="growth_of_server_cpu",
        unit="",
        floor=1.1,
    ),
    Budget(
        work="fork of 1,000 tasks and join, HTTP worker",
        case="ladder, fork, embedded log",
        figure="1000_tasks_s",
        unit="s",
        floor=0.8,
        reach=0.35,
    ),
    Budget(
        work="500 tasks in sequence, HTTP worker",
        case="ladder, sequence, embedded log",
        figure="500_tasks_s",
        unit="s",
        floor=2,
        reach=1,
    ),
    Budget(
        work="dynamic fork of 100 to 10,000 tasks and join, growth of server CPU",
        case="ladder, dynamic-fork, embedded log",
        figure="growth_of_server_cpu",
        unit="",
        floor=1.1,
    ),
    Budget(
        work="loop of 100 to 10,000 passes, growth of server CPU",
        case="ladder, loop, embedded log",
        figure="growth_of_server_cpu",
        unit="",
        floor=1.1,
    ),
    Budget(
        work="100 to 1,000 sub-workflows in one another, growth of server CPU",
        case="ladder, sub-workflows, embedded log",
        figure="growth_of_server_cpu",
        unit="",
        floor=1.1,
    ),
    Budget(
        work="loop of 500 passes, HTTP worker",
        case="ladder, loop, embedded log",
        figure="500_tasks_s",
        unit="s",
        floor=2,
        reach=1,
    ),
    Budget(
        work="INLINE with a simple expression, engine CPU",
        case="INLINE, simple expression",
        figure="cpu_ms_per_workflow",
        unit="ms",
        floor=1,
    ),
    Budget(
        work="INLINE with real JavaScript, in the sandbox, p50",
        case="INLINE, real JavaScript",
        figure="p50_ms",
        unit="ms",
        floor=3,
    ),
    Budget(
        work="1,000 timers of 2 s, late p99 at the worker",
        case="timers, 1000 of 2 s, embedded log",
        figure="worker_late_p99_ms",
        unit="ms",
        floor=50,
    ),
    Budget(
        work="10,000 timers due in one second, late p99",
        case="timers, 10000 due in one second, embedded log",
        figure="fired_late_p99_ms",
        unit="ms",
        floor=50,
    ),
    Budget(
        work="starts by REST",
        case="starts by REST, embedded log",
        figure="starts_per_s",
        unit="/s",
        floor=1_500,
        reach=2_500,
        better=Better.HIGHER,
    ),
    Budget(
        work="starts by Kafka",
        case="starts by Kafka",
        figure="starts_per_s",
        unit="/s",
        floor=5_000,
        reach=15_000,
        better=Better.HIGHER,
    ),
    Budget(
        work="idle with 10,000 open workflows, of one core",
        case="starts by REST, embedded log",
        figure="server_idle_cpu_percent",
        unit="%",
        floor=2,
    ),
    Budget(
        work="start to searchable, p99",
        case="start to searchable, embedded log",
        figure="p99_ms",
        unit="ms",
        floor=2_000,
        reach=500,
    ),
    Budget(
        work="cold start, empty",
        case="cold start, embedded log, 0 open workflows",
        figure="p50_s",
        unit="s",
        floor=1.5,
        reach=0.7,
    ),
    Budget(
        work="kill -9 under load, first completion again",
        case="kill -9 under load, embedded log",
        figure="first_completion_s",
        unit="s",
        floor=2,
        reach=1,
    ),
    Budget(
        work="recovery of 1,000,000 open workflows, first decision",
        case="recovery of 1000000 open workflows, embedded log",
        figure="first_decision_s",
        unit="s",
        floor=10,
    ),
    Budget(
        work="1,000,000 open workflows, memory",
        case="recovery of 1000000 open workflows, embedded log",
        figure="server_rss_mb",
        unit="MiB",
        floor=1_907,
    ),
)


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return every row with what these results say of it."""
    figures = {result.case: result.figures for result in results}
    return [Verdict(budget=budget, measured=figures.get(budget.case, {}).get(budget.figure)) for budget in BUDGETS]


def _keeps(measured: float, bound: float, better: Better) -> bool:
    return measured <= bound if better is Better.LOWER else measured >= bound
