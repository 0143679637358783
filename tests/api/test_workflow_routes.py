"""Workflows over REST, on a real node."""

import re

from engine.ids import WorkflowId
from tests.api.rest_client import Rest, result, simple

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def started(rest: Rest, *, name: str = "greetings", **fields: object) -> str:
    """Start a workflow and return its id."""
    return await rest.text("POST", "/api/workflow", {"name": name, **fields})


async def test_start_answers_a_bare_id_and_the_workflow_is_there_at_once(rest: Rest) -> None:
    """What the Python client does: start, then get."""
    await rest.register("greetings", simple("greet"))
    workflow_id = await rest.text(
        "POST",
        "/api/workflow",
        {"name": "greetings", "version": 1, "input": {"a": 1}, "idempotencyStrategy": "FAIL", "correlationId": "c"},
    )
    assert ID.fullmatch(workflow_id)
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}?includeTasks=true")
    expected = {
        "workflowId": workflow_id,
        "workflowName": "greetings",
        "workflowVersion": 1,
        "status": "RUNNING",
        "input": {"a": 1},
        "output": {},
        "variables": {},
        "correlationId": "c",
        "priority": 0,
        "endTime": 0,
        "taskToDomain": {},
        "failedReferenceTaskNames": [],
        "failedTaskNames": [],
        "history": [],
    }
    assert {name: workflow[name] for name in expected} == expected
    assert workflow["startTime"] == workflow["createTime"] > 0
    assert workflow["workflowDefinition"]["tasks"][0]["name"] == "greet"
    (task,) = workflow["tasks"]
    assert (task["status"], task["referenceTaskName"], task["workflowInstanceId"]) == (
        "SCHEDULED",
        "greet",
        workflow_id,
    )


async def test_tasks_are_left_out_when_not_wanted(rest: Rest) -> None:
    """An empty list, not a missing one. Python spells its booleans in capitals."""
    await rest.register("greetings", simple("greet"))
    workflow_id = await started(rest)
    for word in ("false", "False"):
        assert (await rest.json("GET", f"/api/workflow/{workflow_id}?includeTasks={word}"))["tasks"] == []
    await rest.refused("GET", f"/api/workflow/{workflow_id}?includeTasks=perhaps", status=400)


async def test_start_by_name_takes_the_input_as_body(rest: Rest) -> None:
    """Version, correlation id and priority come in the query; a body may be missing."""
    await rest.register("greetings", simple("greet"))
    workflow_id = await rest.text(
        "POST", "/api/workflow/greetings?version=1&correlationId=c&priority=5", {"who": "Ada"}
    )
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (workflow["input"], workflow["correlationId"], workflow["priority"]) == ({"who": "Ada"}, "c", 5)
    assert ID.fullmatch(await rest.text("POST", "/api/workflow/greetings?version=&correlationId=None"))
    await rest.refused("POST", "/api/workflow/greetings?priority=100", {}, status=400)
    await rest.refused("POST", "/api/workflow/greetings", ["no object"], status=400)


async def test_start_of_an_unknown_definition_is_404_with_its_name(rest: Rest) -> None:
    """By either form, and for a version that is not there."""
    assert "nobody" in (await rest.refused("POST", "/api/workflow", {"name": "nobody"}, status=404))["message"]
    assert "nobody" in (await rest.refused("POST", "/api/workflow/nobody", {}, status=404))["message"]
    await rest.register("greetings", simple("greet"))
    error = await rest.refused("POST", "/api/workflow", {"name": "greetings", "version": 2}, status=404)
    assert "greetings" in error["message"]


async def test_start_without_a_name_or_with_a_wrong_priority_is_400(rest: Rest) -> None:
    """Each wrong field is named."""
    error = await rest.refused("POST", "/api/workflow", {"priority": 500}, status=400)
    assert [violation["path"] for violation in error["validationErrors"]] == ["priority"]
    error = await rest.refused("POST", "/api/workflow", {}, status=400)
    assert [violation["path"] for violation in error["validationErrors"]] == ["name"]


