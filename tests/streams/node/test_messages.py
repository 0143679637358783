"""Claims about messages out of workflows: sent after their decision, at least once, under one id, in order."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from engine.commands import SendMessage
from engine.definitions import WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.model import WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.node import open_node
from streams.publishing.messages import InternalEvent, KafkaMessage, OutgoingMessage, SinkFailed
from streams.publishing.sinks import KafkaTargets
from streams.settings import NodeSettings
from streams.topics import COMMANDS, DEAD_LETTER, INTERNAL_EVENTS, OUTGOING, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, completed, decisions, records, start
from tests.streams.node.test_node import ended
from tests.streams.node.test_node import start as start_on
from tests.streams.node.test_requests import serving

WITHIN_S = 20


def task(ref: str, kind: str = "SIMPLE", **fields: object) -> WorkflowTask:
    """Return a task."""
    return WorkflowTask(name=ref, task_reference_name=RefName(ref), type=kind, **fields)  # type: ignore[arg-type]  # its fields


EVENT = WorkflowDef(
    name="telling", tasks=(task("tell", "EVENT", sink="conductor:done", input_parameters={"n": "${workflow.input.n}"}),)
)
PULL = WorkflowDef(name="pulling", tasks=(task("pull", "PULL_WORKFLOW_MESSAGES"), task("work")))


def listened(sink: str) -> WorkflowDef:
    """Return a workflow of one task whose status is told to a sink."""
    return WorkflowDef(
        name="listened",
        tasks=(task("work"),),
        workflow_status_listener_enabled=True,
        workflow_status_listener_sink=sink,
    )


class Cluster:
    """A cluster whose acknowledgements a test holds back or refuses."""

    def __init__(self) -> None:
        """Take everything at once."""
        self.taken: list[KafkaMessage] = []
        self.fails = False
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()
        self._arrived = asyncio.Event()

    @property
    def targets(self) -> KafkaTargets:
        """This cluster, as the one that workflows publish to."""
        return KafkaTargets(default="c:1", allowed=frozenset(), prefix="podium.", open_publisher=lambda _: self)

    def told(self) -> list[str]:
        """Return the events of the messages that arrived."""
        return [msgspec.json.decode(message.value)["event"] for message in self.taken]

    async def wait_taken(self, count: int) -> None:
        """Return when so many messages have arrived."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.taken) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def publish(self, message: KafkaMessage, *, find_ms: int, acknowledge_ms: int) -> None:
        """See `TopicPublisher`."""
        del find_ms, acknowledge_ms
        self.taken.append(message)
        self._arrived.set()
        await self.may_acknowledge.wait()
        if self.fails:
            raise SinkFailed("it is down")

    async def close(self) -> None:
        """See `TopicPublisher`."""


@pytest.fixture
def topics() -> MemoryTopics:
    """What outlives a log: its records."""
    return MemoryTopics(now_ms=lambda: NOW_MS)


@pytest.fixture
async def log(topics: MemoryTopics) -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition."""
    async with HeldLog(topics) as log:
        await log.create_topics(engine_topics(partitions=1))
        yield log


async def over(partition: Partition, workflow_id: str) -> WorkflowState:
    """Return a workflow once it has ended."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            state = await partition.state(workflow_id)
            if state is not None and state.is_terminal:
                return state
            await asyncio.sleep(0)


async def internal(log: HeldLog) -> list[InternalEvent]:
    """Return what the internal queues hold."""
    found = await records(log, INTERNAL_EVENTS)
    return [msgspec.json.decode(record.value or b"", type=InternalEvent) for record in found]


async def forgotten(log: HeldLog) -> None:
    """Return when nothing waits for a sink any more."""
    async with asyncio.timeout(WITHIN_S):
        while (held := await log.offsets(OUTGOING, 0)).earliest < held.next:
            await asyncio.sleep(0)


# ---- EVENT


