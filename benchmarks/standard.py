"""The standard set: what `make bench` runs, in at most ten minutes.

Holds the list of steps and their sizes. Must not stop at the first step that fails: the others are still worth having.
Keeps the invariant that each step is bounded in count and in time, and begins on a fresh server.
"""

from collections.abc import Callable, Sequence

import msgspec

from benchmarks.cold import run_cold_start, run_kill
from benchmarks.ladder import Shape, run_ladder, sizes_of
from benchmarks.load.run import Load, Workers, run_load
from benchmarks.load.starts import run_kafka_starts, run_rest_starts
from benchmarks.micro.client_cost import run_client_cost
from benchmarks.micro.engine_cost import run_decide, run_fold
from benchmarks.micro.inline_cost import run_real_inline, run_simple_inline
from benchmarks.micro.recovery import run_recovery
from benchmarks.results import Result
from benchmarks.searchable import run_searchable
from benchmarks.stage import Log, Stage
from benchmarks.timers import run_timers
from deploy.kafka.jars import missing_prerequisite


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what it is called while it runs, and what it does."""

    title: str
    run: Callable[[], Sequence[Result]]


def standard_steps(*, scale: float = 1.0) -> list[Step]:
    """Return the steps in order. `scale` makes all counts smaller, for a look in passing; its figures are no figures.

    The steps on Kafka are left out where no broker can run.
    """
    steps = [
        Step(title="deciding and folding", run=lambda: [run_decide(), run_fold(), run_client_cost()]),
        Step(
            title="cold start",
            run=lambda: [run_cold_start(), run_cold_start(starts=3, open_workflows=_some(10_000, scale))],
        ),
        Step(title="3 tasks, embedded log", run=lambda: _loads(Log.EMBEDDED, _embedded_loads(scale))),
        Step(title="starts by REST", run=lambda: [_rest_starts(scale)]),
        Step(title="start to searchable", run=lambda: [_searchable(scale)]),
        Step(title="ladder of sequences", run=lambda: [_ladder(Shape.SEQUENCE, scale)]),
        Step(title="ladder of forks", run=lambda: [_ladder(Shape.FORK, scale)]),
        Step(title="ladder of dynamic forks", run=lambda: [_ladder(Shape.DYNAMIC_FORK, scale)]),
        Step(title="ladder of loops", run=lambda: [_ladder(Shape.LOOP, scale)]),
        Step(title="ladder of sub-workflows", run=lambda: [_ladder(Shape.SUB_WORKFLOWS, scale)]),
        Step(title="INLINE tasks", run=lambda: [run_simple_inline(), run_real_inline()]),
        Step(title="timers", run=lambda: _timers(scale)),
        Step(title="kill -9 under load", run=lambda: [run_kill()]),
        Step(title="recovery", run=lambda: [run_recovery(workflows=_some(100_000, scale))]),
    ]
    if missing_prerequisite() is None:
        steps += [
            Step(title="3 tasks, Kafka", run=lambda: _loads(Log.KAFKA, _kafka_loads(scale))),
            Step(title="starts by Kafka", run=lambda: [_kafka_starts(scale)]),
        ]
    return steps


def _some(count: int, scale: float) -> int:
    return max(int(count * scale), 10)


def _loads(log: Log, loads: Sequence[Load]) -> list[Result]:
    results = []
    for load in loads:
        with Stage(log) as stage:
            results.append(run_load(stage, load))
    return results


def _embedded_loads(scale: float) -> list[Load]:
    return [
        Load(in_flight=1, workflows=_some(1_000, scale)),
        Load(in_flight=64, workflows=_some(12_000, scale)),
        Load(in_flight=64, workflows=_some(12_000, scale), chain=True),
    ]


def _kafka_loads(scale: float) -> list[Load]:
    return [
        Load(in_flight=1, workflows=_some(1_000, scale)),
        Load(in_flight=64, workflows=_some(6_000, scale)),
        Load(workers=Workers.KAFKA, in_flight=1, workflows=_some(1_000, scale)),
        Load(workers=Workers.KAFKA, in_flight=256, workflows=_some(20_000, scale)),
    ]


def _rest_starts(scale: float) -> Result:
    with Stage(Log.EMBEDDED) as stage:
        return run_rest_starts(stage, workflows=_some(10_000, scale))


def _kafka_starts(scale: float) -> Result:
    with Stage(Log.KAFKA) as stage:
        return run_kafka_starts(stage, workflows=_some(30_000, scale))


def _searchable(scale: float) -> Result:
    with Stage(Log.EMBEDDED) as stage:
        return run_searchable(stage, workflows=_some(40, scale))


def _ladder(shape: Shape, scale: float) -> Result:
    sizes = [*sizes_of(shape), *([500] if shape in {Shape.SEQUENCE, Shape.LOOP} else [])]
    with Stage(Log.EMBEDDED) as stage:
        return run_ladder(stage, shape, sorted({_some(size, scale) for size in sizes}))


def _timers(scale: float) -> list[Result]:
    with Stage(Log.EMBEDDED) as stage:
        return [
            run_timers(stage, timers=_some(1_000, scale), wait_s=2),
            run_timers(stage, timers=_some(10_000, scale), wait_s=20, in_one_second=True),
        ]