async def test_inline_definition_runs_without_registration(rest: Rest) -> None:
    """`ConductorWorkflow.start` sends the definition along; it is shown again, and never registered."""
    definition = {"name": "inline", "version": 4, "tasks": [simple("greet")]}
    workflow_id = await started(rest, name="inline", workflowDef=definition)
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (workflow["workflowVersion"], workflow["workflowDefinition"]["name"]) == (4, "inline")
    await rest.refused("GET", "/api/metadata/workflow/inline", status=404)
    broken = {"name": "inline", "tasks": [simple("a"), simple("a")]}
    error = await rest.refused("POST", "/api/workflow", {"name": "inline", "workflowDef": broken}, status=400)
    assert "workflowDef.tasks[1].taskReferenceName" in [broken["path"] for broken in error["validationErrors"]]


async def test_status_is_short_and_shows_more_when_asked(rest: Rest) -> None:
    """What pollers read."""
    await rest.register("greetings", simple("greet"), outputParameters={"said": "${greet.output.result}"})
    workflow_id = await started(rest)
    assert await rest.json("GET", f"/api/workflow/{workflow_id}/status") == {
        "workflowId": workflow_id,
        "status": "RUNNING",
    }
    await rest.text("POST", "/api/tasks", result(await rest.take("greet"), outputData={"result": "Hello"}))
    shown = await rest.json("GET", f"/api/workflow/{workflow_id}/status?includeOutput=true&includeVariables=true")
    assert (shown["status"], shown["output"], shown["variables"]) == ("COMPLETED", {"said": "Hello"}, {})


async def test_unknown_workflow_is_404_with_its_id_on_every_route(rest: Rest) -> None:
    """The Python suite looks for the id in the message."""
    routes = [
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/tasks"),
        ("DELETE", ""),
        ("PUT", "/pause"),
        ("PUT", "/resume"),
        ("POST", "/restart"),
        ("POST", "/retry"),
        ("PUT", "/skiptask/greet"),
    ]
    for method, path in routes:
        error = await rest.refused(method, f"/api/workflow/nope{path}", status=404)
        assert "nope" in error["message"], path
    assert "nope" in (await rest.refused("PUT", "/api/workflow/decide/nope", status=404))["message"]


async def test_pause_and_resume_in_the_ways_of_each_client(rest: Rest) -> None:
    """Python sends `{}`, JavaScript nothing at all; a refusal names the status that was found."""
    await rest.register("greetings", simple("greet"), simple("wave"))
    workflow_id = await started(rest)
    await rest.done("PUT", f"/api/workflow/{workflow_id}/pause", {})
    assert (await rest.json("GET", f"/api/workflow/{workflow_id}"))["status"] == "PAUSED"
    await rest.done("PUT", f"/api/workflow/{workflow_id}/resume")
    error = await rest.refused("PUT", f"/api/workflow/{workflow_id}/resume", {}, status=409)
    assert "RUNNING" in error["message"]
    await rest.done("PUT", f"/api/workflow/decide/{workflow_id}")


async def test_terminate_takes_a_reason_and_refuses_a_completed_workflow(rest: Rest) -> None:
    """The reason is shown; terminating again changes nothing; COMPLETED is final."""
    await rest.register("greetings", simple("greet"))
    workflow_id = await started(rest)
    await rest.done("DELETE", f"/api/workflow/{workflow_id}?reason=bye", {})
    await rest.done("DELETE", f"/api/workflow/{workflow_id}?reason=again")
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (workflow["status"], workflow["reasonForIncompletion"]) == ("TERMINATED", "bye")
    assert [task["status"] for task in workflow["tasks"]] == ["CANCELED"]
    await rest.refused("PUT", f"/api/workflow/{workflow_id}/pause", status=409)
    finished = await started(rest)
    await rest.text("POST", "/api/tasks", result(await rest.take("greet")))
    error = await rest.refused("DELETE", f"/api/workflow/{finished}", status=409)
    assert "COMPLETED" in error["message"]


async def test_failed_workflow_is_retried_and_restarted_with_204(rest: Rest) -> None:
    """Both answer nothing, not even a Content-Type; both refuse a workflow that runs."""
    await rest.register("greetings", simple("greet", retryCount=0))
    workflow_id = await started(rest)
    await rest.refused("POST", f"/api/workflow/{workflow_id}/retry", {}, status=409)
    await rest.refused("POST", f"/api/workflow/{workflow_id}/restart?useLatestDefinitions=false", {}, status=409)
    await rest.text("POST", "/api/tasks", result(await rest.take("greet"), "FAILED", reasonForIncompletion="no"))
    failed = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (failed["status"], failed["failedReferenceTaskNames"]) == ("FAILED", ["greet"])
    assert "no" in failed["reasonForIncompletion"]
    await rest.done("POST", f"/api/workflow/{workflow_id}/retry?resumeSubworkflowTasks=false", status=204)
    retried = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert [task["retryCount"] for task in retried["tasks"]] == [0, 1]
    await rest.text("POST", "/api/tasks", result(await rest.take("greet")))
    await rest.done("POST", f"/api/workflow/{workflow_id}/restart", {}, status=204)
    restarted = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (restarted["status"], len(restarted["tasks"])) == ("RUNNING", 1)


