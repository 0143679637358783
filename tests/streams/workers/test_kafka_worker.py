"""Claims about the worker that takes tasks from Kafka: over a log in memory, and on a real broker."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from deploy.kafka.broker import KafkaBroker
from engine.commands import ClaimTask, Command, ReportTaskResult
from engine.ids import WorkflowId
from engine.json_value import JsonObject, JsonValue
from engine.status import TaskStatus
from streams.errors import LogUnavailable, RecordTooLarge
from streams.kafka import KafkaLog, KafkaOutlet, KafkaSettings, KafkaTaskFeed, OutletRecord
from streams.memory.log import MemoryLog
from streams.ports import Log, LogRecord, NewRecord
from streams.topics import COMMANDS, TopicSpec, engine_topics, partition_of, task_topic
from streams.workers import NonRetryable
from streams.workers.kafka_worker import KafkaWorker, run_kafka_worker
from streams.workers.task_function import TaskFunction

TASKS = task_topic("encode")
PARTITIONS = 3


class Bench:
    """Tasks and commands in one log in memory; remembers which tasks are done with."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.tasks = log.reader(TASKS.name, 0, from_offset=0)
        self.done: list[int] = []
        self.refusals: list[Exception] = []
        self.largest_read = 0
        self.extensions = 0
        self.stopping = asyncio.Event()
        self._changed = asyncio.Event()

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that this bench sees has come true."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def wait_done(self, count: int) -> None:
        """Wait until so many tasks are done with."""
        await self.wait_until(lambda: len(self.done) >= count)

    async def read(self, *, records_max: int, wait_ms: int) -> Sequence[LogRecord]:
        """See `TaskFeed`."""
        self.largest_read = max(self.largest_read, records_max)
        return await self.tasks.read(records_max=records_max, wait_ms=min(wait_ms, 20))

    def handed_out(self, record: LogRecord) -> None:
        """See `TaskFeed`."""
        self.done.append(record.offset)
        self._changed.set()

    def send(self, workflow_id: WorkflowId, value: bytes) -> Awaitable[object]:
        """See `CommandSink`; refuses as often as it was told to."""
        self._changed.set()
        is_extension = b'"extendLease":true' in value
        self.extensions += is_extension
        if self.refusals and b'"task_result"' in value and not is_extension:
            refused: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            refused.set_exception(self.refusals.pop(0))
            return refused
        key = workflow_id.encode()
        return self.log.append(COMMANDS, partition_of(key, PARTITIONS), [NewRecord(key=key, value=value)])

    async def offer(self, *numbers: int, **fields: JsonValue) -> None:
        """Append tasks as the engine dispatches them."""
        for number in numbers:
            await self.log.append(TASKS.name, 0, [NewRecord(key=None, value=task_json(number, **fields))])

    async def commands(self) -> list[Command]:
        """Return every command so far, by partition."""
        found = [
            record
            for partition in range(PARTITIONS)
            for record in await self.log.reader(COMMANDS, partition, from_offset=0).read(records_max=1_000, wait_ms=0)
        ]
        assert all(record.partition == partition_of(record.key or b"", PARTITIONS) for record in found)
        return [msgspec.json.decode(record.value or b"", type=Command) for record in found]

    async def results(self) -> list[ReportTaskResult]:
        """Return the final reports so far."""
        return [c for c in await self.commands() if isinstance(c, ReportTaskResult) and not c.extend_lease]


def task_json(number: int, **fields: JsonValue) -> bytes:
    """Return a task with its number as input."""
    task = {"taskId": f"w{number}~1", "workflowInstanceId": f"w{number}", "inputData": {"number": number}}
    return msgspec.json.encode(task | {"responseTimeoutSeconds": 3600, "taskType": "encode"} | fields)


@asynccontextmanager
async def working(
    function: TaskFunction, *, concurrency: int = 2, tasks: Sequence[int] = (), **fields: JsonValue
) -> AsyncIterator[Bench]:
    """Run a worker over a log in memory; leaving the block stops it and waits for its end."""
    async with MemoryLog() as log:
        await log.create_topics([*engine_topics(partitions=PARTITIONS), TASKS])
        bench = Bench(log)
        await bench.offer(*tasks, **fields)
        worker = KafkaWorker(function, feed=bench, commands=bench, worker_id="me", concurrency=concurrency)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(worker.run(bench.stopping))
            yield bench
            bench.stopping.set()


def double(task: JsonObject) -> JsonObject:
    """Return twice the number of the input."""
    return {"doubled": 2 * task["inputData"]["number"]}


async def test_task_is_claimed_then_done_then_reported() -> None:
    """The claim comes first in the workflow's partition, the result carries the output."""
    async with working(double, tasks=[4]) as bench:
        await bench.wait_done(1)
        claim, result = await bench.commands()

    assert isinstance(claim, ClaimTask)
    assert (claim.task_id, claim.worker_id) == ("w4~1", "me")
    assert claim.claimed_at_ms > 0
    assert isinstance(result, ReportTaskResult)
    assert (result.task_id, result.workflow_instance_id, result.worker_id) == ("w4~1", "w4", "me")
    assert (result.status, result.output_data) == (TaskStatus.COMPLETED, {"doubled": 8})
    assert result.reason_for_incompletion is None


