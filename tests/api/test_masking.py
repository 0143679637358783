"""Masked fields over REST, on a real node."""

import asyncio

from tests.api.rest_client import Rest, result, simple

SECRET = "4111-1111"


async def test_no_view_shows_a_masked_field_and_its_worker_gets_it(rest: Rest) -> None:
    """The workflow, its tasks, its status, one task, a signal's answer and the search."""
    tasks = (simple("pay", inputParameters={"card": "${workflow.input.card}"}), simple("after"))
    await rest.register(
        "paying", *tasks, maskedFields=["card"], outputParameters={"card": "${pay.output.card}", "n": 1}
    )
    workflow_id = await rest.text("POST", "/api/workflow/paying", {"card": SECRET})
    task = await rest.take("pay")
    assert task["inputData"] == {"card": SECRET}
    await rest.text("POST", "/api/tasks", result(task, outputData={"card": SECRET}))
    await rest.text("POST", "/api/tasks", result(await rest.take("after")))

    paths = (
        f"/api/workflow/{workflow_id}",
        f"/api/workflow/{workflow_id}/status?includeOutput=true&includeVariables=true",
        f"/api/workflow/{workflow_id}/tasks",
        f"/api/tasks/{task['taskId']}",
    )
    for path in paths:
        assert SECRET not in str(await rest.json("GET", path)), path
    shown = await rest.json("GET", paths[0])
    assert (shown["input"], shown["output"]) == ({"card": "***"}, {"card": "***", "n": 1})
    assert shown["tasks"][0]["inputData"] == {"card": "***"}

    async with asyncio.timeout(20):
        while not (page := await rest.json("GET", "/api/workflow/search?query=workflowType%3Dpaying"))["results"]:
            await asyncio.sleep(0.05)  # the history follows the log
    assert SECRET not in str(page)
    found = await rest.json("GET", f"/api/workflow/search?freeText={SECRET}")
    assert found["totalHits"] == 0
