"""`podium worker`: a Python function as a worker that takes its tasks from Kafka.

Holds the composition: settings, the function, signals. Must not hold the loop (`streams.workers.kafka_worker`).
Keeps the invariant that the first SIGTERM or SIGINT lets running tasks end, and the second one ends the process.
"""

import asyncio
import signal
import sys

import structlog

from api.cli.failures import CalledWrongly, failure_of
from api.cli.logs import configure_logs
from api.settings import LogLevel
from streams.errors import StreamsError
from streams.kafka import KafkaSettings
from streams.workers.kafka_worker import run_kafka_worker
from streams.workers.task_function import FunctionNotFound, TaskFunction, load_function

_log = structlog.get_logger(__name__)


def run_worker(
    target: str,
    *,
    kafka: str,
    topic_prefix: str,
    task_type: str | None,
    domain: str,
    concurrency: int,
    worker_id: str,
    log_level: LogLevel = LogLevel.INFO,
) -> None:
    """Do the tasks of one type with the function `module:function`, until SIGTERM or SIGINT.

    Without a task type, the function's name is it.

    Raises:
        CalledWrongly: there is no such function.
        CommandFailed: the cluster refuses for good.
    """
    configure_logs(log_level)
    function = _load(target)
    settings = KafkaSettings(bootstrap=kafka, topic_prefix=topic_prefix, client_id="podium-worker")
    try:
        asyncio.run(
            _run(
                function,
                settings,
                task_type=task_type or target.rpartition(":")[2],
                domain=domain,
                concurrency=concurrency,
                worker_id=worker_id,
            )
        )
    except (StreamsError, BaseExceptionGroup) as error:
        raise failure_of(error) from error


def _load(target: str) -> TaskFunction:
    # As `python -m` does: modules of the directory that one stands in are found.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return load_function(target)
    except FunctionNotFound as error:
        raise CalledWrongly(str(error)) from error


async def _run(
    function: TaskFunction,
    settings: KafkaSettings,
    *,
    task_type: str,
    domain: str,
    concurrency: int,
    worker_id: str,
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        _log.info("stopping", task_type=task_type)
        stopping.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _log.info("working", task_type=task_type, domain=domain, kafka=settings.bootstrap)
    await run_kafka_worker(
        function,
        kafka=settings,
        task_type=task_type,
        domain=domain,
        worker_id=worker_id,
        concurrency=concurrency,
        stopping=stopping,
    )