async def test_exceptions_become_results_and_the_worker_goes_on() -> None:
    """One bad task neither stops the worker nor is done again by it."""

    def picky(task: JsonObject) -> JsonObject:
        number = task["inputData"]["number"]
        if number == 1:
            raise ValueError("try later")
        if number == 2:
            raise NonRetryable("never")
        return {"object": object()} if number == 3 else {}

    async with working(picky, tasks=[1, 2, 3, 4], concurrency=1) as bench:
        await bench.wait_done(4)
        results = {result.workflow_instance_id: result for result in await bench.results()}

    assert [(results[WorkflowId(f"w{n}")].status) for n in range(1, 5)] == [
        TaskStatus.FAILED,
        TaskStatus.FAILED_WITH_TERMINAL_ERROR,
        TaskStatus.FAILED,
        TaskStatus.COMPLETED,
    ]
    assert results[WorkflowId("w1")].reason_for_incompletion == "try later"
    assert results[WorkflowId("w2")].reason_for_incompletion == "never"
    assert "cannot be written as JSON" in (results[WorkflowId("w3")].reason_for_incompletion or "")


async def test_no_more_functions_run_at_once_than_allowed_nor_are_more_tasks_taken() -> None:
    """What this process cannot begin is left to others."""
    running = most = 0

    async def slow(task: JsonObject) -> JsonObject:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return {}

    async with working(slow, tasks=range(20), concurrency=3) as bench:
        await bench.wait_done(20)
    assert (most, bench.largest_read) == (3, 3)


async def test_blocking_functions_run_beside_each_other() -> None:
    """Two tasks that wait for each other in threads both end."""
    meeting = threading.Barrier(2)

    def meet(task: JsonObject) -> JsonObject:
        meeting.wait(timeout=10)
        return {}

    async with working(meet, tasks=[1, 2], concurrency=2) as bench:
        await bench.wait_done(2)
        assert {result.status for result in await bench.results()} == {TaskStatus.COMPLETED}


async def test_record_is_done_with_only_when_its_result_is_durable() -> None:
    """While the log refuses, the worker reports again, and the task is not committed."""
    async with working(double) as bench:
        bench.refusals += [LogUnavailable("no broker"), LogUnavailable("no broker")]
        await bench.offer(1)
        await bench.wait_until(lambda: len(bench.refusals) < 2)
        assert bench.done == []
        await bench.wait_done(1)
        assert [result.output_data for result in await bench.results()] == [{"doubled": 2}]


async def test_output_that_is_too_large_fails_for_good() -> None:
    """It would be too large again."""
    async with working(double) as bench:
        bench.refusals.append(RecordTooLarge("2 MB"))
        await bench.offer(1)
        await bench.wait_done(1)
        (result,) = await bench.results()
    assert result.status is TaskStatus.FAILED_WITH_TERMINAL_ERROR
    assert result.reason_for_incompletion == "the output is too large: 2 MB"


async def test_lease_is_extended_while_the_function_runs_and_not_after() -> None:
    """A third of the response timeout lies between two extensions."""
    release = asyncio.Event()

    async def slow(task: JsonObject) -> JsonObject:
        await release.wait()
        return {}

    async with working(slow, tasks=[1], responseTimeoutSeconds=1) as bench:
        await bench.wait_until(lambda: bench.extensions >= 2)
        release.set()
        await bench.wait_done(1)
        commands = await bench.commands()

    assert isinstance(commands[-1], ReportTaskResult)
    assert commands[-1].status is TaskStatus.COMPLETED
    assert all(isinstance(c, ReportTaskResult) and c.extend_lease for c in commands[1:-1])


@pytest.mark.parametrize("value", [b"not json", b"[]", b'{"taskId": 5}', b"{}", None])
async def test_record_that_is_no_task_is_passed_over(value: bytes | None) -> None:
    """The next task is done all the same."""
    async with working(double) as bench:
        await bench.log.append(TASKS.name, 0, [NewRecord(key=b"k", value=value)])
        await bench.offer(3)
        await bench.wait_done(2)
        assert [result.output_data for result in await bench.results()] == [{"doubled": 6}]


async def test_worker_told_to_stop_finishes_what_it_has_in_hand() -> None:
    """A task that has begun is reported, and none is begun after that."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(task: JsonObject) -> JsonObject:
        begun.set()
        await release.wait()
        return {}

    async with working(slow, tasks=[1], concurrency=1) as bench:
        await begun.wait()
        bench.stopping.set()
        await bench.offer(2)
        release.set()
        await bench.wait_done(1)
        assert [result.workflow_instance_id for result in await bench.results()] == ["w1"]
    assert bench.done == [0]


async def read_commands(log: Log, partition: int, count: int) -> list[Command]:
    """Return the first commands of a partition."""
    reader = log.reader(COMMANDS, partition, from_offset=0)
    found: list[LogRecord] = []
    while len(found) < count:
        found += await reader.read(records_max=count, wait_ms=1_000)
    await reader.close()
    return [msgspec.json.decode(record.value or b"", type=Command) for record in found]


async def test_on_a_broker_task_goes_in_and_result_comes_out_once_it_is_committed(
    kafka_broker: KafkaBroker,
) -> None:
    """The commands lie where the engine looks for them; a worker started later finds nothing left to do."""
    settings = KafkaSettings(bootstrap=kafka_broker.bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:12]}.")
    calls: list[int] = []

    def counted(task: JsonObject) -> JsonObject:
        calls.append(task["inputData"]["number"])
        return double(task)

    async with asyncio.timeout(60), KafkaLog(settings) as log, KafkaOutlet(settings) as outlet:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=PARTITIONS)])
        await outlet.send([OutletRecord(topic=TASKS, key=b"w7~1", value=task_json(7))])
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_kafka_worker(counted, kafka=settings, task_type="encode", stopping=stopping, worker_id="me")
            )
            claim, result = await read_commands(log, partition_of(b"w7", PARTITIONS), 2)
            stopping.set()
        assert isinstance(claim, ClaimTask)
        assert isinstance(result, ReportTaskResult)
        assert result.output_data == {"doubled": 14}
        async with KafkaTaskFeed(settings, task_type="encode") as feed:
            assert list(await feed.read(records_max=10, wait_ms=3_000)) == []
    assert calls == [7]
