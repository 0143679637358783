"""Claims about the how-to page of Kafka workers: its programs are tried as they stand there."""

import asyncio
import re
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from deploy.kafka.broker import KafkaBroker
from engine.commands import ClaimTask, Command, ReportTaskResult
from engine.status import TaskStatus
from streams.kafka import KafkaLog, KafkaOutlet, KafkaSettings, KafkaTaskFeed, OutletRecord
from streams.topics import COMMANDS, TopicSpec, partition_of, task_topic
from streams.workers import NonRetryable

PAGE = Path("docs/how-to/kafka-worker.md")
PARTITIONS = 5
TASK = {"taskId": "w9~1", "workflowInstanceId": "w9", "inputData": {"videoId": "v1"}}


def programs() -> list[str]:
    """Return the Python programs of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def started(path: Path) -> subprocess.Popen[bytes]:
    """Start a program."""
    return subprocess.Popen([sys.executable, str(path)])


def test_function_of_the_guide_is_a_task_function() -> None:
    """The first program of the page: it returns an output, and refuses what can never work."""
    names: dict[str, object] = {}
    exec(programs()[0], names)  # noqa: S102 - our own page
    encode = names["encode"]
    assert callable(encode)
    assert encode(TASK) == {"renditions": 2}
    with pytest.raises(NonRetryable):
        encode({"inputData": {}})


@pytest.mark.slow
async def test_program_of_the_guide_is_a_whole_worker(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """It claims, reports into the partition where the engine looks, and commits."""
    prefix = f"t{uuid.uuid4().hex[:12]}."
    program = programs()[1].replace("localhost:9092", kafka_broker.bootstrap).replace('"podium.', f'"{prefix}')
    path = tmp_path / "worker.py"
    path.write_text(program)
    settings = KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=prefix)
    async with asyncio.timeout(100), KafkaLog(settings) as log, KafkaOutlet(settings) as outlet:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=PARTITIONS)])
        await outlet.send([OutletRecord(topic=task_topic("encode"), key=b"w9~1", value=msgspec.json.encode(TASK))])
        worker = started(path)
        try:
            reader = log.reader(COMMANDS, partition_of(b"w9", PARTITIONS), from_offset=0)
            commands: list[Command] = []
            while len(commands) < 2:
                records = await reader.read(records_max=2, wait_ms=1_000)
                commands += [msgspec.json.decode(record.value or b"", type=Command) for record in records]
        finally:
            worker.terminate()
            worker.wait()
    claim, result = commands
    assert isinstance(claim, ClaimTask)
    assert isinstance(result, ReportTaskResult)
    assert (claim.task_id, result.task_id) == ("w9~1", "w9~1")
    assert (result.status, result.output_data) == (TaskStatus.COMPLETED, {"renditions": 2, "videoId": "v1"})


async def test_group_of_the_guide_is_the_group_of_the_library(kafka_broker: KafkaBroker) -> None:
    """Workers in all languages share one group."""
    settings = KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix="podium.")
    assert f'group_id="{KafkaTaskFeed(settings, task_type="encode").group}"' in programs()[1]
