"""Claims about a node on the embedded log and the history in process: nothing of it is exchanged."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from engine.commands import RestartWorkflow, RetryWorkflow, StartWorkflow
from engine.definitions import WorkflowDef
from engine.ids import TaskSeq, WorkflowId
from engine.model import WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from streams import eviction
from streams import node as node_module
from streams.embedded.store import Run, Store
from streams.errors import StoreFull, StoreLocked
from streams.node import RunningNode, open_node
from streams.service import DecisionTimeout
from streams.settings import NodeSettings
from tests.streams.node.test_node import ONE, TWO, ended, poll, report, start

FAILING = WorkflowDef(name="failing", tasks=ONE.tasks)


def settings(folder: Path, **fields: object) -> NodeSettings:
    """Return the settings of a node in a folder."""
    return NodeSettings(data_dir=folder / "data", url="http://127.0.0.1:0", **fields)  # type: ignore[arg-type]


@pytest.fixture
def quick_evictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ended workflows go soon after the history has them."""
    monkeypatch.setattr(eviction, "GRACE_MS", 50)
    monkeypatch.setattr(node_module, "EVICT_EVERY_S", 0.02)


async def wait_evicted(node: RunningNode, workflow_id: WorkflowId) -> None:
    """Return when a workflow is no longer in memory."""
    async with asyncio.timeout(30):
        while await node.workflows.state(workflow_id) is not None:
            await asyncio.sleep(0.02)  # eviction happens by the clock


async def recorded(node: RunningNode, workflow_id: WorkflowId) -> WorkflowState:
    """Return a workflow as the history has it."""
    state = await node.history.state(workflow_id)
    assert state is not None
    return state


async def test_a_second_node_on_the_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    """Two processes would not know of each other's decisions."""
    async with open_node(settings(tmp_path, history=False)) as node:
        with pytest.raises(StoreLocked, match="is in use by process"):
            async with open_node(settings(tmp_path, history=False)):
                pass
        await node.definitions.put_workflow(ONE)
        assert (await start(node, "one")).rejected is None


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    """Definitions, workflows, claims and results, with snapshots in between."""
    async with open_node(settings(tmp_path, history=False, snapshot_every_ms=100)) as node:
        await node.definitions.put_workflow(TWO)
        ids = [(await start(node, "two", input={"n": number})).workflow_id for number in range(30)]
        for task in await poll(node, "first", count=15):
            await node.workflows.submit(report(task))
        before = {wid: await node.workflows.state(wid) for wid in ids}
    async with open_node(settings(tmp_path, history=False)) as node:
        assert {wid: await node.workflows.state(wid) for wid in ids} == before
        assert len(await poll(node, "second", count=100)) == 15
        assert len(await poll(node, "first", count=100)) == 15


@pytest.mark.slow
@pytest.mark.usefixtures("quick_evictions")
async def test_a_failed_workflow_that_left_memory_is_retried_through_the_history(tmp_path: Path) -> None:
    """It comes back, runs to its end under its id, survives a restart in between, and leaves again."""
    async with open_node(settings(tmp_path, snapshot_every_ms=100)) as node:
        await node.definitions.put_workflow(FAILING)
        workflow_id = (await start(node, "failing")).workflow_id
        (task,) = await poll(node, "work")
        await node.workflows.submit(report(task, TaskStatus.FAILED_WITH_TERMINAL_ERROR))
        await wait_evicted(node, workflow_id)
        assert (await recorded(node, workflow_id)).status is WorkflowStatus.FAILED
        answer = await node.workflows.submit(RetryWorkflow(workflow_id=workflow_id))
        assert answer.rejected is None
        assert answer.state is not None
        assert answer.state.status is WorkflowStatus.RUNNING
        running = await node.workflows.state(workflow_id)
    async with open_node(settings(tmp_path)) as node:
        assert await node.workflows.state(workflow_id) == running
        (task,) = await poll(node, "work")
        assert task["retryCount"] == 1
        await node.workflows.submit(report(task))
        await wait_evicted(node, workflow_id)
        assert (await recorded(node, workflow_id)).status is WorkflowStatus.COMPLETED


