"""Claims about calls that start a workflow and wait for it: a real server, real workers over REST."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import orjson

from engine.json_value import JsonObject, JsonValue
from tests.api.rest_client import Rest, result, simple

HUMAN = {"name": "approve", "taskReferenceName": "approve", "type": "HUMAN"}
SUBMIT = "/api/workflow/execute"


async def execute(rest: Rest, name: str, parameters: str = "", **fields: JsonValue) -> JsonObject:
    """Execute a workflow; the answer comes when it settles."""
    answer: JsonObject = await rest.json("POST", f"{SUBMIT}/{name}/1?{parameters}", {"name": name, **fields})
    return answer


async def work(rest: Rest, name: str, **fields: JsonValue) -> JsonObject:
    """Do the one task of a type that comes; return it."""
    task = await rest.take(name)
    await rest.call("POST", "/api/tasks", result(task, **fields))
    return task


async def executed_while(
    rest: Rest, worker: Coroutine[Any, Any, object], *asked: str, **fields: JsonValue
) -> JsonObject:
    """Execute a workflow while a worker does its part."""
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(execute(rest, *asked, **fields))
        group.create_task(worker)
    return answer.result()


async def timed(done: Coroutine[Any, Any, object], at_s: list[float]) -> None:
    """Note when something is done."""
    await done
    at_s.append(time.perf_counter())


async def test_an_execution_answers_when_the_workflow_has_ended(rest: Rest) -> None:
    """The answer carries the output and the tasks, and says that the time was not over."""
    await rest.register("greet", simple("hello"), outputParameters={"said": "${hello.output.said}"})
    worker = work(rest, "hello", outputData={"said": "hi Ann"})
    response = await executed_while(rest, worker, "greet", "requestId=r1&waitForSeconds=30", input={"to": "Ann"})
    assert response["output"] == {"said": "hi Ann"}
    assert (response["responseType"], response["requestId"]) == ("TARGET_WORKFLOW", "r1")
    assert (response["targetWorkflowStatus"], response["signalTimeout"]) == ("COMPLETED", False)
    assert [item["referenceTaskName"] for item in response["tasks"]] == ["hello"]


async def test_an_execution_wakes_on_the_decision_and_does_not_poll(rest: Rest) -> None:
    """From the worker's result to the answer it takes a few milliseconds, not a poll's period."""
    await rest.register("greet", simple("hello"))
    gaps_ms = []
    for _ in range(9):
        reported_at_s: list[float] = []
        await executed_while(rest, timed(work(rest, "hello"), reported_at_s), "greet", "waitForSeconds=30")
        gaps_ms.append((time.perf_counter() - reported_at_s[0]) * 1000)
    assert sorted(gaps_ms)[4] < 50, gaps_ms  # Conductor looks each 100 ms


async def test_an_execution_whose_time_is_over_shows_the_workflow_as_it_stands(rest: Rest) -> None:
    """That is no error: status 200, RUNNING, and `signalTimeout` is true."""
    await rest.register("greet", simple("hello"))
    response = await execute(rest, "greet", "waitForSeconds=1")
    assert (response["status"], response["signalTimeout"]) == ("RUNNING", True)


async def test_an_execution_answers_when_a_named_task_has_ended(rest: Rest) -> None:
    """`waitUntilTaskRef` takes a list; the workflow goes on."""
    await rest.register("two", simple("first"), simple("second"))
    response = await executed_while(rest, work(rest, "first"), "two", "waitUntilTaskRef=other,first&waitForSeconds=30")
    assert (response["status"], response["signalTimeout"]) == ("RUNNING", False)


async def test_an_execution_answers_when_somebody_is_waited_for(rest: Rest) -> None:
    """With a task strategy the answer is that task."""
    await rest.register("approval", HUMAN)
    response = await execute(rest, "approval", "returnStrategy=BLOCKING_TASK&waitForSeconds=30")
    assert (response["referenceTaskName"], response["taskType"]) == ("approve", "HUMAN")
    assert response["signalTimeout"] is False


async def test_an_execution_answers_when_somebody_is_waited_for_below_it(rest: Rest) -> None:
    """Two levels down: the blocking workflow is shown, the target named."""
    await rest.register("leaf", simple("work"), HUMAN)
    middle = {"name": "m", "taskReferenceName": "m", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "leaf"}}
    await rest.register("middle", middle)
    await rest.register("top", {**middle, "subWorkflowParam": {"name": "middle"}})
    wish = "returnStrategy=BLOCKING_WORKFLOW&waitForSeconds=30"
    response = await executed_while(rest, work(rest, "work"), "top", wish)
    leaf = await rest.json("GET", f"/api/workflow/{response['workflowId']}")
    assert (leaf["workflowName"], response["targetWorkflowStatus"]) == ("leaf", "RUNNING")
    assert response["targetWorkflowId"] != response["workflowId"]
    assert response["signalTimeout"] is False


async def test_version_0_executes_the_latest_and_an_inline_definition_needs_no_registration(rest: Rest) -> None:
    """As Conductor's SDKs ask for it."""
    await rest.register("versions", HUMAN, version=1)
    done = {"name": "n", "taskReferenceName": "n", "type": "NOOP"}
    await rest.register("versions", done, version=7)
    latest = await rest.json("POST", f"{SUBMIT}/versions/0", {"name": "versions"})
    assert latest["status"] == "COMPLETED"
    inline = {"name": "inline", "version": 1, "tasks": [done]}
    body = {"name": "inline", "version": 1, "workflowDef": inline, "idempotencyStrategy": "FAIL"}
    answered = await rest.json("POST", f"{SUBMIT}/inline/1?waitUntilTaskRef=None&waitForSeconds=10", body)
    assert answered["status"] == "COMPLETED"


