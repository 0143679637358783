"""Claims about the searches of the REST interface: a real server with a real history."""

import pytest

from engine.ids import WorkflowId
from engine.json_value import JsonObject
from tests.api.rest_client import Rest, result, simple


async def ran(rest: Rest, name: str, **fields: object) -> str:
    """Run a workflow of one task to its end, and wait until the history has it; return its id."""
    workflow_id = await rest.text("POST", "/api/workflow", {"name": name, **fields})
    task = await rest.take("work")
    await rest.call("POST", "/api/tasks", result(task, outputData={"made": workflow_id}))
    state = await rest.node.workflows.state(WorkflowId(workflow_id))
    assert state is not None
    assert await rest.node.history.wait_projected(WorkflowId(workflow_id), state.version, timeout_ms=10_000)
    return workflow_id


@pytest.fixture
async def ids(rest: Rest) -> list[str]:
    """Three workflows of two names, ended."""
    await rest.register("red", simple("work"))
    await rest.register("blue", simple("work"))
    return [
        await ran(rest, "red", correlationId="c1"),
        await ran(rest, "red", correlationId="c2"),
        await ran(rest, "blue", correlationId="c1"),
    ]


async def test_whole_workflows_are_found_without_their_tasks(rest: Rest, ids: list[str]) -> None:
    """In the order of the search, with all that a summary leaves out."""
    page = await rest.json("GET", "/api/workflow/search-v2?query=workflowType=red&sort=startTime:ASC")
    assert page["totalHits"] == 2
    assert [found["workflowId"] for found in page["results"]] == ids[:2]
    assert page["results"][0]["workflowDefinition"]["name"] == "red"
    assert page["results"][0]["tasks"] == []


@pytest.mark.parametrize("path", ["search-by-tasks", "search-by-tasks-v2"])
async def test_workflows_are_found_by_what_their_tasks_are(rest: Rest, ids: list[str], path: str) -> None:
    """The query names fields of tasks, the answer shows workflows."""
    page = await rest.json("GET", f'/api/workflow/{path}?query=output="*{ids[1]}*"')
    assert (page["totalHits"], [found["workflowId"] for found in page["results"]]) == (1, [ids[1]])


async def test_tasks_are_found_as_summaries_and_whole(rest: Rest, ids: list[str]) -> None:
    """Page by page, with the exact number of all."""
    found: list[JsonObject] = []
    for start in (0, 2):
        page = await rest.json(
            "GET", f"/api/tasks/search?query=taskDefName=work&start={start}&size=2&sort=startTime:ASC"
        )
        assert page["totalHits"] == 3
        found += page["results"]
    assert [task["workflowId"] for task in found] == ids
    whole = await rest.json("GET", f"/api/tasks/search-v2?query=workflowId='{ids[2]}'")
    assert [task["outputData"] for task in whole["results"]] == [{"made": ids[2]}]
    assert whole["results"][0]["referenceTaskName"] == "work"


async def test_correlated_workflows_are_found_in_batch(rest: Rest, ids: list[str]) -> None:
    """Each correlation id of the request is in the answer, also one that nobody carries."""
    asked = {"correlationIds": ["c1", "c2", "none"], "workflowNames": ["red", "blue"]}
    found = await rest.json("POST", "/api/workflow/correlated/batch?includeClosed=true", asked)
    assert {key: [item["workflowId"] for item in items] for key, items in found.items()} == {
        "c1": [ids[0], ids[2]],
        "c2": [ids[1]],
        "none": [],
    }
    many = {"correlationIds": [str(number) for number in range(1_001)], "workflowNames": ["red"]}
    await rest.refused("POST", "/api/workflow/correlated/batch", many, status=400)


async def test_a_query_that_cannot_be_understood_is_400_with_the_place(rest: Rest) -> None:
    """For every search alike."""
    for path in ("workflow/search-v2", "workflow/search-by-tasks", "tasks/search", "tasks/search-v2"):
        error = await rest.refused("GET", f"/api/{path}?query=status=", status=400)
        assert "position" in error["message"] or "found" in error["message"], error
        await rest.refused("GET", f"/api/{path}?size=5001", status=400)


async def test_queues_are_shown_in_conductors_verbose_form_and_requeue_loses_nothing(rest: Rest) -> None:
    """What waits stays where it is."""
    await rest.register("red", simple("work"))
    await rest.text("POST", "/api/workflow/red", {})
    await rest.text("POST", "/api/workflow/red", {})
    assert (await rest.json("GET", "/api/tasks/queue/all/verbose"))["work"] == {"a": {"size": 2, "uacked": 0}}
    assert await rest.text("POST", "/api/tasks/queue/requeue/work", {}) == "2"
    assert len(await rest.poll("work", count=5)) == 2
    assert await rest.text("POST", "/api/tasks/queue/requeue/nobody", {}) == "0"