@pytest.mark.slow
@pytest.mark.usefixtures("quick_evictions")
async def test_a_late_result_for_a_workflow_that_left_memory_is_ignored_and_recorded(tmp_path: Path) -> None:
    """Its worker is told so; the history has the event, and the log can be recovered."""
    async with open_node(settings(tmp_path)) as node:
        await node.definitions.put_workflow(ONE)
        workflow_id = (await start(node, "one")).workflow_id
        (task,) = await poll(node, "work")
        await node.workflows.submit(report(task))
        await wait_evicted(node, workflow_id)
        before = await recorded(node, workflow_id)
        answers = await asyncio.gather(*(node.workflows.submit(report(task)) for _ in range(5)))
        assert {answer.ignored.split(" since")[0] for answer in answers} == {"the task is COMPLETED"}
        await wait_evicted(node, workflow_id)
        assert (await recorded(node, workflow_id)).version == before.version + 5
        again = await node.workflows.submit(RestartWorkflow(workflow_id=workflow_id))
        assert again.rejected is None
    async with open_node(settings(tmp_path)) as node:
        state = await node.workflows.state(workflow_id)
        assert state is not None
        assert state.status is WorkflowStatus.RUNNING
        assert TaskSeq(1) not in state.tasks


@pytest.mark.slow
async def test_a_start_with_a_chosen_id_meets_the_one_that_left_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a restart: a client that repeats a start does not run it twice."""
    monkeypatch.setattr(eviction, "GRACE_MS", 0)
    monkeypatch.setattr(node_module, "EVICT_EVERY_S", 0.02)
    async with open_node(settings(tmp_path, history=False, snapshot_every_ms=100)) as node:
        await node.definitions.put_workflow(ONE)
        await start(node, "one", "order-1")
        (task,) = await poll(node, "work")
        await node.workflows.submit(report(task))
        await wait_evicted(node, WorkflowId("order-1"))
        await asyncio.sleep(0.3)  # two snapshots, by the clock
    async with open_node(settings(tmp_path, history=False)) as node:
        answer = await start(node, "one", "order-1")
        assert answer.rejected is not None
        assert answer.rejected.code == "WORKFLOW_EXISTS"


async def test_a_full_disk_acknowledges_only_what_is_stored_and_heals_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts are refused, polled tasks are claimed later, and nothing that was told is missing afterwards."""
    insert = Store.insert
    is_full = False

    def insert_if_there_is_space(store: Store, runs: list[Run], *, appended_at_ms: int) -> None:
        if is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        insert(store, runs, appended_at_ms=appended_at_ms)

    monkeypatch.setattr(Store, "insert", insert_if_there_is_space)
    acknowledged: list[WorkflowId] = []

    async def start_many(node: RunningNode, prefix: str) -> None:
        for number in range(200):
            workflow_id = WorkflowId(f"{prefix}{number}")
            try:
                answer = await node.workflows.submit(StartWorkflow(name="one", workflow_id=workflow_id), wait_ms=2_000)
            except (StoreFull, DecisionTimeout):
                continue
            assert answer.rejected is None
            acknowledged.append(workflow_id)

    async with open_node(settings(tmp_path, history=False)) as node:
        await node.definitions.put_workflow(ONE)
        async with asyncio.TaskGroup() as group:
            for prefix in ("a", "b", "c"):
                group.create_task(start_many(node, prefix))
            for _ in range(4):
                await asyncio.sleep(0.03)  # in the midst of the load
                is_full = True
                await asyncio.sleep(0.03)  # likewise
                is_full = False
        assert acknowledged
        is_full = True
        with pytest.raises(StoreFull):
            await start(node, "one", "refused")
        polled = await poll(node, "work", timeout_ms=0)
        is_full = False
        for task in polled:
            await node.workflows.submit(report(task))
            assert (await ended(node, WorkflowId(task["workflowInstanceId"]))).status is WorkflowStatus.COMPLETED
    async with open_node(settings(tmp_path, history=False)) as node:
        assert await node.workflows.state(WorkflowId("refused")) is None
        for workflow_id in acknowledged:
            assert await node.workflows.state(workflow_id) is not None


async def test_without_a_history_ended_workflows_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to wait for, and memory does not grow."""
    monkeypatch.setattr(eviction, "GRACE_MS", 0)
    monkeypatch.setattr(node_module, "EVICT_EVERY_S", 0.02)
    async with open_node(settings(tmp_path, history=False)) as node:
        await node.definitions.put_workflow(ONE)
        workflow_id = (await start(node, "one")).workflow_id
        (task,) = await poll(node, "work")
        await node.workflows.submit(report(task))
        await wait_evicted(node, workflow_id)
        answer = await node.workflows.submit(RetryWorkflow(workflow_id=workflow_id))
        assert answer.rejected is not None
