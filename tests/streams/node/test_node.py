"""Claims about a whole node, over a log in memory: what its surfaces may rely on."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from engine.commands import ReportTaskResult, RetryWorkflow, StartWorkflow, TerminateWorkflow
from engine.definitions import SubWorkflowParams, WorkflowDef, WorkflowTask
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import WorkflowState, status_of
from engine.rejections import RejectionCode
from engine.status import TaskStatus, WorkflowStatus
from streams.errors import LogUnavailable, StoreFull, TopicMismatch
from streams.memory import MemoryTopics
from streams.node import RunningNode
from streams.ports import NewRecord
from streams.registry import Registry
from streams.service import Answer, DecisionTimeout
from streams.topics import COMMANDS, DEFINITIONS, EVENTS, TopicSpec
from tests.streams.node.held_log import HeldLog
from tests.streams.node.memory_node import memory_node

PARTITIONS = 3


def simple(name: str) -> WorkflowTask:
    """Return a worker's task."""
    return WorkflowTask(name=name, task_reference_name=RefName(name))


ONE = WorkflowDef(name="one", tasks=(simple("work"),))
TWO = WorkflowDef(name="two", tasks=(simple("first"), simple("second")))
PARENT = WorkflowDef(
    name="parent",
    tasks=(
        WorkflowTask(
            name="sub",
            task_reference_name=RefName("sub"),
            type="SUB_WORKFLOW",
            sub_workflow_param=SubWorkflowParams(name="one"),
        ),
    ),
)


def forked(count: int) -> WorkflowDef:
    """Return a fork of so many branches with a join."""
    branches = tuple((WorkflowTask(name="branch", task_reference_name=RefName(f"b{n}")),) for n in range(count))
    return WorkflowDef(
        name="forked",
        tasks=(
            WorkflowTask(name="fork", task_reference_name=RefName("fork"), type="FORK_JOIN", fork_tasks=branches),
            WorkflowTask(
                name="join",
                task_reference_name=RefName("join"),
                type="JOIN",
                join_on=tuple(RefName(f"b{n}") for n in range(count)),
            ),
        ),
    )


@pytest.fixture
async def log() -> AsyncGenerator[HeldLog]:
    """An empty log."""
    async with HeldLog(MemoryTopics()) as log:
        yield log


async def start(node: RunningNode, name: str, workflow_id: str | None = None, **fields: object) -> Answer:
    """Start a workflow."""
    given = None if workflow_id is None else WorkflowId(workflow_id)
    return await node.workflows.submit(StartWorkflow(name=name, workflow_id=given, **fields))  # type: ignore[arg-type]


async def poll(node: RunningNode, task_type: str, *, count: int = 1, timeout_ms: int = 5_000) -> list[JsonObject]:
    """Poll as a worker does."""
    return await node.polls.poll(task_type, worker_id="w", domain="", count=count, timeout_ms=timeout_ms)


def report(task: JsonObject, status: TaskStatus = TaskStatus.COMPLETED, **output: object) -> ReportTaskResult:
    """Return a worker's report on a polled task."""
    return ReportTaskResult(
        workflow_instance_id=WorkflowId(task["workflowInstanceId"]),
        task_id=TaskId(task["taskId"]),
        status=status,
        output_data=output,
        worker_id="w",
    )


async def ended(node: RunningNode, workflow_id: WorkflowId) -> WorkflowState:
    """Return a workflow once it has ended."""
    while True:
        state = await node.workflows.state(workflow_id)
        assert state is not None
        if state.is_terminal:
            return state
        await asyncio.sleep(0)


async def test_a_workflow_that_was_started_is_always_found(log: HeldLog) -> None:
    """Start, then ask, two hundred times at once: never None, and never older than the start."""
    async with memory_node(log, partitions=PARTITIONS) as node:
        await node.definitions.put_workflow(ONE)

        async def start_then_get() -> None:
            answer = await start(node, "one")
            state = await node.workflows.state(answer.workflow_id)
            assert state is not None
            assert state.status is WorkflowStatus.RUNNING

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(start_then_get())


async def test_a_task_that_was_polled_is_in_progress_for_whoever_asks_next(log: HeldLog) -> None:
    """The claim is on its way when the poll returns; a read waits for it."""
    async with memory_node(log, partitions=PARTITIONS) as node:
        await node.definitions.put_workflow(ONE)
        for _ in range(50):
            answer = await start(node, "one")
            (task,) = await poll(node, "work")
            state = await node.workflows.state(answer.workflow_id)
            assert state is not None
            (found,) = state.tasks.values()
            assert status_of(found) is TaskStatus.IN_PROGRESS
            assert task["workflowInstanceId"] == answer.workflow_id


