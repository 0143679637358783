"""Changes to workflows over REST, on a real node: run again, jump, variables, state, version, removal."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import build_app
from engine.ids import WorkflowId
from engine.json_value import JsonObject
from streams import eviction
from streams import node as node_module
from streams.node import open_node
from streams.settings import NodeSettings
from tests.api.rest_client import Rest, result, simple

FOREVER_S = 10


async def started(rest: Rest, name: str = "flow", **fields: object) -> str:
    """Start a workflow and return its id."""
    return await rest.text("POST", "/api/workflow", {"name": name, **fields})


async def workflow(rest: Rest, workflow_id: str) -> JsonObject:
    """Return a workflow."""
    found: JsonObject = await rest.json("GET", f"/api/workflow/{workflow_id}")
    return found


async def finish(rest: Rest, task_type: str, status: str = "COMPLETED") -> JsonObject:
    """Report on the next task of a type; return the task."""
    task = await rest.take(task_type)
    await rest.text("POST", "/api/tasks", result(task, status))
    return task


async def wait_status(rest: Rest, workflow_id: str, status: str) -> None:
    """Wait until a workflow has a status: what another workflow tells it arrives a moment later."""
    async with asyncio.timeout(FOREVER_S):
        while (await workflow(rest, workflow_id))["status"] != status:
            await asyncio.sleep(0.01)


def statuses(found: JsonObject) -> dict[str, str]:
    """Return the status of the newest attempt of each ref."""
    return {task["referenceTaskName"]: task["status"] for task in found["tasks"]}


async def register_fork(rest: Rest) -> None:
    """Register `flow`: a, then b beside c, then d; none of them is retried."""
    fork = {
        "name": "f",
        "taskReferenceName": "f",
        "type": "FORK_JOIN",
        "forkTasks": [[simple("b", retryCount=0)], [simple("c")]],
    }
    join = {"name": "j", "taskReferenceName": "j", "type": "JOIN", "joinOn": ["b", "c"]}
    await rest.register("flow", simple("a"), fork, join, simple("d"))


async def test_rerun_from_a_task_keeps_what_ran_beside_it(rest: Rest) -> None:
    """The sibling's result stays, the task runs with the input given, the answer is the id as text."""
    await register_fork(rest)
    workflow_id = await started(rest)
    await finish(rest, "a")
    await finish(rest, "c")
    failed = await finish(rest, "b", "FAILED_WITH_TERMINAL_ERROR")
    body = {"reRunFromWorkflowId": workflow_id, "reRunFromTaskId": failed["taskId"], "taskInput": {"again": "${x}"}}
    assert await rest.text("POST", f"/api/workflow/{workflow_id}/rerun", body) == workflow_id
    found = await workflow(rest, workflow_id)
    assert statuses(found) == {
        "a": "COMPLETED",
        "f": "COMPLETED",
        "c": "COMPLETED",
        "b": "SCHEDULED",
        "j": "IN_PROGRESS",
    }
    assert (await finish(rest, "b"))["inputData"] == {"again": "${x}"}
    await finish(rest, "d")
    assert (await workflow(rest, workflow_id))["status"] == "COMPLETED"


async def test_rerun_without_a_task_begins_again_with_another_input(rest: Rest) -> None:
    """Correlation id and input are replaced, the tasks are gone."""
    await rest.register("flow", simple("a"))
    workflow_id = await started(rest, input={"n": 1}, correlationId="old")
    await finish(rest, "a")
    await rest.text("POST", f"/api/workflow/{workflow_id}/rerun", {"workflowInput": {"n": 2}, "correlationId": "new"})
    found = await workflow(rest, workflow_id)
    assert (found["input"], found["correlationId"], statuses(found)) == ({"n": 2}, "new", {"a": "SCHEDULED"})
    await rest.refused("POST", f"/api/workflow/{workflow_id}/rerun", {}, status=409)


