"""From start to searchable: how long until a search finds a workflow that was started.

Holds the measurement only. Must not load the server: what is measured is the delay of the history. Keeps the invariant
that the time counts from the acknowledgement of the start.
"""

import time

from benchmarks.definitions import PARKED_TASK, parked, task_definition
from benchmarks.figures import latency_figures
from benchmarks.rest import Rest
from benchmarks.results import BenchmarkFailed, Result
from benchmarks.stage import Stage

_LOOK_EVERY_S = 0.02
_WITHIN_S = 10.0


def run_searchable(stage: Stage, *, workflows: int = 40) -> Result:
    """Start workflows one by one and search for each until it is found.

    Raises:
        BenchmarkFailed: one is not found within ten seconds.
    """
    stage.register(parked(), [task_definition(PARKED_TASK)])
    delays_ms = []
    with Rest(stage.server.port) as rest:
        for number in range(workflows):
            workflow_id = rest.start("bench_parked", number=number)
            begun = time.monotonic()
            while not rest.found_by_search(workflow_id):
                if time.monotonic() - begun > _WITHIN_S:
                    raise BenchmarkFailed(f"workflow {workflow_id} was not found within {_WITHIN_S:.0f} s")
                time.sleep(_LOOK_EVERY_S)
            delays_ms.append(1000 * (time.monotonic() - begun))
    return Result(
        case=f"start to searchable, {stage.log} log",
        figures={"workflows": workflows, **latency_figures("", delays_ms)},
    )
