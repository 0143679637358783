"""Starts alone: how many are accepted per second, and what an open workflow costs while nothing happens to it.

Holds both roads in, REST and Kafka. Must not let a worker take anything: every workflow stays open. Keeps the invariant
that a start counts when it is in force: over REST when it is acknowledged, over Kafka when its first task is in its
topic.
"""

import asyncio
import time
from contextlib import ExitStack

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from benchmarks.definitions import PARKED_TASK, parked, task_definition
from benchmarks.load.http_client import HttpClientConfig
from benchmarks.load.kafka_client import KafkaClientConfig
from benchmarks.load.peer import Peer
from benchmarks.load.run import UP_WITHIN_S, notice_pipe, warm_up_of
from benchmarks.load.runs import Runs
from benchmarks.results import BenchmarkFailed, Result
from benchmarks.stage import TOPIC_PREFIX, Stage
from benchmarks.usage import CpuMeter, cpu_percent_over, rss_mb
from streams.topics import task_topic

IDLE_S = 10.0
SETTLE_S = 3.0
"""After the last start, the history still writes; only then is the server idle."""
IN_FLIGHT = 64
_LOOK_EVERY_S = 0.02


def run_rest_starts(stage: Stage, *, workflows: int, seconds_max: float = 60.0, idle_s: float = IDLE_S) -> Result:
    """Start workflows over REST that stay open, then look at the idle server.

    Raises:
        BenchmarkFailed: a start was refused.
    """
    stage.register(parked(), [task_definition(PARKED_TASK)])
    with ExitStack() as stack:
        reading, _ = notice_pipe(stack)
        config = HttpClientConfig(
            port=stage.server.port,
            name="bench_parked",
            workflows=workflows,
            in_flight=IN_FLIGHT,
            notices=reading,
            notices_each=0,
            warm_up=warm_up_of(workflows),
            seconds_max=seconds_max,
        )
        client = stack.enter_context(Peer("benchmarks.load.http_client", config, descriptors=[reading]))
        client.hear(within_s=UP_WITHIN_S)
        time.sleep(SETTLE_S)
        rss_before_mb = rss_mb(stage.server.pid)
        meter = CpuMeter({**stage.pids(), "client": [client.pid]})
        with stage.measured():
            client.go()
            runs = msgspec.json.decode(client.hear(within_s=seconds_max + 90), type=Runs)
        cpu_s = meter.seconds()
    started = len(runs.ids)
    figures = runs.figures()
    return Result(
        case=f"starts by REST, {stage.log} log",
        figures={
            "starts": started,
            "starts_per_s": started / runs.seconds,
            "start_p50_ms": figures["p50_ms"],
            "start_p99_ms": figures["p99_ms"],
            **{f"{name}_cpu_ms_per_start": 1000 * used / started for name, used in cpu_s.items()},
            **_idle(stage, started, rss_before_mb, idle_s),
        },
    )


def run_kafka_starts(stage: Stage, *, workflows: int, seconds_max: float = 60.0, idle_s: float = IDLE_S) -> Result:
    """Produce start commands, wait until each has led to its first task, then look at the idle server.

    Raises:
        BenchmarkFailed: they have not all been decided in time.
    """
    stage.register(parked(), [task_definition(PARKED_TASK)])
    rss_before_mb = rss_mb(stage.server.pid)
    config = KafkaClientConfig(
        bootstrap=stage.bootstrap,
        topic_prefix=TOPIC_PREFIX,
        name="bench_parked",
        workflows=workflows,
        in_flight=workflows,
        ends=False,
    )
    with Peer("benchmarks.load.kafka_client", config) as client:
        client.hear(within_s=UP_WITHIN_S)
        meter = CpuMeter({**stage.pids(), "client": [client.pid]})
        begun = time.monotonic()
        with stage.measured():
            client.go()
            seconds = asyncio.run(_wait_dispatched(stage, workflows, begun=begun, seconds_max=seconds_max))
        cpu_s = meter.seconds()
        client.hear(within_s=UP_WITHIN_S)
    return Result(
        case="starts by Kafka",
        figures={
            "starts": workflows,
            "starts_per_s": workflows / seconds,
            **{f"{name}_cpu_ms_per_start": 1000 * used / workflows for name, used in cpu_s.items()},
            **_idle(stage, workflows, rss_before_mb, idle_s),
        },
    )


def _idle(stage: Stage, workflows: int, rss_before_mb: float, idle_s: float) -> dict[str, float]:
    time.sleep(SETTLE_S)
    return {
        "server_idle_cpu_percent": cpu_percent_over(stage.server.pid, idle_s),
        "server_rss_before_mb": rss_before_mb,
        "server_rss_after_mb": rss_mb(stage.server.pid),
        "kb_per_open_workflow": (rss_mb(stage.server.pid) - rss_before_mb) * 1024 / workflows,
    }


async def _wait_dispatched(stage: Stage, workflows: int, *, begun: float, seconds_max: float) -> float:
    """Return how long it took until the topic of the first task holds one record per workflow."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(TOPIC_PREFIX + task_topic(PARKED_TASK).name, 0)
        while True:
            dispatched = (await consumer.end_offsets([place]))[place]
            seconds = time.monotonic() - begun
            if dispatched >= workflows:
                return seconds
            if seconds > seconds_max:
                message = f"of {workflows} starts, {dispatched} had led to a task after {seconds_max:.0f} s"
                raise BenchmarkFailed(message)
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await consumer.stop()
