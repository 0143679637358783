"""`cacheConfig` over REST, on a real node."""

from tests.api.rest_client import Rest, result, simple


async def test_work_that_was_done_for_one_workflow_serves_the_next(rest: Rest) -> None:
    """The second workflow ends without a worker, with the first one's output."""
    config = {"key": "${video}", "ttlInSecond": 600}
    given = {"video": "${workflow.input.video}"}
    await rest.register("probing", simple("probe", inputParameters=given, cacheConfig=config))
    await rest.text("POST", "/api/workflow/probing", {"video": "v"})
    await rest.text("POST", "/api/tasks", result(await rest.take("probe"), outputData={"fps": 25}))

    second = await rest.json("GET", f"/api/workflow/{await rest.text('POST', '/api/workflow/probing', {'video': 'v'})}")
    assert (second["status"], second["output"]) == ("COMPLETED", {"fps": 25})
    assert second["tasks"][0]["startTime"] > 0
    other = await rest.json("GET", f"/api/workflow/{await rest.text('POST', '/api/workflow/probing', {'video': 'w'})}")
    assert other["status"] == "RUNNING"
    error = await rest.refused(
        "POST",
        "/api/metadata/workflow",
        {"name": "w", "tasks": [simple("a", cacheConfig={"key": "k"})]},
        status=400,
    )
    assert error["validationErrors"][0]["path"] == "tasks[0].cacheConfig"
