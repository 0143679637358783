"""The ladder: how the cost of one workflow grows with the number of its tasks.

Holds sequences, forks (of the definition, and of the input), loops and sub-workflows in one another, of growing size,
each done by one HTTP worker. Must not judge a single size by itself: what
counts is the exponent of growth. Keeps the invariant that the small sizes are run several times, so that all sizes
measure work and not noise.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import StrEnum

import msgspec

from benchmarks.definitions import LADDER_TASK, deep, deeper, dynamic_fork, fork, loop, sequence, task_definition
from benchmarks.figures import growth
from benchmarks.load.http_client import HttpClientConfig
from benchmarks.load.http_worker import HttpWorkerConfig
from benchmarks.load.peer import Peer
from benchmarks.load.run import UP_WITHIN_S, notice_pipe
from benchmarks.load.runs import Runs
from benchmarks.rest import check_completed
from benchmarks.results import Result
from benchmarks.stage import Stage
from benchmarks.usage import CpuMeter

SIZES = (100, 300, 1_000, 3_000, 10_000)
TASKS_PER_SIZE = 2_000
"""Small workflows are repeated until about so many tasks were done."""
SLOTS = 100


class Shape(StrEnum):
    """How the tasks of one workflow lie to each other."""

    SEQUENCE = "sequence"
    FORK = "fork"
    DYNAMIC_FORK = "dynamic-fork"
    LOOP = "loop"
    SUB_WORKFLOWS = "sub-workflows"
    """In one another; the size is how deep."""


DEPTHS = (100, 300, 1_000)
"""The sizes of `SUB_WORKFLOWS`: an engine goes no deeper than about that."""

_DEFINITIONS: dict[Shape, Callable[[int], dict[str, object]]] = {
    Shape.SEQUENCE: sequence,
    Shape.FORK: fork,
    Shape.DYNAMIC_FORK: dynamic_fork,
    Shape.LOOP: loop,
    Shape.SUB_WORKFLOWS: deep,
}


def sizes_of(shape: Shape) -> Sequence[int]:
    """Return the usual sizes of a shape."""
    return DEPTHS if shape is Shape.SUB_WORKFLOWS else SIZES


def run_rung(stage: Stage, shape: Shape, size: int, *, repeats: int, seconds_max: float = 120.0) -> dict[str, float]:
    """Run workflows of one size, one after the other; return seconds and CPU seconds of one of them.

    Raises:
        BenchmarkFailed: one did not complete.
    """
    definition = _DEFINITIONS[shape](size)
    if shape is Shape.SUB_WORKFLOWS:
        stage.register(deeper(), [])
    stage.register(definition, [task_definition(LADDER_TASK)])
    with ExitStack() as stack:
        reading, writing = notice_pipe(stack)
        worker_config = HttpWorkerConfig(
            port=stage.server.port,
            task_types=[LADDER_TASK],
            tell=[LADDER_TASK],
            notices=writing,
            slots=SLOTS,
        )
        worker = stack.enter_context(Peer("benchmarks.load.http_worker", worker_config, descriptors=[writing]))
        worker.hear(within_s=UP_WITHIN_S)
        client_config = HttpClientConfig(
            port=stage.server.port,
            name=str(definition["name"]),
            workflows=repeats,
            in_flight=1,
            notices=reading,
            notices_each=1 if shape is Shape.SUB_WORKFLOWS else size,
            seconds_max=seconds_max,
        )
        client = stack.enter_context(Peer("benchmarks.load.http_client", client_config, descriptors=[reading]))
        client.hear(within_s=UP_WITHIN_S)
        meter = CpuMeter(stage.pids())
        with stage.measured():
            client.go()
            runs = msgspec.json.decode(client.hear(within_s=seconds_max + 90), type=Runs)
        cpu_s = meter.seconds()["server"]
        worker.check()
    check_completed(stage.server.port, runs.ids)
    return {"seconds": sum(runs.latencies_ms()) / 1000 / len(runs.ids), "cpu_seconds": cpu_s / len(runs.ids)}


def run_ladder(stage: Stage, shape: Shape, sizes: Sequence[int] = ()) -> Result:
    """Run every size, the usual ones if none are given, and tell how cost grows."""
    sizes = sizes or sizes_of(shape)
    figures: dict[str, float] = {}
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    for size in sizes:
        rung = run_rung(stage, shape, size, repeats=max(1, TASKS_PER_SIZE // size))
        seconds.append(rung["seconds"])
        cpu_seconds.append(rung["cpu_seconds"])
        figures[f"{size}_tasks_s"] = rung["seconds"]
        figures[f"{size}_tasks_ms_per_task"] = 1000 * rung["seconds"] / size
        figures[f"{size}_tasks_server_cpu_ms_per_task"] = 1000 * rung["cpu_seconds"] / size
    if len(sizes) > 1:
        figures["growth_of_time"] = growth(sizes, seconds)
        figures["growth_of_server_cpu"] = growth(sizes, cpu_seconds)
    return Result(case=f"ladder, {shape}, {stage.log} log", figures=figures)
