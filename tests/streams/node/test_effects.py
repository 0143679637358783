"""Claims about effects that no record can carry: nobody waits for them for ever, and nothing behind them is stuck."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence

import msgspec
import pytest

from engine.definitions import SubWorkflowParams, WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskId, WorkflowId, task_id
from engine.model import OpenTask, WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from streams.errors import LogUnavailable
from streams.memory import MemoryTopics
from streams.ports import Log, NewRecord
from streams.topics import COMMANDS, DEAD_LETTER, OUTCOMES, TopicSpec, engine_topics
from tests.streams.node.held_log import HeldLog
from tests.streams.node.rig import NOW_MS, Partition, completed, decisions, records, start

LARGE = "x" * 600_000
TASKS = TopicSpec(name="tasks.work", partitions=1)

CHILD = WorkflowDef(
    name="child",
    tasks=(WorkflowTask(name="work", task_reference_name=RefName("work")),),
    output_parameters={"a": "${workflow.input.text}", "b": "${workflow.input.text}"},
)


def parent(**child_input: object) -> WorkflowDef:
    """Return a workflow that starts the child with an input."""
    task = WorkflowTask(
        name="sub",
        task_reference_name=RefName("sub"),
        type="SUB_WORKFLOW",
        sub_workflow_param=SubWorkflowParams(name="child"),
        input_parameters=child_input,
    )
    return WorkflowDef(name="parent", tasks=(task,))


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """A log with the topics of one partition and a topic of tasks; a record holds one megabyte."""
    async with HeldLog(MemoryTopics(now_ms=lambda: NOW_MS)) as log:
        await log.create_topics([*engine_topics(partitions=1), TASKS])
        yield log


async def wait_ended(partition: Partition, workflow_id: str) -> WorkflowState:
    """Return a workflow once it has ended."""
    while True:
        state = await partition.state(workflow_id)
        if state is not None and state.is_terminal:
            return state
        await asyncio.sleep(0)


async def test_a_child_whose_start_is_too_large_fails_its_task_and_the_partition_goes_on(log: HeldLog) -> None:
    """The input of the child is twice that of its parent, and more than a record."""
    text = "${workflow.input.text}"
    async with Partition(log, parent(a=text, b=text), CHILD).running() as partition:
        await partition.ask(start("p", "parent", input={"text": LARGE}))
        state = await wait_ended(partition, "p")
        assert state.status is WorkflowStatus.FAILED
        assert "could not be started" in state.reason
        assert "expected at most 1000000" in state.reason
        await partition.ask(start("next"))
        assert len(await partition.poll("work")) == 1


async def test_a_child_whose_output_is_too_large_is_not_waited_for_for_ever(log: HeldLog) -> None:
    """The child is COMPLETED; its parent learns that, and that the output cannot be told."""
    async with Partition(log, parent(text="${workflow.input.text}"), CHILD).running() as partition:
        await partition.ask(start("p", "parent", input={"text": LARGE}))
        (task,) = await partition.poll("work", timeout_ms=5_000)
        child = task["workflowInstanceId"]
        await partition.ask(completed(child, 1))
        state = await wait_ended(partition, "p")
        assert state.status is WorkflowStatus.FAILED
        assert "is COMPLETED, but its output cannot be told" in state.reason
        ended = await partition.state(child)
        assert ended is not None
        assert ended.status is WorkflowStatus.COMPLETED


async def test_an_outcome_that_is_too_large_is_announced_without_its_output(log: HeldLog) -> None:
    """And the one beside it is announced whole."""
    async with Partition(log, CHILD, announce=True).running() as partition:
        log.hold(OUTCOMES)
        for name, text in (("small", "x"), ("large", LARGE)):
            await partition.ask(start(name, "child", input={"text": text}))
            await partition.ask(completed(name, 1))
        log.release(OUTCOMES)
        machine = partition.machine
        while machine.effects_sent < machine.chain.sequence:
            await asyncio.sleep(0)
    found = {
        outcome["workflowId"]: outcome
        for record in await records(log, OUTCOMES)
        for outcome in [msgspec.json.decode(record.value or b"")]
    }
    assert found["small"]["output"] == {"a": "x", "b": "x"}
    assert found["large"]["status"] == "COMPLETED"
    assert found["large"]["output"] == {}
    assert "expected at most" in found["large"]["omitted"]


async def test_bytes_that_nobody_can_read_and_no_letter_can_carry_are_named_by_their_place(log: HeldLog) -> None:
    """They stay where they are; the dead letter says where and why, and the partition goes on."""
    async with Partition(log).running() as partition:
        await log.append(COMMANDS, 0, [NewRecord(key=b"k", value=b"\xff" * 900_000), NewRecord(key=b"k", value=b"{")])
        await partition.processor.wait_decided(1)
        await partition.ask(start("next"))
        while (await log.offsets(DEAD_LETTER, 0)).next < 2:
            await asyncio.sleep(0)
    letters = [msgspec.json.decode(record.value or b"") for record in await records(log, DEAD_LETTER)]
    assert [letter["offset"] for letter in letters] == [0, 1]
    assert letters[0]["value"] is None
    assert "expected at most" in letters[0]["omitted"]
    assert letters[1]["value"] == "ew=="


class TopicDesk:
    """A desk that sends tasks to a topic of the log, as a cluster's does."""

    def __init__(self, log: Log) -> None:
        """Send through `log`."""
        self._log = log

    def offer(self, tasks: Sequence[tuple[WorkflowState, OpenTask]]) -> Awaitable[object] | None:
        """See `TaskDesk`."""
        return self._log.append(TASKS.name, 0, [_task_record(state, task) for state, task in tasks])

    def retract(self, task: TaskId) -> None:
        """See `TaskDesk`."""


