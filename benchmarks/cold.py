"""Beginnings: a cold start, and going on after a crash under load.

Holds the two measurements that start servers themselves. Must not wait longer than a user would. Keeps the invariant
that after the crash nothing that was acknowledged is lost: every workflow completes.
"""

import time
from contextlib import ExitStack

import msgspec

from benchmarks.definitions import THREE_TASKS, task_definition, three_tasks
from benchmarks.figures import percentile
from benchmarks.load.http_client import HttpClientConfig
from benchmarks.load.http_worker import HttpWorkerConfig
from benchmarks.load.peer import Peer
from benchmarks.load.run import UP_WITHIN_S, notice_pipe
from benchmarks.load.runs import Runs
from benchmarks.load.starts import run_rest_starts
from benchmarks.rest import check_completed
from benchmarks.results import BenchmarkFailed, Result
from benchmarks.stage import Log, Stage

IN_FLIGHT = 64
WORKFLOWS_MAX = 100_000
"""More than can be done in the time; the run is bounded by that."""
GOES_ON_S = 5.0
_DEAD_S = 0.05
"""An answer that the dead server had still sent is read within this time; no new server is up so soon."""


def run_cold_start(*arguments: str, starts: int = 5, open_workflows: int = 0) -> Result:
    """Start a server again and again and tell how long it takes from `exec` to healthy; with open workflows if asked.

    The first start, on an empty directory, makes the log and is told apart.
    """
    with Stage(Log.EMBEDDED, *arguments) as stage:
        if open_workflows:
            run_rest_starts(stage, workflows=open_workflows, idle_s=0.1)
        seconds = []
        for _ in range(starts):
            stage.server.stop()
            seconds.append(stage.server.start())
    return Result(
        case=f"cold start, embedded log, {open_workflows} open workflows",
        figures={"starts": starts, "p50_s": percentile(seconds, 0.5), "max_s": max(seconds)},
    )


def run_kill(*, after_s: float = 2.0, log: Log = Log.EMBEDDED) -> Result:
    """Kill the server while 64 workflows are in flight, start it again, and tell when the first one completes.

    The client goes on starting workflows until `GOES_ON_S` after the crash.

    Raises:
        BenchmarkFailed: a workflow whose start was acknowledged does not complete.
    """
    with Stage(log) as stage, ExitStack() as stack:
        stage.register(three_tasks(), [task_definition(name) for name in THREE_TASKS])
        reading, writing = notice_pipe(stack)
        worker_config = HttpWorkerConfig(
            port=stage.server.port,
            task_types=list(THREE_TASKS),
            tell=[THREE_TASKS[-1]],
            notices=writing,
            patient=True,
        )
        worker = stack.enter_context(Peer("benchmarks.load.http_worker", worker_config, descriptors=[writing]))
        worker.hear(within_s=UP_WITHIN_S)
        client_config = HttpClientConfig(
            port=stage.server.port,
            name="bench_three",
            workflows=WORKFLOWS_MAX,
            in_flight=IN_FLIGHT,
            notices=reading,
            seconds_max=after_s + GOES_ON_S,
            patient=True,
        )
        client = stack.enter_context(Peer("benchmarks.load.http_client", client_config, descriptors=[reading]))
        client.hear(within_s=UP_WITHIN_S)
        client.go()
        time.sleep(after_s)
        killed_s = time.monotonic()
        stage.server.kill()
        gone_s = time.monotonic()
        healthy_s = stage.server.start()
        runs = msgspec.json.decode(client.hear(within_s=180), type=Runs)
        worker.check()
        check_completed(stage.server.port, runs.ids, within_s=10)
    after_s_of = [ended / 1e9 - killed_s for ended in runs.ended_ns if ended / 1e9 > gone_s + _DEAD_S]
    before = len(runs.ids) - len(after_s_of)
    if not after_s_of or not before:
        message = f"{before} workflows completed before the crash and {len(after_s_of)} after it: the run was too short"
        raise BenchmarkFailed(message)
    return Result(
        case=f"kill -9 under load, {log} log",
        figures={
            "first_completion_s": min(after_s_of),
            "healthy_s": healthy_s,
            "completed_before": before,
            "completed_after": len(after_s_of),
        },
    )
