"""A client process that starts workflows by producing commands and learns from `outcomes` when they end.

Holds the closed loop over Kafka. Must not ask the server anything. Keeps the invariant that a workflow has ended when
its outcome has been read: that is when a service outside can know.

Run as `python -m benchmarks.load.kafka_client CONFIG` with the JSON of `KafkaClientConfig`; says the same as
`http_client`.
"""

import asyncio
import sys
import uuid
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from benchmarks.load.notices import now_ns
from benchmarks.load.peer import say, wait_go
from benchmarks.load.runs import Runs
from benchmarks.results import BenchmarkFailed
from streams.topics import COMMANDS, OUTCOMES

_POLL_MS: Final = 100
_RECORDS_MAX: Final = 1_000


class KafkaClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does. After `seconds_max` nothing more is started. With `ends=False` it only starts."""

    bootstrap: str
    topic_prefix: str
    name: str
    workflows: int
    in_flight: int
    warm_up: int = 0
    seconds_max: float = 60.0
    ends: bool = True


class _Outcome(msgspec.Struct, rename="camel"):
    workflow_id: str
    status: str


_outcome_decoder: Final = msgspec.json.Decoder(_Outcome)


class KafkaClient:
    """One run."""

    def __init__(
        self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, config: KafkaClientConfig, *, count: int
    ) -> None:
        """Start nothing yet."""
        self._producer = producer
        self._consumer = consumer
        self._config = config
        self._count = count
        self._topic = config.topic_prefix + COMMANDS
        self._begun_ns: dict[str, int] = {}
        self._ended_ns: dict[str, int] = {}
        self._sent: list[asyncio.Future[Any]] = []

    async def run(self) -> Runs:
        """Start and wait for all."""
        stop_ns = now_ns() + int(self._config.seconds_max * 1e9)
        give_up_ns = stop_ns + 60 * 10**9
        wanted = self._count
        await self._start(min(self._config.in_flight, self._count))
        while len(self._ended_ns) < wanted:
            ended = await self._read_ends()
            now = now_ns()
            if now > stop_ns:
                wanted = len(self._begun_ns)
            if now > give_up_ns:
                message = f"of {len(self._begun_ns)} workflows started, only {len(self._ended_ns)} ended in time"
                raise BenchmarkFailed(message)
            await self._start(min(ended, wanted - len(self._begun_ns)))
        for one in self._sent:
            await one
        ids = list(self._begun_ns)
        return Runs(
            begun_ns=[self._begun_ns[one] for one in ids], ended_ns=[self._ended_ns[one] for one in ids], ids=ids
        )

    async def start_all(self) -> Runs:
        """Produce all starts, wait until the log has them, and wait for no end."""
        await self._start(self._count)
        await self._producer.flush()
        for one in self._sent:
            await one
        ids = list(self._begun_ns)
        return Runs(begun_ns=list(self._begun_ns.values()), ended_ns=[now_ns()] * len(ids), ids=ids)

    async def _start(self, count: int) -> None:
        for _ in range(count):
            number = len(self._begun_ns)
            workflow_id = str(uuid.uuid4())
            body = (
                f'{{"command":"start_workflow","workflowId":"{workflow_id}","name":"{self._config.name}","version":1,'
                f'"input":{{"number":{number}}}}}'
            )
            self._begun_ns[workflow_id] = now_ns()
            self._sent.append(await self._producer.send(self._topic, key=workflow_id.encode(), value=body.encode()))

    async def _read_ends(self) -> int:
        ended = 0
        found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_MAX)
        at_ns = now_ns()
        for records in found.values():
            for record in records:
                outcome = _outcome_decoder.decode(record.value)
                if outcome.workflow_id not in self._begun_ns or outcome.workflow_id in self._ended_ns:
                    continue
                if outcome.status != "COMPLETED":
                    raise BenchmarkFailed(f"workflow {outcome.workflow_id} should complete but is {outcome.status}")
                self._ended_ns[outcome.workflow_id] = at_ns
                ended += 1
        return ended


async def run(config: KafkaClientConfig) -> None:
    """Warm up, wait for the go, run, tell."""
    producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap, acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=config.bootstrap, enable_auto_commit=False)
    await producer.start()
    await consumer.start()
    try:
        topic = config.topic_prefix + OUTCOMES
        partitions = await producer.partitions_for(topic)
        consumer.assign([TopicPartition(topic, partition) for partition in sorted(partitions)])
        await consumer.seek_to_end()
        if config.warm_up:
            await KafkaClient(producer, consumer, config, count=config.warm_up).run()
        say("warm")
        wait_go()
        client = KafkaClient(producer, consumer, config, count=config.workflows)
        runs = await (client.run() if config.ends else client.start_all())
        say(msgspec.json.encode(runs).decode())
    finally:
        await consumer.stop()
        await producer.stop()


def main() -> None:
    """Run the process."""
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=KafkaClientConfig)))


if __name__ == "__main__":
    main()
