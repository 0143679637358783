"""Idempotency keys over REST, on a real node."""

import asyncio

from engine.ids import WorkflowId
from tests.api.rest_client import Rest, result, simple


async def start(rest: Rest, strategy: str | None = None) -> str:
    """Start by the key `k`; return the id."""
    return await rest.text("POST", "/api/workflow", body(strategy))


def body(strategy: str | None) -> dict[str, object]:
    """Return a start request."""
    return {"name": "greetings", "idempotencyKey": "k", "idempotencyStrategy": strategy}


async def test_equal_keys_start_once_however_many_ask_at_once(rest: Rest) -> None:
    """All are answered with the one workflow, which shows its key."""
    await rest.register("greetings", simple("greet"))
    ids = await asyncio.gather(*(start(rest) for _ in range(20)))
    assert len(set(ids)) == 1
    assert len(await rest.poll("greet", count=20)) == 1
    assert (await rest.json("GET", f"/api/workflow/{ids[0]}"))["idempotencyKey"] == "k"


async def test_key_that_is_taken_is_409_and_an_unknown_strategy_400(rest: Rest) -> None:
    """The message names the workflow that has the key."""
    await rest.register("greetings", simple("greet"))
    first = await start(rest, "FAIL")
    assert first in (await rest.refused("POST", "/api/workflow", body("FAIL"), status=409))["message"]
    await rest.refused("POST", "/api/workflow", body("FAIL_ON_RUNNING"), status=409)
    await rest.refused("POST", "/api/workflow", body("PERHAPS"), status=400)


async def test_key_of_an_ended_workflow_can_be_used_by_the_next(rest: Rest) -> None:
    """With FAIL_ON_RUNNING; both stay, under ids of their own, and the key stands for the newer."""
    await rest.register("greetings", simple("greet"))
    first = await start(rest, "FAIL_ON_RUNNING")
    await rest.text("POST", "/api/tasks", result(await rest.take("greet")))
    second = await start(rest, "FAIL_ON_RUNNING")
    assert first != second
    assert (await rest.json("GET", f"/api/workflow/{first}"))["status"] == "COMPLETED"
    assert (await rest.json("GET", f"/api/workflow/{second}"))["status"] == "RUNNING"
    assert await start(rest) == second


async def test_two_parents_share_the_sub_workflow_of_a_key(rest: Rest) -> None:
    """The child's work is done once, and both parents go on with its output."""
    await rest.register("child", simple("greet"), outputParameters={"said": "${greet.output.said}"})
    parameters = {"name": "child", "idempotencyKey": "${workflow.input.order}"}
    await rest.register(
        "parent", {"name": "sub", "taskReferenceName": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": parameters}
    )
    parents = [await rest.text("POST", "/api/workflow/parent", {"order": "17"}) for _ in range(2)]
    (task,) = await rest.poll("greet", count=5)
    await rest.text("POST", "/api/tasks", result(task, outputData={"said": "hi"}))
    for parent in parents:
        await rest.node.workflows.state(WorkflowId(parent))
        async with asyncio.timeout(10):
            while (workflow := await rest.json("GET", f"/api/workflow/{parent}"))["status"] == "RUNNING":
                await asyncio.sleep(0.01)  # the child's end comes by the log
        assert workflow["output"] == {"said": "hi", "subWorkflowId": task["workflowInstanceId"]}