async def test_task_is_skipped_in_each_of_the_three_forms(rest: Rest) -> None:
    """A JSON body, Conductor's query fields, and the object that the Python client prints into the query."""
    await rest.register("greetings", simple("a"), simple("b"), simple("c"), simple("d"))
    workflow_id = await started(rest)
    path = f"/api/workflow/{workflow_id}/skiptask"
    await rest.done("PUT", f"{path}/b", {"taskOutput": {"by": "body"}})
    await rest.done("PUT", f"{path}/c?taskOutput[by]=query")
    printed = "%7B%27taskInput%27%3A+None%2C+%27taskOutput%27%3A+%7B%27by%27%3A+%27python%27%7D%7D"
    await rest.done("PUT", f"{path}/d?skipTaskRequest={printed}", {})
    await rest.text("POST", "/api/tasks", result(await rest.take("a")))
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert workflow["status"] == "COMPLETED"
    skipped = {
        task["referenceTaskName"]: task["outputData"] for task in workflow["tasks"] if task["status"] == "SKIPPED"
    }
    assert skipped == {"b": {"by": "body"}, "c": {"by": "query"}, "d": {"by": "python"}}


async def test_skip_of_a_task_that_has_ended_or_is_unknown_is_refused(rest: Rest) -> None:
    """Too late is 409, no such reference name 404, nonsense in the query 400."""
    await rest.register("greetings", simple("a"), simple("b"))
    workflow_id = await started(rest)
    await rest.done("PUT", f"/api/workflow/{workflow_id}/skiptask/a", {})
    await rest.refused("PUT", f"/api/workflow/{workflow_id}/skiptask/a", {}, status=409)
    error = await rest.refused("PUT", f"/api/workflow/{workflow_id}/skiptask/z", {}, status=404)
    assert "z" in error["message"]
    await rest.refused("PUT", f"/api/workflow/{workflow_id}/skiptask/b?skipTaskRequest=__import__('os')", status=400)


async def test_tasks_of_a_workflow_come_in_pages(rest: Rest) -> None:
    """`start` and `count` cut, `status` selects, `totalHits` counts all."""
    await rest.register("greetings", simple("a"), simple("b"))
    workflow_id = await started(rest)
    await rest.text("POST", "/api/tasks", result(await rest.take("a")))
    page = await rest.json("GET", f"/api/workflow/{workflow_id}/tasks?start=1&count=1")
    assert (page["totalHits"], [task["referenceTaskName"] for task in page["results"]]) == (2, ["b"])
    page = await rest.json("GET", f"/api/workflow/{workflow_id}/tasks?status=COMPLETED&status=FAILED")
    assert [task["referenceTaskName"] for task in page["results"]] == ["a"]
    await rest.refused("GET", f"/api/workflow/{workflow_id}/tasks?status=DONE", status=400)
    await rest.refused("GET", f"/api/workflow/{workflow_id}/tasks?count=-1", status=400)


async def test_bulk_actions_tell_each_id_how_it_went(rest: Rest) -> None:
    """200 with a BulkResponse, whatever the single outcomes."""
    await rest.register("greetings", simple("greet"))
    first, second = await started(rest), await started(rest)
    answer = await rest.json("PUT", "/api/workflow/bulk/pause", [first, second, "nope", first])
    assert answer["bulkSuccessfulResults"] == [first, second]
    assert list(answer["bulkErrorResults"]) == ["nope"]
    assert "nope" in answer["bulkErrorResults"]["nope"]
    answer = await rest.json("PUT", "/api/workflow/bulk/resume", [first, second])
    assert answer["bulkSuccessfulResults"] == [first, second]
    answer = await rest.json("POST", "/api/workflow/bulk/terminate?reason=enough", [first])
    assert answer["bulkSuccessfulResults"] == [first]
    assert (await rest.json("GET", f"/api/workflow/{first}"))["reasonForIncompletion"] == "enough"
    answer = await rest.json("POST", "/api/workflow/bulk/retry", [first, second])
    assert (answer["bulkSuccessfulResults"], list(answer["bulkErrorResults"])) == ([first], [second])
    await rest.json("POST", "/api/workflow/bulk/terminate", [first])
    answer = await rest.json("POST", "/api/workflow/bulk/restart?useLatestDefinitions=True", [first])
    assert answer["bulkSuccessfulResults"] == [first]


