"""What happens when the broker is not there, goes away, hangs or comes back.

Each test has a broker of its own, because it does away with it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.broker import KafkaBroker
from streams.errors import LogUnavailable
from streams.kafka import KafkaAssignment, KafkaLog, KafkaOutlet, KafkaSettings, KafkaTaskFeed, OutletRecord
from streams.ports import LogRecord, NewRecord
from streams.topics import COMMANDS, TopicSpec, task_topic

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka_available")]

TIMEOUT_MS = 2_000
"""Shorter than the default, so that the tests are short."""
SLACK_S = 1.5
"""On a busy machine, over the timeout."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker that is not running yet."""
    broker = KafkaBroker(tmp_path / "kafka")
    yield broker
    broker.kill()


@pytest.fixture
def settings(broker: KafkaBroker) -> KafkaSettings:
    """How to reach it."""
    return KafkaSettings(bootstrap=broker.bootstrap, timeout_ms=TIMEOUT_MS)


def record(value: str) -> NewRecord:
    """Return a record with a readable value."""
    return NewRecord(key=b"k", value=value.encode())


async def read_all(log: KafkaLog, topic: str, partition: int) -> list[str]:
    """Return all values of a partition."""
    held = await log.offsets(topic, partition)
    reader = log.reader(topic, partition, from_offset=held.earliest)
    found: list[LogRecord] = []
    while len(found) < held.next - held.earliest:
        found += await reader.read(records_max=1_000, wait_ms=1_000)
    return [(one.value or b"").decode() for one in found]