async def test_an_unknown_workflow_cannot_be_executed(rest: Rest) -> None:
    """404, and nothing waits."""
    await rest.refused("POST", f"{SUBMIT}/nobody/1", {"name": "nobody"}, status=404)
    await rest.refused("GET", "/api/workflow/nobody/await", status=404)


async def test_a_wait_that_is_not_a_number_is_refused_before_anything_starts(rest: Rest) -> None:
    """No workflow is left behind by a request that was answered with 400."""
    await rest.register("approval", HUMAN)
    await rest.refused("POST", f"{SUBMIT}/approval/1?waitForSeconds=soon", {"name": "approval"}, status=400)
    await rest.refused("POST", f"{SUBMIT}/approval/1?returnStrategy=ALL", {"name": "approval"}, status=400)
    assert await rest.json("GET", "/api/workflow/running/approval") == []


async def test_a_workflow_called_as_an_api_answers_with_its_output(rest: Rest) -> None:
    """By POST the body is the input, by GET the query; the headers tell which workflow it was."""
    await rest.register(
        "echo", {"name": "n", "taskReferenceName": "n", "type": "NOOP"}, outputParameters={"a": "${workflow.input.a}"}
    )
    posted = await rest.call("POST", "/api/workflow/execute/echo", {"a": 1})
    asked = await rest.call("GET", "/api/workflow/execute/echo?a=x&version=1")
    assert orjson.loads(await posted.read()) == {"a": 1}
    assert orjson.loads(await asked.read()) == {"a": "x"}
    assert posted.headers["X-Workflow-Status"] == "COMPLETED"
    assert (await rest.json("GET", f"/api/workflow/{posted.headers['X-Workflow-Id']}"))["status"] == "COMPLETED"


async def test_a_called_workflow_that_fails_or_takes_too_long_says_so(rest: Rest) -> None:
    """422 with the reason, and 202 while it goes on."""
    ends: JsonObject = {"terminationStatus": "FAILED", "terminationReason": "no stock"}
    await rest.register("fails", {"name": "t", "taskReferenceName": "t", "type": "TERMINATE", "inputParameters": ends})
    error = await rest.refused("POST", "/api/workflow/execute/fails", {}, status=422)
    assert "FAILED" in error["message"]
    assert "no stock" in error["message"]
    await rest.register("slow", simple("never"))
    answer = await rest.call("POST", "/api/workflow/execute/slow", {}, headers={"waitForSeconds": "1"})
    assert (answer.status, answer.headers["X-Workflow-Status"]) == (202, "RUNNING")


async def test_any_workflow_can_be_awaited(rest: Rest) -> None:
    """Whoever has only its id waits for it as its starter could."""
    await rest.register("greet", simple("hello"))
    workflow_id = await rest.text("POST", "/api/workflow/greet", {})
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(rest.json("GET", f"/api/workflow/{workflow_id}/await"))
        group.create_task(work(rest, "hello"))
    assert (answer.result()["targetWorkflowId"], answer.result()["status"]) == (workflow_id, "COMPLETED")
