"""Three tasks in sequence, through and through: one case of throughput and latency.

Holds the arrangement of server, workers and client. Must not measure inside any of them. Keeps the invariant that a
case whose workflows are not all COMPLETED by the server's own word has no figures.
"""

import os
from contextlib import ExitStack
from enum import StrEnum

import msgspec

from benchmarks.definitions import THREE_TASKS, task_definition, three_tasks
from benchmarks.load.http_client import HttpClientConfig
from benchmarks.load.http_worker import HttpWorkerConfig
from benchmarks.load.kafka_client import KafkaClientConfig
from benchmarks.load.kafka_worker import KafkaWorkerConfig
from benchmarks.load.peer import Peer
from benchmarks.load.runs import Runs
from benchmarks.rest import check_completed
from benchmarks.results import Result
from benchmarks.stage import TOPIC_PREFIX, Log, Stage
from benchmarks.usage import CpuMeter, cpu_percent_over, rss_mb

UP_WITHIN_S = 60.0
IDLE_S = 3.0


class Workers(StrEnum):
    """How the workers take tasks."""

    HTTP = "http"
    KAFKA = "kafka"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One case."""

    workers: Workers = Workers.HTTP
    in_flight: int = 64
    workflows: int = 5_000
    rate_per_s: float = 0.0
    chain: bool = False
    worker_processes: int = 1
    seconds_max: float = 30.0

    def case(self, stage: Stage) -> str:
        """Return the name of the case in results."""
        pace = f"{self.rate_per_s:g} per s" if self.rate_per_s else f"{self.in_flight} in flight"
        chained = ", update-v2" if self.chain else ""
        return f"3 tasks, {self.workers} workers, {stage.log} log, {pace}{chained}"


def run_load(stage: Stage, load: Load) -> Result:
    """Run a case on a server that is up.

    Raises:
        BenchmarkFailed: it did not do what was to be measured.
    """
    stage.register(three_tasks(), [task_definition(name) for name in THREE_TASKS])
    rss_before_mb = rss_mb(stage.server.pid)
    with ExitStack() as stack:
        client, workers = _peers(stage, load, stack)
        for worker in workers:
            worker.hear(within_s=UP_WITHIN_S)
        client.hear(within_s=UP_WITHIN_S)
        meter = CpuMeter({**stage.pids(), "client": [client.pid], "workers": [worker.pid for worker in workers]})
        with stage.measured():
            client.go()
            runs = msgspec.json.decode(client.hear(within_s=load.seconds_max + 90), type=Runs)
        cpu_s = meter.seconds()
        for worker in workers:
            worker.check()
        rss_after_mb = rss_mb(stage.server.pid)
        idle_percent = cpu_percent_over(stage.server.pid, IDLE_S)
    checked = check_completed(stage.server.port, runs.ids, forgets=not stage.keeps_history)
    return Result(
        case=load.case(stage),
        figures={
            **runs.figures(),
            **{f"{name}_cpu_ms_per_workflow": 1000 * used / len(runs.ids) for name, used in cpu_s.items()},
            "server_cores_used": cpu_s["server"] / runs.seconds,
            "server_rss_before_mb": rss_before_mb,
            "server_rss_after_mb": rss_after_mb,
            "server_idle_cpu_percent": idle_percent,
            "checked_workflows": checked,
        },
    )


def _peers(stage: Stage, load: Load, stack: ExitStack) -> tuple[Peer, list[Peer]]:
    """Start the workers, then the client."""
    warm_up = warm_up_of(load.workflows, on_kafka=stage.log is Log.KAFKA)
    if load.workers is Workers.KAFKA:
        taking = KafkaWorkerConfig(bootstrap=stage.bootstrap, topic_prefix=TOPIC_PREFIX, task_types=list(THREE_TASKS))
        workers = [
            stack.enter_context(Peer("benchmarks.load.kafka_worker", taking)) for _ in range(load.worker_processes)
        ]
        starting = KafkaClientConfig(
            bootstrap=stage.bootstrap,
            topic_prefix=TOPIC_PREFIX,
            name="bench_three",
            workflows=load.workflows,
            in_flight=load.in_flight,
            warm_up=warm_up,
            seconds_max=load.seconds_max,
        )
        return stack.enter_context(Peer("benchmarks.load.kafka_client", starting)), workers
    return _http_peers(stage, load, stack, warm_up)


def _http_peers(stage: Stage, load: Load, stack: ExitStack, warm_up: int) -> tuple[Peer, list[Peer]]:
    reading, writing = notice_pipe(stack)
    workers = [
        stack.enter_context(
            Peer(
                "benchmarks.load.http_worker",
                HttpWorkerConfig(
                    port=stage.server.port,
                    task_types=list(THREE_TASKS),
                    tell=[THREE_TASKS[-1]],
                    notices=writing,
                    worker_id=f"worker-{number}",
                    chain=load.chain,
                ),
                descriptors=[writing],
            )
        )
        for number in range(load.worker_processes)
    ]
    starting = HttpClientConfig(
        port=stage.server.port,
        name="bench_three",
        workflows=load.workflows,
        in_flight=load.in_flight,
        notices=reading,
        warm_up=warm_up,
        rate_per_s=load.rate_per_s,
        seconds_max=load.seconds_max,
    )
    return stack.enter_context(Peer("benchmarks.load.http_client", starting, descriptors=[reading])), workers


def notice_pipe(stack: ExitStack) -> tuple[int, int]:
    """Return a pipe for notices, reading end first, closed with the stack."""
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return reading, writing


def warm_up_of(workflows: int, *, on_kafka: bool = False) -> int:
    """Return how many workflows to run first: enough to fill caches, few beside the run.

    A broker that has just been started needs more: its JVM still interprets what it will soon have compiled.
    """
    return min(workflows, 1_000) if on_kafka else min(max(workflows // 10, 5), 300)