async def test_bulk_refuses_what_is_no_list_of_at_most_a_thousand_ids(rest: Rest) -> None:
    """400, before anything is done."""
    await rest.refused("PUT", "/api/workflow/bulk/pause", [f"w{number}" for number in range(1001)], status=400)
    await rest.refused("PUT", "/api/workflow/bulk/pause", [1], status=400)
    await rest.refused("PUT", "/api/workflow/bulk/pause", {"ids": []}, status=400)
    assert (await rest.json("PUT", "/api/workflow/bulk/pause", []))["bulkSuccessfulResults"] == []


async def test_correlated_workflows_are_found_by_name_and_correlation_id(rest: Rest) -> None:
    """Open ones unless closed ones are wanted too; tasks only if wanted."""
    await rest.register("greetings", simple("greet"))
    first, second = await started(rest, correlationId="c"), await started(rest, correlationId="c")
    await started(rest, correlationId="other")
    await rest.done("DELETE", f"/api/workflow/{first}")
    found = await rest.json("GET", "/api/workflow/greetings/correlated/c")
    assert [(workflow["workflowId"], workflow["tasks"]) for workflow in found] == [(second, [])]
    found = await rest.json("GET", "/api/workflow/greetings/correlated/c?includeClosed=true&includeTasks=true")
    assert {workflow["workflowId"] for workflow in found} == {first, second}
    assert all(len(workflow["tasks"]) == 1 for workflow in found)
    by_id = await rest.json("POST", "/api/workflow/greetings/correlated", ["c", "nothing"])
    assert [workflow["workflowId"] for workflow in by_id["c"]] == [second]
    assert by_id["nothing"] == []


async def test_running_workflows_are_listed_by_name_and_version(rest: Rest) -> None:
    """Only RUNNING ones of the version; with a window, all that began in it."""
    await rest.register("greetings", simple("greet"))
    first, second = await started(rest), await started(rest)
    await rest.done("PUT", f"/api/workflow/{second}/pause")
    assert await rest.json("GET", "/api/workflow/running/greetings") == [first]
    assert await rest.json("GET", "/api/workflow/running/greetings?version=2") == []
    window = await rest.json("GET", "/api/workflow/running/greetings?startTime=1&endTime=9007199254740000")
    assert set(window) == {first, second}


async def test_search_finds_by_query_and_counts_all(rest: Rest) -> None:
    """A page of summaries, times as text; what the JavaScript client leaves empty means nothing."""
    await rest.register("greetings", simple("greet"))
    ids = [await started(rest, correlationId=f"c{number}") for number in range(3)]
    for workflow_id in ids:
        assert await rest.node.history.wait_projected(WorkflowId(workflow_id), 2, timeout_ms=10_000)
    path = "/api/workflow/search?queryId=&start=0&size=2&sort=startTime:ASC&freeText=*"
    page = await rest.json("GET", f"{path}&query=workflowType%3D%27greetings%27&skipCache=false")
    assert page["totalHits"] == 3
    assert [hit["workflowId"] for hit in page["results"]] == ids[:2]
    assert page["results"][0]["startTime"].endswith("Z")
    page = await rest.json("GET", f"{path}&query=correlationId+IN+(c1)&topLevelOnly=true")
    assert [hit["workflowId"] for hit in page["results"]] == [ids[1]]
    page = await rest.json("GET", "/api/workflow/search?size=5&sort=&freeText=*&query=")
    assert page["totalHits"] == 3


async def test_search_that_cannot_be_understood_is_400(rest: Rest) -> None:
    """A slip in the query, and a page that is too large."""
    await rest.refused("GET", "/api/workflow/search?query=status+IN+(", status=400)
    await rest.refused("GET", "/api/workflow/search?size=5001", status=400)