async def test_a_hundred_results_for_one_workflow_at_once_meet_no_conflict(log: HeldLog) -> None:
    """All are taken, the JOIN ends once, nobody is told to come again."""
    async with memory_node(log) as node:
        await node.definitions.put_workflow(forked(100))
        workflow_id = (await start(node, "forked")).workflow_id
        tasks = await poll(node, "branch", count=100)
        assert len(tasks) == 100
        answers = await asyncio.gather(*(node.workflows.submit(report(task)) for task in tasks))
        state = await ended(node, workflow_id)
    assert [answer.rejected for answer in answers] == [None] * 100
    assert state.status is WorkflowStatus.COMPLETED


async def test_a_fork_of_a_thousand_finishes(log: HeldLog) -> None:
    """Each branch is handed out once and the workflow ends when the last one has."""
    async with memory_node(log) as node:
        await node.definitions.put_workflow(forked(1_000))
        workflow_id = (await start(node, "forked")).workflow_id
        done: set[str] = set()

        async def work() -> None:
            while tasks := await poll(node, "branch", count=20, timeout_ms=0):
                for task in tasks:
                    assert task["taskId"] not in done
                    done.add(task["taskId"])
                    await node.workflows.submit(report(task))

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(work())
        state = await ended(node, workflow_id)
    assert len(done) == 1_000
    assert state.status is WorkflowStatus.COMPLETED


async def test_sub_workflows_run_in_their_own_partitions_and_tell_their_parents(log: HeldLog) -> None:
    """Start and end of a child travel through the commands, whichever partition it lives in."""
    async with memory_node(log, partitions=PARTITIONS) as node:
        await node.definitions.put_workflow(ONE)
        await node.definitions.put_workflow(PARENT)
        parents = [(await start(node, "parent")).workflow_id for _ in range(30)]
        homes: set[tuple[bool, ...]] = set()
        for _ in range(30):
            (task,) = await poll(node, "work")
            child = await node.workflows.state(WorkflowId(task["workflowInstanceId"]))
            assert child is not None
            assert child.started.parent is not None
            outlet = node._commands  # noqa: SLF001 - where a workflow lives is what this is about
            homes.add(
                (outlet.partition_of(child.workflow_id) == outlet.partition_of(child.started.parent.workflow_id),)
            )
            await node.workflows.submit(report(task, answer=42))
        states = [await ended(node, parent) for parent in parents]
    assert homes == {(True,), (False,)}
    assert {state.status for state in states} == {WorkflowStatus.COMPLETED}
    assert {state.tasks[TaskSeq(1)].progress.output["answer"] for state in states} == {42}


async def test_terminating_a_parent_ends_its_child(log: HeldLog) -> None:
    """The command goes to the partition of the child."""
    async with memory_node(log, partitions=PARTITIONS) as node:
        await node.definitions.put_workflow(ONE)
        await node.definitions.put_workflow(PARENT)
        parent = (await start(node, "parent")).workflow_id
        (task,) = await poll(node, "work")
        await node.workflows.submit(TerminateWorkflow(workflow_id=parent, reason="enough"))
        child = await ended(node, WorkflowId(task["workflowInstanceId"]))
        assert child.status is WorkflowStatus.TERMINATED
        answer = await node.workflows.submit(report(task))
        assert "TERMINATED" in answer.ignored or "CANCELED" in answer.ignored


async def test_a_command_that_the_log_does_not_take_is_refused_and_not_decided_later(log: HeldLog) -> None:
    """The caller is told at once; the workflow does not exist."""
    async with memory_node(log) as node:
        await node.definitions.put_workflow(ONE)
        for error in (LogUnavailable("silent"), StoreFull("full")):
            log.fail(COMMANDS, error)
            with pytest.raises(type(error)):
                await start(node, "one", "refused")
            log.heal(COMMANDS)
            assert await node.workflows.state(WorkflowId("refused")) is None


async def test_a_caller_is_told_nothing_while_the_decision_cannot_be_stored(log: HeldLog) -> None:
    """Its command is durable, so it is told that; when the log is back the decision is made and found."""
    async with memory_node(log) as node:
        await node.definitions.put_workflow(ONE)
        log.fail(EVENTS, StoreFull("full"))
        with pytest.raises(DecisionTimeout, match="is stored"):
            await node.workflows.submit(StartWorkflow(name="one", workflow_id=WorkflowId("a")), wait_ms=50)
        health = await node.health()
        assert health["healthy"] is False
        log.heal(EVENTS)
        state = await node.workflows.state(WorkflowId("a"))
        assert state is not None
        assert (await node.health())["healthy"] is True