def _task_record(state: WorkflowState, task: OpenTask) -> NewRecord:
    content = {"taskId": task_id(state.workflow_id, task.spec.seq), "inputData": task.spec.input}
    return NewRecord(key=None, value=msgspec.json.encode(content))


DOUBLED = WorkflowDef(
    name="doubled",
    tasks=(
        WorkflowTask(
            name="work",
            task_reference_name=RefName("work"),
            input_parameters={"a": "${workflow.input.text}", "b": "${workflow.input.text}"},
        ),
    ),
)


async def test_a_task_too_large_for_its_topic_fails_and_those_beside_it_are_delivered(log: HeldLog) -> None:
    """All of one batch were refused because of one; only that one ends."""
    async with Partition(log, DOUBLED, desk=TopicDesk(log)).running() as partition:
        for name, text in (("before", "x"), ("large", LARGE), ("after", "x")):
            partition.outlet.enqueue(start(name, "doubled", input={"text": text}))
        state = await wait_ended(partition, "large")
        assert state.status is WorkflowStatus.FAILED
        assert "cannot be given to a worker" in state.reason
        assert next(iter(state.tasks.values())).spec.attempt == 0
    delivered = {msgspec.json.decode(record.value or b"")["taskId"] for record in await records(log, TASKS.name)}
    assert delivered == {"before~1", "after~1"}


async def test_effects_that_may_not_have_arrived_are_sent_by_the_next_owner(log: HeldLog) -> None:
    """The start of a child was lost with the log; the next life derives it again, and the child runs once."""
    first = Partition(log, parent(text="x"), CHILD)
    with pytest.raises(ExceptionGroup) as raised:
        async with first.running():
            await log.append(COMMANDS, 0, [NewRecord(key=None, value=msgspec.json.encode(start("p", "parent")))])
            log.hold(COMMANDS)
            await log.wait_held(COMMANDS)
            log.lose(COMMANDS, LogUnavailable("silent"))
            await asyncio.get_running_loop().create_future()
    assert raised.group_contains(LogUnavailable)
    async with Partition(log, parent(text="x"), CHILD).running() as second:
        (task,) = await second.poll("work", timeout_ms=5_000)
        await second.ask(completed(task["workflowInstanceId"], 1))
        state = await wait_ended(second, "p")
        assert state.status is WorkflowStatus.COMPLETED
    starts = [entry for entry in await decisions(log) if entry.cause == "start_workflow" and entry.events]
    assert sorted(entry.workflow_id == WorkflowId("p") for entry in starts) == [False, True]


async def test_effects_that_arrived_are_not_sent_again(log: HeldLog) -> None:
    """A later decision says so, and the next owner believes it."""
    async with Partition(log, parent(text="x"), CHILD).running() as first:
        await first.ask(start("p", "parent"))
        await first.poll("work", timeout_ms=5_000)
        await first.ask(start("later"))
    before = len(await records(log, COMMANDS))
    async with Partition(log, parent(text="x"), CHILD).running() as second:
        await second.ask(start("probe"))
        assert len(await records(log, COMMANDS)) == before + 1


async def test_a_result_is_answered_although_it_came_twice(log: HeldLog) -> None:
    """The second one is recorded as ignored, with its reason, and its sender is told."""
    async with Partition(log).running() as partition:
        await partition.ask(start("a"))
        first = await partition.ask(completed("a", 1))
        second = await partition.ask(completed("a", 1))
    assert first.ignored == ""
    assert f"the task is {TaskStatus.COMPLETED}" in second.ignored