async def test_an_event_is_in_the_internal_queue_before_its_task_is_done(log: HeldLog) -> None:
    """Key and id are those of the workflow and the attempt; the output is what was sent."""
    async with Partition(log, EVENT).running() as partition:
        await partition.ask(start("a", "telling", input={"n": 7}))
        state = await over(partition, "a")
    (event,) = await internal(log)
    assert (event.message_id, event.event, event.workflow_id) == ("a~1", "conductor:telling:done", "a")
    assert event.at_ms == NOW_MS
    assert event.payload["n"] == 7
    assert state.output == event.payload
    assert (await records(log, INTERNAL_EVENTS))[0].key == b"a"


async def test_an_event_is_not_done_before_its_sink_has_acknowledged(log: HeldLog) -> None:
    """The record may be on its way as long as it likes."""
    async with Partition(log, EVENT).running() as partition:
        log.hold(INTERNAL_EVENTS)
        await partition.ask(start("a", "telling"))
        await log.wait_held(INTERNAL_EVENTS)
        await partition.settled()
        state = await partition.state("a")
        assert state is not None
        assert not state.is_terminal
        log.let_go(INTERNAL_EVENTS)
        assert (await over(partition, "a")).status is WorkflowStatus.COMPLETED


async def test_a_crash_between_publishing_and_its_report_publishes_again_under_the_same_id(
    log: HeldLog, topics: MemoryTopics
) -> None:
    """Twice in the topic, for whoever reads it to recognise; once in the workflow."""
    async with Partition(log, EVENT).running() as partition:
        await partition.ask(start("a", "telling"))
        log.hold(COMMANDS)  # the report of what has been published never arrives
        await log.wait_held(COMMANDS)
    assert [event.message_id for event in await internal(log)] == ["a~1"]

    survivor = HeldLog(topics)
    async with survivor, Partition(survivor, EVENT).running() as partition:
        state = await over(partition, "a")
    assert state.status is WorkflowStatus.COMPLETED
    assert [event.message_id for event in await internal(log)] == ["a~1", "a~1"]
    ends = [event for decision in await decisions(log) for event in decision.events if hasattr(event, "final")]
    assert len(ends) == 1


async def test_an_event_outlives_trouble_of_the_log(log: HeldLog) -> None:
    """The internal queue is away when the log is: the task waits, and does not fail for it."""
    async with Partition(log, EVENT).running() as partition:
        log.fail(INTERNAL_EVENTS, LogUnavailable("away"))
        await partition.ask(start("a", "telling"))
        await partition.settled()
        log.heal(INTERNAL_EVENTS)
        assert (await over(partition, "a")).status is WorkflowStatus.COMPLETED


@pytest.mark.parametrize("kind", ["EVENT", "KAFKA_PUBLISH"])
async def test_a_publication_on_a_server_without_brokers_fails_for_good_and_says_so(log: HeldLog, kind: str) -> None:
    """Another attempt would come to the same."""
    fields: JsonObject = {"input_parameters": {"kafka_request": {"topic": "t", "value": 1}}}
    if kind == "EVENT":
        fields = {"sink": "kafka:t"}
    async with Partition(log, WorkflowDef(name="f", tasks=(task("k", kind, **fields),))).running() as partition:
        await partition.ask(start("a", "f"))
        state = await over(partition, "a")
    (attempt,) = state.tasks.values()
    assert attempt.progress.reason.endswith("name them with --event-kafka")
    assert getattr(attempt, "status") is TaskStatus.FAILED_WITH_TERMINAL_ERROR  # noqa: B009 - an ended task has one


async def test_a_sink_that_does_not_answer_fails_the_attempt(log: HeldLog) -> None:
    """What follows is the definition's to say; the output shows what was not sent."""
    cluster = Cluster()
    cluster.fails = True
    telling = WorkflowDef(name="f", tasks=(task("e", "EVENT", sink="kafka:t"),))
    async with Partition(log, telling, kafka=cluster.targets).running() as partition:
        await partition.ask(start("a", "f"))
        state = await over(partition, "a")
    assert state.status is WorkflowStatus.FAILED
    assert "the message could not be sent: it is down" in state.reason