async def test_a_node_starts_while_the_log_is_away_and_is_up_when_it_comes() -> None:
    """Until then calls are refused as retriable and health says why; polls answer emptily."""
    log = HeldLog(MemoryTopics())
    async with memory_node(log, wait_up=False) as node:
        while "not up" not in str((await node.health())["node"]):
            await asyncio.sleep(0)
        health = await node.health()
        assert health["healthy"] is False
        assert "not open" in health["node"]
        with pytest.raises(LogUnavailable):
            _ = node.workflows
        assert await poll(node, "work", timeout_ms=0) == []
        async with log:
            await node.wait_up()
            await node.definitions.put_workflow(ONE)
            await start(node, "one")
            assert (await node.health())["healthy"] is True
            assert len(await poll(node, "work")) == 1


async def test_a_log_that_was_made_for_something_else_ends_the_node(log: HeldLog) -> None:
    """Waiting does not help: the operator must know."""
    await log.create_topics([TopicSpec(name=DEFINITIONS, partitions=5)])
    with pytest.raises(ExceptionGroup) as raised:
        async with memory_node(log):
            pass
    assert raised.group_contains(TopicMismatch)


async def test_a_halted_partition_is_named_in_the_health_report_and_does_not_keep_the_node_from_starting(
    log: HeldLog,
) -> None:
    """The others decide; calls for it are refused at once."""
    async with memory_node(log, partitions=2) as node:
        await node.definitions.put_workflow(ONE)
    await log.append(EVENTS, 1, [NewRecord(key=None, value=b"{torn")])
    async with asyncio.timeout(10), memory_node(log, partitions=2) as node:
        health = await node.health()
        assert health["healthy"] is False
        assert list(health["partitions"]["halted"]) == ["1"]
        assert "LogCorrupt" in health["partitions"]["halted"]["1"]
        assert health["partitions"]["deciding"] == [0]
        answer = await start(node, "one")
        assert answer.state is not None


async def test_a_restarted_node_goes_on_where_the_log_ends(log: HeldLog) -> None:
    """Open workflows, their tasks and definitions are there again; ended ones too, until they are let go."""
    async with memory_node(log, partitions=PARTITIONS) as node:
        await node.definitions.put_workflow(TWO)
        ids = [(await start(node, "two")).workflow_id for _ in range(20)]
        for task in await poll(node, "first", count=10):
            await node.workflows.submit(report(task))
    async with memory_node(log, partitions=PARTITIONS) as node:
        assert len(await node.workflows.open_states()) == 20
        for task_type in ("first", "second"):
            while tasks := await poll(node, task_type, count=100, timeout_ms=100):
                for task in tasks:
                    await node.workflows.submit(report(task))
        states = [await ended(node, workflow_id) for workflow_id in ids]
    assert {state.status for state in states} == {WorkflowStatus.COMPLETED}
    assert {len(state.tasks) for state in states} == {2}


async def test_an_orderly_end_leaves_no_claim_behind(log: HeldLog) -> None:
    """What was handed out just before is claimed, so the next start does not hand it out again."""
    async with memory_node(log) as node:
        await node.definitions.put_workflow(ONE)
        for _ in range(20):
            await start(node, "one")
        assert len(await poll(node, "work", count=15)) == 15
        await node.settle()
    async with memory_node(log) as node:
        assert len(await poll(node, "work", count=100)) == 5
        assert await poll(node, "work", count=100, timeout_ms=0) == []


async def test_an_operation_on_an_unknown_workflow_says_so(log: HeldLog) -> None:
    """Neither memory nor history knows it."""
    async with memory_node(log) as node:
        answer = await node.workflows.submit(RetryWorkflow(workflow_id=WorkflowId("nobody")))
        assert answer.rejected is not None
        assert answer.rejected.code is RejectionCode.WORKFLOW_NOT_FOUND
        assert await node.workflows.state(WorkflowId("nobody")) is None


async def test_a_start_with_an_unknown_name_is_refused_and_a_definition_of_another_node_is_found(
    log: HeldLog,
) -> None:
    """What another process has registered a moment ago is read before the decision."""
    async with memory_node(log) as node:
        refused = await start(node, "one")
        assert refused.rejected is not None
        assert refused.rejected.code is RejectionCode.DEFINITION_NOT_FOUND
        async with Registry(log) as elsewhere:
            await elsewhere.put_workflow(ONE)
            answer = await start(node, "one")
        assert answer.rejected is None


async def test_a_result_reported_for_a_task_id_of_no_workflow_is_refused(log: HeldLog) -> None:
    """It is not taken for one of another workflow."""
    async with memory_node(log) as node:
        task = {"workflowInstanceId": "a", "taskId": task_id(WorkflowId("a"), TaskSeq(7))}
        answer = await node.workflows.submit(report(task))
        assert answer.rejected is not None
