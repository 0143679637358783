"""Claims about worker processes on a real broker: they stop when told, and die without losing a task."""

import asyncio
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from api.cli.failures import CalledWrongly
from api.cli.worker import run_worker
from deploy.kafka.broker import KafkaBroker
from engine.commands import Command, ReportTaskResult
from engine.status import TaskStatus
from streams.kafka import KafkaLog, KafkaOutlet, KafkaSettings, OutletRecord
from streams.topics import COMMANDS, TopicSpec, task_topic

FUNCTION = """
import os, pathlib, signal

def encode(task):
    marks = pathlib.Path("marks")
    marks.write_text(marks.read_text() + "begun " if marks.exists() else "begun ")
    if task["inputData"].get("dies") and marks.read_text() == "begun ":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"marks": marks.read_text()}
"""

PROGRAM = """
import sys
from api.cli.worker import run_worker
run_worker("tasks_of_mine:encode", kafka=sys.argv[1], topic_prefix=sys.argv[2], task_type=None, domain="",
           concurrency=2, worker_id="")
"""


@pytest.fixture
def settings(kafka_broker: KafkaBroker) -> KafkaSettings:
    """The shared broker, under a prefix of the test's own."""
    return KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:12]}.")


def start_worker(settings: KafkaSettings, folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker process in a folder that has the function's module."""
    (folder / "tasks_of_mine.py").write_text(FUNCTION)
    arguments = [sys.executable, "-c", PROGRAM, settings.bootstrap, settings.topic_prefix]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(arguments, cwd=folder, stderr=log)


async def first_result(settings: KafkaSettings, worker: subprocess.Popen[bytes], folder: Path) -> ReportTaskResult:
    """Wait for the first result among the commands; a worker that has died will not send one."""
    async with KafkaLog(settings) as log:
        reader = log.reader(COMMANDS, 0, from_offset=0)
        while True:
            assert worker.poll() is None, (folder / "log").read_text()
            for record in await reader.read(records_max=10, wait_ms=1_000):
                command = msgspec.json.decode(record.value or b"", type=Command)
                if isinstance(command, ReportTaskResult):
                    return command


async def offer(settings: KafkaSettings, **task_input: object) -> None:
    """Make the commands topic and send one task."""
    task = {"taskId": "w~1", "workflowInstanceId": "w", "inputData": task_input}
    async with KafkaLog(settings) as log, KafkaOutlet(settings) as outlet:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=1)])
        await outlet.send([OutletRecord(topic=task_topic("encode"), key=b"w~1", value=msgspec.json.encode(task))])


@pytest.mark.slow
async def test_worker_process_does_tasks_until_it_is_told_to_stop(settings: KafkaSettings, tmp_path: Path) -> None:
    """The function's name is the task type; SIGTERM ends the process cleanly."""
    async with asyncio.timeout(60):
        await offer(settings)
        worker = start_worker(settings, tmp_path)
        try:
            result = await first_result(settings, worker, tmp_path)
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 20) == 0
        finally:
            worker.kill()
            worker.wait()
    assert (result.status, result.output_data) == (TaskStatus.COMPLETED, {"marks": "begun "})


@pytest.mark.slow
async def test_worker_killed_in_the_middle_of_a_task_leaves_it_to_the_next(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    """The record was not committed: another member of the group does the task again."""
    async with asyncio.timeout(100):
        await offer(settings, dies=True)
        first = start_worker(settings, tmp_path)
        try:
            assert await asyncio.to_thread(first.wait, 40) == -signal.SIGKILL
        finally:
            first.kill()
            first.wait()
        second = start_worker(settings, tmp_path)
        try:
            result = await first_result(settings, second, tmp_path)
        finally:
            second.kill()
            second.wait()
    assert (result.status, result.output_data) == (TaskStatus.COMPLETED, {"marks": "begun begun "})


def test_function_that_is_not_there_is_told_before_anything_is_connected() -> None:
    """The exit code is that of a wrong call."""
    with pytest.raises(CalledWrongly, match="there is no module 'no_such_module'"):
        run_worker(
            "no_such_module:f",
            kafka="127.0.0.1:1",
            topic_prefix="",
            task_type=None,
            domain="",
            concurrency=1,
            worker_id="",
        )