# ---- PULL_WORKFLOW_MESSAGES


async def test_a_message_is_taken_once_however_often_it_is_sent_and_the_owner_dies(log: HeldLog) -> None:
    """It is part of the workflow's state, so the next owner has it."""
    message = SendMessage(workflow_id=WorkflowId("a"), message_id="m", payload={"n": 1})
    async with Partition(log, PULL).running() as partition:
        await partition.ask(start("a", "pulling"))
        for _ in range(2):
            assert (await partition.ask(message)).rejected is None
    async with Partition(log, PULL).running() as partition:
        assert (await partition.ask(message)).rejected is None
        state = await partition.state("a")
    assert state is not None
    assert [entry["id"] for entry in state.tasks[TaskSeq(1)].progress.output["messages"]] == ["m"]
    assert state.inbox.waiting == ()


# ---- listeners


async def test_listeners_are_told_in_order_and_what_they_have_is_forgotten(log: HeldLog) -> None:
    """Ten workflows at once: each one's messages in its own order, each with its id."""
    cluster = Cluster()
    async with Partition(log, listened("kafka:flows"), kafka=cluster.targets).running() as partition:
        ids = [f"w{number}" for number in range(10)]
        for workflow_id in ids:
            await partition.ask(start(workflow_id, "listened"))
        for workflow_id in ids:
            await partition.ask(completed(workflow_id, 1))
        await cluster.wait_taken(20)
        await forgotten(log)
    for workflow_id in ids:
        mine = [message for message in cluster.taken if message.key == workflow_id.encode()]
        assert [msgspec.json.decode(message.value)["event"] for message in mine] == ["started", "completed"]
        assert len({message.headers for message in mine}) == 2


async def test_a_sink_that_hangs_holds_up_no_decision(log: HeldLog) -> None:
    """Messages wait in the log; workflows go on."""
    cluster = Cluster()
    cluster.may_acknowledge.clear()
    async with Partition(log, listened("kafka:flows"), kafka=cluster.targets).running() as partition:
        for number in range(50):
            await partition.ask(start(f"w{number}", "listened"))
            await partition.ask(completed(f"w{number}", 1))
        async with asyncio.timeout(WITHIN_S):
            while (await log.offsets(OUTGOING, 0)).next < 100:
                await asyncio.sleep(0)
        assert (await log.offsets(OUTGOING, 0)).earliest == 0
        cluster.may_acknowledge.set()
        await cluster.wait_taken(100)
        await forgotten(log)


async def test_a_crash_before_the_acknowledgement_tells_the_listener_again_under_the_same_id(log: HeldLog) -> None:
    """And everything else that had not been told."""
    first = Cluster()
    first.may_acknowledge.clear()
    async with Partition(log, listened("kafka:flows"), kafka=first.targets).running() as partition:
        await partition.ask(start("a", "listened"))
        await partition.ask(completed("a", 1))
        await first.wait_taken(1)
    second = Cluster()
    async with Partition(log, listened("kafka:flows"), kafka=second.targets).running():
        await second.wait_taken(2)
        await forgotten(log)
    assert second.told()[:2] == ["started", "completed"]
    assert second.taken[0].headers == first.taken[0].headers


async def test_a_decision_whose_effects_were_lost_tells_the_listener_all_the_same(
    log: HeldLog, topics: MemoryTopics
) -> None:
    """The owner dies between the log's acknowledgement and the hand-over to the relay."""
    async with Partition(log, listened("kafka:flows"), kafka=Cluster().targets).running() as partition:
        log.hold(OUTGOING)
        partition.outlet.enqueue(start("a", "listened"))
        await log.wait_held(OUTGOING)
    cluster = Cluster()
    survivor = HeldLog(topics)
    async with survivor, Partition(survivor, listened("kafka:flows"), kafka=cluster.targets).running():
        await cluster.wait_taken(1)
    assert cluster.told() == ["started"]