async def test_rerun_of_an_unknown_task_is_400_with_its_id(rest: Rest) -> None:
    """Of this workflow or of one that is no sub-workflow of it."""
    await rest.register("flow", simple("a"))
    workflow_id = await started(rest)
    await finish(rest, "a")
    for task in (f"{workflow_id}~9", "stranger~1", "nonsense"):
        error = await rest.refused("POST", f"/api/workflow/{workflow_id}/rerun", {"reRunFromTaskId": task}, status=400)
        assert task in error["message"]


async def register_family(rest: Rest) -> None:
    """Register `top` with a sub-workflow `leaf`, whose task fails for good at the first failure."""
    await rest.register("leaf", simple("x", retryCount=0))
    child = {
        "name": "s",
        "taskReferenceName": "s",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "leaf"},
        "retryCount": 0,
    }
    await rest.register("top", child, simple("after"))


async def failed_family(rest: Rest) -> tuple[str, JsonObject]:
    """Return a workflow that has failed because of its sub-workflow, and the task that failed there."""
    await register_family(rest)
    top = await started(rest, "top")
    failed = await finish(rest, "x", "FAILED")
    await wait_status(rest, top, "FAILED")
    return top, failed


async def finish_family(rest: Rest, top: str) -> None:
    """End what is open and see the top complete, with one sub-workflow."""
    await finish(rest, "x")
    await finish(rest, "after")
    await wait_status(rest, top, "COMPLETED")
    assert len([task for task in (await workflow(rest, top))["tasks"] if task["taskType"] == "SUB_WORKFLOW"]) == 1


async def test_rerun_from_a_task_of_a_sub_workflow_revives_the_parent(rest: Rest) -> None:
    """The path names the parent, the task is the child's: both run again."""
    top, failed = await failed_family(rest)
    path = f"/api/workflow/{top}/rerun"
    task = failed["taskId"]
    await rest.refused("POST", path, {"reRunFromTaskId": task, "workflowInput": {}}, status=400)
    assert await rest.text("POST", path, {"reRunFromTaskId": task}) == top
    await wait_status(rest, top, "RUNNING")
    await finish_family(rest, top)


async def test_retry_can_resume_the_sub_workflow(rest: Rest) -> None:
    """The same child goes on."""
    top, failed = await failed_family(rest)
    await rest.done("POST", f"/api/workflow/{top}/retry?resumeSubworkflowTasks=true", status=204)
    again = await rest.take("x")
    assert again["workflowInstanceId"] == failed["workflowInstanceId"]
    await rest.text("POST", "/api/tasks", result(again))
    await finish(rest, "after")
    await wait_status(rest, top, "COMPLETED")


