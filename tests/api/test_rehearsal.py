"""Workflows rehearsed over REST: mocked answers through the real engine, and nothing stored."""

import asyncio
import time

import pytest

from engine.json_value import JsonObject
from streams import rehearsals
from tests.api.rest_client import Rest, simple

PATH = "/api/workflow/test"
DOUBLED = {"expression": "[1, 2].map(n => n * 2)", "evaluatorType": "javascript"}


async def rehearsed(rest: Rest, *tasks: JsonObject, mocks: JsonObject, **fields: object) -> JsonObject:
    """Return the answer to a test of a workflow that came with the request."""
    definition = {"name": "tried", "tasks": tasks, "outputParameters": {"n": "${a.output.n}"}}
    body = {"name": "tried", "workflowDef": definition, "taskRefToMockOutput": mocks, **fields}
    answer: JsonObject = await rest.json("POST", PATH, body)
    return answer


async def test_workflow_runs_with_mocks_in_no_time_and_leaves_nothing(rest: Rest) -> None:
    """Retries and waits of days pass at once; the id is nobody's, the queue is empty."""
    wait = {"name": "w", "taskReferenceName": "w", "type": "WAIT", "inputParameters": {"duration": "30 days"}}
    mocks = {"a": [{"status": "FAILED"}, {"output": {"n": 1}, "executionTime": 60_000, "queueWaitTime": 5}]}
    begun = time.perf_counter()
    workflow = await rehearsed(rest, wait, simple("a"), mocks=mocks, input={"x": 1}, correlationId="c")
    assert time.perf_counter() - begun < 5
    assert (workflow["status"], workflow["output"], workflow["input"]) == ("COMPLETED", {"n": 1}, {"x": 1})
    assert [task["status"] for task in workflow["tasks"]] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert workflow["endTime"] - workflow["startTime"] == 30 * 86_400_000 + 60_000 + 60_005
    assert workflow["rehearsal"]["end"] == "ENDED"
    assert workflow["rehearsal"]["virtualMs"] == workflow["endTime"] - workflow["startTime"]
    await rest.refused("GET", f"/api/workflow/{workflow['workflowId']}", status=404)
    assert await rest.json("GET", "/api/tasks/queue/all") == {}


async def test_registered_definition_is_tested_and_what_is_not_there_is_404(rest: Rest) -> None:
    """Also with a workflow whose name is `test`: that one is started by the body of the other route."""
    await rest.register("test", simple("a"))
    workflow = await rest.json("POST", PATH, {"name": "test", "taskRefToMockOutput": {"a": [{}]}})
    assert workflow["status"] == "COMPLETED"
    assert "nobody" in (await rest.refused("POST", PATH, {"name": "nobody"}, status=404))["message"]


async def test_workflow_without_an_answer_says_what_it_waits_for(rest: Rest) -> None:
    """It is answered as it stands."""
    workflow = await rehearsed(rest, simple("a"), mocks={})
    assert workflow["status"] == "RUNNING"
    assert workflow["rehearsal"]["end"] == "WAITING"
    assert workflow["waitingFor"]["ref"] == "a"
    assert workflow["tasks"][0]["waitingFor"]["sentence"] == "in the queue of type a for 0 s"


async def test_sub_workflow_runs_by_a_definition_that_came_with_its_mocks(rest: Rest) -> None:
    """It need not be registered; how it went is in the answer too."""
    child = {"name": "child", "tasks": [simple("b")], "outputParameters": {"n": "${b.output.n}"}}
    inner = {"name": "child", "workflowDef": child, "taskRefToMockOutput": {"b": [{"output": {"n": 4}}]}}
    task = {"name": "a", "taskReferenceName": "a", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}}
    workflow = await rehearsed(rest, task, mocks={}, subWorkflowTestRequest={"a": inner})
    assert (workflow["status"], workflow["output"]) == ("COMPLETED", {"n": 4})
    (found,) = workflow["rehearsal"]["workflows"]
    assert (found["workflowId"], found["status"]) == (workflow["tasks"][0]["subWorkflowId"], "COMPLETED")


async def test_scripts_are_computed_by_the_sandbox(rest: Rest) -> None:
    """JavaScript that is not simple, and one that fails."""
    inline = {"name": "a", "taskReferenceName": "a", "type": "INLINE", "inputParameters": DOUBLED}
    broken = {**inline, "taskReferenceName": "b", "inputParameters": {**DOUBLED, "expression": "[1].nothing()"}}
    workflow = await rehearsed(rest, inline, {**broken, "optional": True}, mocks={})
    first, second = workflow["tasks"]
    assert first["outputData"] == {"result": [2, 4]}
    assert (second["status"], workflow["status"]) == ("COMPLETED_WITH_ERRORS", "COMPLETED")


async def test_endless_loop_is_stopped_and_does_not_hold_up_others(rest: Rest) -> None:
    """20,000 decisions, a few at a time: meanwhile the server answers."""
    body = {"name": "w", "taskReferenceName": "w", "type": "WAIT", "inputParameters": {"duration": "1 second"}}
    fields: JsonObject = {"loopCondition": "true", "loopOver": [body], "inputParameters": {"keepLastN": 1}}
    loop = {"name": "a", "taskReferenceName": "a", "type": "DO_WHILE", **fields}
    async with asyncio.TaskGroup() as group:
        endless = group.create_task(rehearsed(rest, loop, mocks={}))
        answered = 0
        while not endless.done():
            await rest.json("GET", "/api/tasks/queue/all")
            answered += 1
    workflow = endless.result()
    assert (workflow["status"], workflow["rehearsal"]["end"]) == ("RUNNING", "DECISIONS")
    assert workflow["rehearsal"]["decisions"] == 20_000
    assert answered > 50


async def test_wrong_mock_is_refused_with_its_place(rest: Rest) -> None:
    """Every broken rule, also deep within."""
    mocks = {"a": [{"status": "DONE"}, {"executionTime": -1}]}
    body = {"name": "x", "subWorkflowTestRequest": {"s": {"taskRefToMockOutput": mocks}}}
    error = await rest.refused("POST", PATH, body, status=400)
    at = "subWorkflowTestRequest.s.taskRefToMockOutput.a"
    assert {broken["path"] for broken in error["validationErrors"]} == {f"{at}[0].status", f"{at}[1].executionTime"}
    child = {"workflowDef": {"name": "c", "tasks": [simple("b"), simple("b")]}}
    error = await rest.refused("POST", PATH, {"name": "x", "subWorkflowTestRequest": {"s": child}}, status=400)
    assert error["validationErrors"][0]["path"].startswith("subWorkflowTestRequest.s.workflowDef.tasks[1]")


async def test_more_rehearsals_than_a_node_takes_are_told_to_come_again(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, as always when somebody can only wait."""
    monkeypatch.setattr(rehearsals, "WAITING_MAX", -rehearsals.AT_ONCE_MAX)
    error = await rest.refused("POST", PATH, {"name": "x"}, status=503)
    assert error["code"] == "TOO_MANY_REHEARSALS"