async def test_a_sink_that_fails_is_tried_again_then_parked_with_its_reason_and_the_next_goes_on(log: HeldLog) -> None:
    """The letter holds the message; the other workflow's sink is not concerned."""
    cluster = Cluster()
    cluster.fails = True
    good = msgspec.structs.replace(listened("conductor:flows"), name="good")
    definitions = (listened("kafka:flows"), good)
    async with Partition(log, *definitions, kafka=cluster.targets, patience_s=0.6).running() as partition:
        await partition.ask(start("bad", "listened"))
        await partition.ask(start("fine", "good"))
        await forgotten(log)
    assert len(cluster.taken) == 2  # at once and after 0.25 s; 0.5 s later there is no patience left
    assert len({message.headers for message in cluster.taken}) == 1
    (letter,) = [msgspec.json.decode(record.value or b"") for record in await records(log, DEAD_LETTER)]
    assert letter["topic"] == OUTGOING
    assert "it is down" in letter["reason"]
    parked = msgspec.json.decode(msgspec.json.decode(f'"{letter["value"]}"', type=bytes), type=OutgoingMessage)
    assert (parked.workflow_id, parked.sink) == ("bad", "kafka:flows")
    assert [event.payload["event"] for event in await internal(log)] == ["started"]


async def test_a_message_too_large_for_a_record_arrives_without_its_content_and_says_so(log: HeldLog) -> None:
    """Nothing behind it waits for ever."""
    cluster = Cluster()
    text = "x" * 999_700
    async with Partition(log, listened("kafka:flows"), kafka=cluster.targets).running() as partition:
        await partition.ask(start("a", "listened"))
        await partition.ask(completed("a", 1, text=text))
        await cluster.wait_taken(2)
    content = msgspec.json.decode(cluster.taken[1].value)
    assert content["messageId"] == cluster.taken[1].headers[0][1].decode()
    assert "1000000" in content["omitted"]


# ---- a whole node


async def test_a_webhook_gets_a_post_for_every_status(tmp_path: Path) -> None:
    """A real server on loopback, which the operator allows."""
    settings = NodeSettings(
        data_dir=tmp_path / "data", url="http://127.0.0.1:0", history=False, allow_private_targets=True
    )
    async with serving(lambda _: web.json_response({})) as server, open_node(settings) as node:
        definition = WorkflowDef(
            name="hooked",
            tasks=(task("n", "NOOP"),),
            workflow_status_listener_enabled=True,
            workflow_status_listener_sink=str(server.url),
        )
        await node.definitions.put_workflow(definition)
        workflow_id = (await start_on(node, "hooked")).workflow_id
        await ended(node, workflow_id)
        async with asyncio.timeout(WITHIN_S):
            while len(server.bodies) < 2:
                await asyncio.sleep(0.01)
    assert [body["event"] for body in server.bodies] == ["started", "completed"]
    assert [body["workflowId"] for body in server.bodies] == [workflow_id] * 2


async def test_a_webhook_at_a_private_address_is_parked_unless_the_operator_allows_it(tmp_path: Path) -> None:
    """The policy of HTTP tasks holds for listeners."""
    settings = NodeSettings(
        data_dir=tmp_path / "data",
        url="http://127.0.0.1:0",
        history=False,
        task_status_sink="http://127.0.0.1:9/hook",
    )
    async with open_node(settings) as node:
        await node.definitions.put_workflow(WorkflowDef(name="n", tasks=(task("n", "NOOP"),)))
        await ended(node, (await start_on(node, "n")).workflow_id)
        log = node._backend.log  # noqa: SLF001 - no surface shows the dead letters of a node
        async with asyncio.timeout(WITHIN_S):
            while (await log.offsets(DEAD_LETTER, 0)).next < 2:
                await asyncio.sleep(0.01)
        reasons = [msgspec.json.decode(record.value or b"")["reason"] for record in await records(log, DEAD_LETTER)]
    assert all("127.0.0.1" in reason for reason in reasons)
