"""Timers: how late they fire, and that none fires early.

Holds many WAIT tasks at once. Must not trust the server's word alone: the task after the wait comes to a worker, and
the instant of its arrival is the worker's. Keeps the invariant that one early timer fails the run.
"""

import time
from contextlib import ExitStack
from typing import Any

import msgspec

from benchmarks.definitions import AFTER_WAIT_TASK, task_definition, wait_then_work
from benchmarks.figures import latency_figures
from benchmarks.load.http_client import HttpClientConfig
from benchmarks.load.http_worker import HttpWorkerConfig
from benchmarks.load.notices import now_ns
from benchmarks.load.peer import Peer
from benchmarks.load.run import UP_WITHIN_S, notice_pipe
from benchmarks.load.runs import Runs
from benchmarks.rest import Rest
from benchmarks.results import BenchmarkFailed, Result
from benchmarks.stage import Stage

CONNECTIONS = 64
STARTS_PER_S = 1_500
"""Slow enough that a start is decided in the second in which it is sent: its due second is reckoned from that."""


def run_timers(stage: Stage, *, timers: int, wait_s: int, in_one_second: bool = False) -> Result:
    """Start workflows that wait, and look at when each went on.

    `wait_s`: how long each waits; with `in_one_second`, they all become due within one second, that many seconds after
    the first start, so `wait_s` must be longer than all the starts take.

    Raises:
        BenchmarkFailed: a timer fired early, a workflow did not complete, or `wait_s` is over before the last start.
    """
    if in_one_second and timers / STARTS_PER_S >= wait_s:
        starts_s = timers / STARTS_PER_S
        message = (
            f"{timers} starts take {starts_s:.0f} s at {STARTS_PER_S} per second, and all timers would be due after "
            f"{wait_s} s: let them wait longer (--wait-s)"
        )
        raise BenchmarkFailed(message)
    stage.register(wait_then_work(), [task_definition(AFTER_WAIT_TASK)])
    with ExitStack() as stack:
        reading, writing = notice_pipe(stack)
        worker_config = HttpWorkerConfig(
            port=stage.server.port,
            task_types=[AFTER_WAIT_TASK],
            tell=[AFTER_WAIT_TASK],
            notices=writing,
            slots=1_000,
            tell_arrival=True,
        )
        worker = stack.enter_context(Peer("benchmarks.load.http_worker", worker_config, descriptors=[writing]))
        worker.hear(within_s=UP_WITHIN_S)
        client_config = HttpClientConfig(
            port=stage.server.port,
            name="bench_wait",
            workflows=timers,
            in_flight=timers,
            connections=CONNECTIONS,
            notices=reading,
            inputs="" if in_one_second else f',"seconds":{wait_s}',
            spread_due_s=wait_s if in_one_second else 0,
            rate_per_s=STARTS_PER_S if in_one_second else 0.0,
        )
        client = stack.enter_context(Peer("benchmarks.load.http_client", client_config, descriptors=[reading]))
        client.hear(within_s=UP_WITHIN_S)
        client.go()
        runs = msgspec.json.decode(client.hear(within_s=180), type=Runs)
        worker.check()
    return Result(
        case=f"timers, {timers} {'due in one second' if in_one_second else f'of {wait_s} s'}, {stage.log} log",
        figures=_lateness(stage.server.port, runs),
    )


def _lateness(port: int, runs: Runs) -> dict[str, float]:
    wall_minus_monotonic_ms = time.time_ns() / 1e6 - now_ns() / 1e6
    fired_ms: list[float] = []
    arrived_ms: list[float] = []
    due_at_ms: list[float] = []
    with Rest(port) as rest:
        for workflow_id, arrived_ns in zip(runs.ids, runs.ended_ns, strict=True):
            wait = _wait_task(rest.workflow(workflow_id, tasks=True))
            due = wait["scheduledTime"] + 1000 * int(wait["inputData"]["duration"].split()[0])
            due_at_ms.append(due)
            fired_ms.append(wait["endTime"] - due)
            arrived_ms.append(arrived_ns / 1e6 + wall_minus_monotonic_ms - due)
    if min(fired_ms) < 0:
        early = sum(late < 0 for late in fired_ms)
        message = f"{early} of {len(fired_ms)} timers fired early, by up to {-min(fired_ms):.0f} ms"
        raise BenchmarkFailed(message)
    return {
        "timers": len(fired_ms),
        "due_within_s": (max(due_at_ms) - min(due_at_ms)) / 1000,
        **latency_figures("fired_late_", fired_ms),
        **latency_figures("worker_late_", arrived_ms),
        "early": 0,
    }


def _wait_task(workflow: dict[str, Any]) -> dict[str, Any]:
    if workflow["status"] != "COMPLETED":
        message = f"workflow {workflow['workflowId']} should be COMPLETED, but the server says {workflow['status']}"
        raise BenchmarkFailed(message)
    found: dict[str, Any] = next(task for task in workflow["tasks"] if task["taskType"] == "WAIT")
    return found
