"""A worker process that takes tasks as a Kafka consumer and answers with task-result commands.

Holds one consumer per task type, in that type's public group, and one producer. Must not be measured together with the
server. Keeps the invariants of a real worker: it commits offsets behind what it has handed in, and every send's future
is looked at.

Run as `python -m benchmarks.load.kafka_worker CONFIG` with the JSON of `KafkaWorkerConfig`.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.load.peer import failing_loudly, first_of, say
from streams.topics import COMMANDS, TASKS_PREFIX, task_topic

FETCH_WAIT_MS: Final = 1_000
_RECORDS_MAX: Final = 500
_COMMIT_EVERY_MS: Final = 1_000


class KafkaWorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tasks are."""

    bootstrap: str
    topic_prefix: str
    task_types: list[str]
    worker_id: str = "worker"


class _Input(msgspec.Struct):
    number: int = -1


class _Task(msgspec.Struct, rename="camel"):
    task_id: str
    workflow_instance_id: str
    input_data: _Input


_task_decoder: Final = msgspec.json.Decoder(_Task)


async def work(config: KafkaWorkerConfig) -> None:
    """Work until SIGTERM."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with AsyncExitStack() as stack:
        failure = await stack.enter_async_context(failing_loudly())
        producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap, acks="all", linger_ms=0)
        await producer.start()
        stack.push_async_callback(producer.stop)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        serving = []
        for task_type in config.task_types:
            consumer = await _joined(config, task_type)
            stack.push_async_callback(consumer.stop)
            serving.append(group.create_task(_serve(consumer, producer, config), name=task_type))
        say("ready")
        await first_of(told.wait(), failure)
        for one in serving:
            one.cancel()


async def _joined(config: KafkaWorkerConfig, task_type: str) -> AIOKafkaConsumer:
    """Return a consumer that has been given its partitions. The topics exist."""
    topic = task_topic(task_type).name
    consumer = AIOKafkaConsumer(
        config.topic_prefix + topic,
        bootstrap_servers=config.bootstrap,
        group_id=f"{config.topic_prefix}workers.{topic.removeprefix(TASKS_PREFIX)}",
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        auto_commit_interval_ms=_COMMIT_EVERY_MS,
    )
    await consumer.start()
    while not consumer.assignment():  # noqa: ASYNC110 (before the run; a listener would take a class)
        await asyncio.sleep(0.01)
    return consumer


async def _serve(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, config: KafkaWorkerConfig) -> None:
    topic = config.topic_prefix + COMMANDS
    while True:
        found = await consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=_RECORDS_MAX)
        sent: list[asyncio.Future[Any]] = []
        for records in found.values():
            sent += await _answer(records, producer, topic, config.worker_id)
        for one in sent:
            await one


async def _answer(
    records: Sequence[Any], producer: AIOKafkaProducer, topic: str, worker_id: str
) -> list["asyncio.Future[Any]"]:
    sent = []
    for record in records:
        task = _task_decoder.decode(record.value)
        workflow_id = task.workflow_instance_id
        result = (
            f'{{"command":"task_result","workflowInstanceId":"{workflow_id}","taskId":"{task.task_id}",'
            f'"workerId":"{worker_id}","status":"COMPLETED","outputData":{{"number":{task.input_data.number}}}}}'
        )
        sent.append(await producer.send(topic, key=workflow_id.encode(), value=result.encode()))
    return sent


def main() -> None:
    """Run the process."""
    asyncio.run(work(msgspec.json.decode(sys.argv[1], type=KafkaWorkerConfig)))


if __name__ == "__main__":
    main()