async def test_parent_that_has_left_memory_is_revived_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ended long ago; a retry of the child brings the parent back from the history."""
    monkeypatch.setattr(eviction, "GRACE_MS", 0)
    monkeypatch.setattr(node_module, "EVICT_EVERY_S", 0.02)
    settings = NodeSettings(data_dir=tmp_path / "data", url="http://127.0.0.1:0")
    async with open_node(settings) as node, TestClient(TestServer(build_app(node))) as client:
        await node.wait_up()
        rest = Rest(client, node)
        top, failed = await failed_family(rest)
        child = failed["workflowInstanceId"]
        async with asyncio.timeout(FOREVER_S):
            while any([await node.workflows.state(WorkflowId(found)) for found in (top, child)]):
                await asyncio.sleep(0.02)
        await rest.done("POST", f"/api/workflow/{child}/retry", status=204)
        await wait_status(rest, top, "RUNNING")
        await finish_family(rest, top)


async def test_jump_goes_on_with_a_task_and_skips_what_stands_before_it(rest: Rest) -> None:
    """The body is its input; an unknown task is 404, an ended workflow 409."""
    await rest.register("flow", simple("a"), simple("b"), simple("c"))
    workflow_id = await started(rest)
    await rest.done("POST", f"/api/workflow/{workflow_id}/jump/c", {"n": 1})
    assert statuses(await workflow(rest, workflow_id)) == {"a": "SKIPPED", "b": "SKIPPED", "c": "SCHEDULED"}
    await rest.refused("POST", f"/api/workflow/{workflow_id}/jump/nowhere", {}, status=404)
    assert (await finish(rest, "c"))["inputData"] == {"n": 1}
    await rest.refused("POST", f"/api/workflow/{workflow_id}/jump/a", {}, status=409)


async def test_variables_are_set_and_the_workflow_is_answered(rest: Rest) -> None:
    """Those that are not named keep their values; an ended workflow is 409."""
    await rest.register("flow", simple("a"), variables={"kept": 1, "set": 1})
    workflow_id = await started(rest)
    found = await rest.json("POST", f"/api/workflow/{workflow_id}/variables", {"set": [2]})
    assert found["variables"] == {"kept": 1, "set": [2]}
    await finish(rest, "a")
    await rest.refused("POST", f"/api/workflow/{workflow_id}/variables", {"set": 3}, status=409)


async def test_state_update_sets_variables_and_ends_a_task_in_one_decision(rest: Rest) -> None:
    """The answer waits until the workflow settles; where the task is refused, the variables stay too."""
    await rest.register("flow", {"name": "w", "taskReferenceName": "w", "type": "WAIT"}, simple("a"))
    workflow_id = await started(rest)
    path = f"/api/workflow/{workflow_id}/state?requestId=r&waitUntilTaskRef=w&waitForSeconds=5"
    update = {"variables": {"v": 1}, "taskReferenceName": "a", "taskResult": {"status": "COMPLETED"}}
    await rest.refused("POST", path, update, status=404)
    assert (await workflow(rest, workflow_id))["variables"] == {}
    await rest.refused("POST", path, {"taskResult": {"status": "COMPLETED"}}, status=400)
    done = {**update, "taskReferenceName": "w", "taskResult": {"status": "COMPLETED", "outputData": {"n": 2}}}
    answer = await rest.json("POST", path, done)
    assert (answer["requestId"], answer["workflowId"], answer["variables"]) == ("r", workflow_id, {"v": 1})
    assert answer["tasks"][0]["outputData"] == {"n": 2}
    await finish(rest, "a")


async def test_upgrade_tells_what_fits_and_goes_on_by_the_other_version(rest: Rest) -> None:
    """A dry run changes nothing; a version in which an open task is missing is refused and named."""
    await rest.register("flow", simple("a"), simple("b"))
    workflow_id = await started(rest)
    await rest.register("flow", simple("a"), simple("new"), version=2)
    await rest.register("flow", simple("other"), version=3)
    path = f"/api/workflow/{workflow_id}/upgrade"
    report = await rest.json("POST", f"{path}?dryRun=true", {"name": "flow", "version": 2})
    assert report == {
        "workflowId": workflow_id,
        "fromVersion": 1,
        "toVersion": 2,
        "fits": ["a"],
        "misfits": [],
        "forgotten": [],
        "renewed": [],
        "added": ["new"],
    }
    assert (await workflow(rest, workflow_id))["workflowVersion"] == 1
    error = await rest.refused("POST", path, {"name": "flow", "version": 3}, status=400)
    assert "a: the other version has no task of that name" in error["message"]
    await rest.refused("POST", path, {"version": 9}, status=404)
    await rest.json("POST", path, {"name": "flow", "version": 2})
    assert (await workflow(rest, workflow_id))["workflowVersion"] == 2
    await finish(rest, "a")
    await finish(rest, "new")
    await rest.refused("POST", path, {"version": 2}, status=409)


async def test_reset_callbacks_offers_delayed_tasks_now(rest: Rest) -> None:
    """A worker asked for its task in an hour; a person cannot wait."""
    await rest.register("flow", simple("a"))
    workflow_id = await started(rest)
    await rest.text("POST", "/api/tasks", result(await rest.take("a"), "IN_PROGRESS", callbackAfterSeconds=3_600))
    assert await rest.poll("a", timeout_ms=0) == []
    await rest.done("POST", f"/api/workflow/{workflow_id}/resetcallbacks", status=204)
    await finish(rest, "a")
    await rest.refused("POST", f"/api/workflow/{workflow_id}/resetcallbacks", status=409)


async def test_removed_workflow_is_nowhere_any_more(rest: Rest) -> None:
    """Neither by its id nor in a search; one that runs is refused."""
    await rest.register("flow", simple("a"))
    workflow_id, other = await started(rest), await started(rest)
    path = f"/api/workflow/{workflow_id}/remove?archiveWorkflow=False"
    await rest.refused("DELETE", path, status=409)
    for _ in range(2):
        await finish(rest, "a")
    await rest.done("DELETE", path, {})
    await rest.refused("GET", f"/api/workflow/{workflow_id}", status=404)
    await rest.refused("POST", f"/api/workflow/{workflow_id}/restart", status=404)
    async with asyncio.timeout(FOREVER_S):
        while True:
            hits = await rest.json("GET", "/api/workflow/search")
            if [hit["workflowId"] for hit in hits["results"] if hit["status"] == "COMPLETED"] == [other]:
                break
            await asyncio.sleep(0.05)


async def test_archived_workflow_stays_in_the_history(rest: Rest) -> None:
    """That is the default; one that has not ended is 400."""
    await rest.register("flow", simple("a"))
    workflow_id = await started(rest)
    await rest.refused("DELETE", f"/api/workflow/{workflow_id}/remove", status=400)
    await rest.done("DELETE", f"/api/workflow/{workflow_id}/terminate-remove?reason=enough")
    assert (await workflow(rest, workflow_id))["reasonForIncompletion"] == "enough"


async def test_bulk_removals_tell_each_refusal_beside_its_id(rest: Rest) -> None:
    """Both spellings of the route; with termination first where that is asked for."""
    await rest.register("flow", simple("a"))
    ended, running = await started(rest), await started(rest)
    await rest.done("DELETE", f"/api/workflow/{ended}")
    for method, path in (("DELETE", "remove?archiveWorkflow=false"), ("POST", "delete?archiveWorkflow=true")):
        answer = await rest.json(method, f"/api/workflow/bulk/{path}", [ended, running])
        assert running in answer["bulkErrorResults"]
    answer = await rest.json("DELETE", "/api/workflow/bulk/terminate-remove?archiveWorkflow=false", [running])
    assert answer["bulkSuccessfulResults"] == [running]
    await rest.refused("GET", f"/api/workflow/{running}", status=404)


async def test_failure_workflow_starts_once_and_is_named_in_the_output(rest: Rest) -> None:
    """It is given the failed workflow's input, the reason and the workflow itself."""
    await rest.register("mend", simple("mend_it"))
    await rest.register("flow", simple("a", retryCount=0), failureWorkflow="mend")
    workflow_id = await started(rest, input={"n": 1}, correlationId="c")
    failed = await finish(rest, "a", "FAILED")
    found = await workflow(rest, workflow_id)
    mending_id = found["output"]["conductor.failure_workflow"]
    async with asyncio.timeout(FOREVER_S):
        while (await rest.call("GET", f"/api/workflow/{mending_id}")).status != 200:
            await asyncio.sleep(0.01)
    mending = await workflow(rest, mending_id)
    given = mending["input"]
    assert (given["n"], given["workflowId"], given["failureStatus"], given["failureTaskId"]) == (
        1,
        workflow_id,
        "FAILED",
        failed["taskId"],
    )
    assert given["reason"] == found["reasonForIncompletion"]
    assert given["failedWorkflow"]["tasks"][0]["status"] == "FAILED"
    assert mending["correlationId"] == "c"