def is_stopped(pid: int) -> bool:
    """Tell whether a process has stopped, with all its threads."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(") ")[2].startswith("T") for stat in stats)


async def wait_stopped(pid: int) -> None:
    """Wait until a signal to stop has reached a process: on a busy machine it goes on for a while."""
    async with asyncio.timeout(10):
        while not is_stopped(pid):
            await asyncio.sleep(0.01)


class Owner:
    """Knows what it owns."""

    def __init__(self) -> None:
        self.owned: frozenset[int] = frozenset()
        self.owns_something = asyncio.Event()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Note it."""
        self.owned |= partitions
        self.owns_something.set()

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Note it."""
        self.owned -= partitions


async def test_everything_begins_without_a_broker_and_works_when_it_comes(
    broker: KafkaBroker, settings: KafkaSettings
) -> None:
    """Errors come in bounded time and say so; nothing has to be made anew when the broker is there."""
    owner = Owner()
    async with asyncio.TaskGroup() as group, KafkaLog(settings) as log, KafkaOutlet(settings) as outlet:
        assignment = group.create_task(KafkaAssignment(settings).run(owner))
        async with KafkaTaskFeed(settings, task_type="t") as feed:
            reader = log.reader(COMMANDS, 0, from_offset=0)
            begun = time.monotonic()
            assert not await log.ping()
            assert not await reader.read(records_max=1, wait_ms=100)
            with pytest.raises(LogUnavailable):
                await feed.read(records_max=1, wait_ms=100)
            task = OutletRecord(topic=task_topic("t"), key=b"k", value=b"task")
            for attempt in (
                log.append(COMMANDS, 0, [record("lost")]),
                outlet.send([task]),
                log.create_topics([TopicSpec(name=COMMANDS, partitions=2)]),
            ):
                with pytest.raises(LogUnavailable):
                    await attempt
            assert time.monotonic() - begun < 3 * TIMEOUT_MS / 1_000 + SLACK_S

            await asyncio.to_thread(broker.start)

            await log.create_topics([TopicSpec(name=COMMANDS, partitions=2)])
            assert await log.ping()
            assert await log.append(COMMANDS, 0, [record("first")]) == 0
            (found,) = await reader.read(records_max=1, wait_ms=5_000)
            assert found.value == b"first"
            await outlet.send([task])
            async with asyncio.timeout(20):
                while not (tasks := await feed.read(records_max=1, wait_ms=500)):
                    pass
                assert tasks[0].value == b"task"
                await owner.owns_something.wait()
            assignment.cancel()


async def test_kills_of_the_broker_lose_and_double_nothing_that_was_acknowledged(
    broker: KafkaBroker, settings: KafkaSettings
) -> None:
    """Three kill -9 under load: what was acknowledged is at its offset, once; the log goes on by itself."""
    await asyncio.to_thread(broker.start)
    acknowledged: dict[int, str] = {}
    progress = asyncio.Condition()
    failures: list[LogUnavailable] = []
    stop = asyncio.Event()

    async def write(log: KafkaLog, writer: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                offset = await log.append(COMMANDS, 0, [record(f"{writer}/{number}")])
            except LogUnavailable as error:
                failures.append(error)
            else:
                assert offset not in acknowledged
                async with progress:
                    acknowledged[offset] = f"{writer}/{number}"
                    progress.notify_all()

    async def wait_acknowledged(more: int) -> None:
        goal = len(acknowledged) + more
        async with asyncio.timeout(30), progress:
            await progress.wait_for(lambda: len(acknowledged) >= goal)

    async with KafkaLog(settings) as log:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=1)])
        async with asyncio.TaskGroup() as group:
            for writer in range(8):
                group.create_task(write(log, writer))
            for _ in range(3):
                await wait_acknowledged(200)
                await asyncio.to_thread(broker.kill)
                await asyncio.to_thread(broker.start)
            await wait_acknowledged(200)
            stop.set()
        values = await read_all(log, COMMANDS, 0)
    assert {offset: values[offset] for offset in acknowledged} == acknowledged
    assert len(set(values)) == len(values)


async def test_a_broker_that_hangs_fails_appends_in_bounded_time(broker: KafkaBroker, settings: KafkaSettings) -> None:
    """Everything in flight fails together and nothing called before that is stored behind a loss; then it goes on."""
    await asyncio.to_thread(broker.start)
    async with KafkaLog(settings) as log:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=2)])
        await log.append(COMMANDS, 0, [record("before")])
        pid = broker.pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await wait_stopped(pid)
            begun = time.monotonic()
            calls = [log.append(COMMANDS, 0, [record("lost")])]
            await asyncio.sleep(0.05)
            calls += [log.append(COMMANDS, 0, [record("lost")]) for _ in range(5)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - begun < TIMEOUT_MS / 1_000 + SLACK_S
            assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 6
            assert not await log.ping()
        finally:
            os.kill(pid, signal.SIGCONT)
        # The first batch may have been taken in spite of everything: nothing is known about it.
        assert await log.append(COMMANDS, 0, [record("after")]) in (1, 2)
        values = await read_all(log, COMMANDS, 0)
    assert values in (["before", "after"], ["before", "lost", "after"])


async def test_a_waiting_reader_outlives_a_restart_of_the_broker(broker: KafkaBroker, settings: KafkaSettings) -> None:
    """Its cursor stands where it stood, and the first record after the restart arrives."""
    await asyncio.to_thread(broker.start)
    async with KafkaLog(settings) as log:
        await log.create_topics([TopicSpec(name=COMMANDS, partitions=1)])
        await log.append(COMMANDS, 0, [record("before")])
        reader = log.reader(COMMANDS, 0, from_offset=0)
        assert [one.value for one in await reader.read(records_max=1, wait_ms=1_000)] == [b"before"]

        async def read_on() -> LogRecord:
            while True:
                try:
                    if found := await reader.read(records_max=1, wait_ms=1_000):
                        return found[0]
                except LogUnavailable:
                    continue

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_on())
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            await log.append(COMMANDS, 0, [record("after")])
            async with asyncio.timeout(10):
                assert (await reading).value == b"after"


@pytest.mark.slow
async def test_the_loss_of_a_leader_among_three_brokers_is_bridged(tmp_path: Path) -> None:
    """The two others go on: every append is acknowledged, none is lost, while each is killed once."""
    broker = KafkaBroker(tmp_path / "kafka", nodes=3, heap_mb=384)
    settings = KafkaSettings(bootstrap=broker.bootstrap, timeout_ms=20_000)
    acknowledged: dict[tuple[int, int], str] = {}
    try:
        await asyncio.to_thread(broker.start)
        async with KafkaLog(settings) as log:
            await log.create_topics([TopicSpec(name=COMMANDS, partitions=3)])
            for node in (1, 2, 3):
                await asyncio.to_thread(broker.kill, node)
                for number in range(30):
                    partition = number % 3
                    value = f"{node}/{number}"
                    acknowledged[partition, await log.append(COMMANDS, partition, [record(value)])] = value
                await asyncio.to_thread(broker.start, node)
            found = {
                (partition, offset): value
                for partition in range(3)
                for offset, value in enumerate(await read_all(log, COMMANDS, partition))
            }
        assert found == acknowledged
    finally:
        await asyncio.to_thread(broker.kill)
