"""Tasks over REST, on a real node: what workers of the existing clients send and expect."""

import asyncio

from tests.api.rest_client import Rest, result, simple


async def started(rest: Rest, **fields: object) -> str:
    """Start the workflow `w` and return its id."""
    return await rest.text("POST", "/api/workflow", {"name": "w", **fields})


async def test_batch_poll_claims_tasks_for_the_worker(rest: Rest) -> None:
    """A list of tasks, in progress, with what a worker needs to report."""
    await rest.register("w", simple("greet", inputParameters={"who": "${workflow.input.who}"}))
    workflow_id = await started(rest, input={"who": "Ada"})
    (task,) = await rest.poll("greet", count=5)
    assert (task["status"], task["workerId"], task["pollCount"]) == ("IN_PROGRESS", "w1", 1)
    assert (task["workflowInstanceId"], task["taskDefName"], task["inputData"]) == (
        workflow_id,
        "greet",
        {"who": "Ada"},
    )
    assert task["startTime"] >= task["scheduledTime"] > 0
    assert task["workflowTask"]["taskReferenceName"] == "greet"
    assert await rest.poll("greet", timeout_ms=0) == []
    shown = await rest.json("GET", f"/api/tasks/{task['taskId']}")
    assert (shown["status"], shown["workerId"], shown["startTime"]) == ("IN_PROGRESS", "w1", task["startTime"])


async def test_empty_batch_poll_is_an_empty_list_and_empty_single_poll_is_204(rest: Rest) -> None:
    """JavaScript computes with the list's length; a 204 must have no Content-Type."""
    assert await rest.json("GET", "/api/tasks/poll/batch/nobody?count=5&timeout=0") == []
    await rest.done("GET", "/api/tasks/poll/nobody?workerid=w1", status=204)


async def test_single_poll_answers_one_task(rest: Rest) -> None:
    """What older Python clients do."""
    await rest.register("w", simple("greet"))
    await started(rest)
    task = await rest.json("GET", "/api/tasks/poll/greet?workerId=w9")
    assert (task["referenceTaskName"], task["workerId"]) == ("greet", "w9")


async def test_poll_that_waits_is_answered_when_a_task_comes(rest: Rest) -> None:
    """A long poll ends with the task, not with its timeout."""
    await rest.register("w", simple("greet"))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(rest.poll("greet", timeout_ms=5_000))
        await started(rest)
    assert len(waiting.result()) == 1


async def test_poll_with_impossible_parameters_is_400(rest: Rest) -> None:
    """A longer wait than five seconds, and what is no number."""
    error = await rest.refused("GET", "/api/tasks/poll/batch/greet?timeout=5001", status=400)
    assert "5000" in error["message"]
    await rest.refused("GET", "/api/tasks/poll/batch/greet?count=many", status=400)
    assert await rest.json("GET", "/api/tasks/poll/batch/greet?count=0&timeout=") == []


async def test_result_is_answered_with_the_task_id_and_the_workflow_goes_on(rest: Rest) -> None:
    """The bare id, as text; the next task is there at once."""
    await rest.register("w", simple("a"), simple("b", inputParameters={"x": "${a.output.x}"}))
    await started(rest)
    task = await rest.take("a")
    assert await rest.text("POST", "/api/tasks", result(task, outputData={"x": [1, None]})) == task["taskId"]
    assert (await rest.take("b"))["inputData"] == {"x": [1, None]}


async def test_result_for_an_ended_attempt_is_taken_and_changes_nothing(rest: Rest) -> None:
    """A client that repeats itself is told 200, the first word counts."""
    await rest.register("w", simple("greet"))
    workflow_id = await started(rest)
    task = await rest.take("greet")
    await rest.text("POST", "/api/tasks", result(task, outputData={"n": 1}))
    await rest.text("POST", "/api/tasks", result(task, "FAILED", outputData={"n": 2}))
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert (workflow["status"], workflow["output"]) == ("COMPLETED", {"n": 1})


async def test_result_for_an_unknown_task_is_404_with_its_id(rest: Rest) -> None:
    """Of an unknown workflow, of an unknown number, and of a foreign form."""
    await rest.register("w", simple("greet"))
    workflow_id = await started(rest)
    for task_id in ("nope~1", f"{workflow_id}~99", "5b8b5f2e-0000-4000-8000-000000000000"):
        report = {"workflowInstanceId": workflow_id, "taskId": task_id, "status": "COMPLETED"}
        for path in ("/api/tasks", "/api/tasks/update-v2"):
            error = await rest.refused("POST", path, report, status=404)
            assert task_id in error["message"] or task_id.split("~")[0] in error["message"]
        await rest.refused("GET", f"/api/tasks/{task_id}", status=404)


async def test_update_v2_hands_out_the_next_task_of_the_same_type(rest: Rest) -> None:
    """A backlog is worked off without a poll in between; its end is 204 without a Content-Type."""
    await rest.register("w", simple("greet"))
    for _ in range(3):
        await started(rest)
    task = await rest.take("greet")
    seen = {task["taskId"]}
    for _ in range(2):
        task = await rest.json("POST", "/api/tasks/update-v2", result(task))
        assert (task["status"], task["workerId"]) == ("IN_PROGRESS", "w1")
        seen.add(task["taskId"])
    assert len(seen) == 3
    await rest.done("POST", "/api/tasks/update-v2", result(task), status=204)


async def test_update_v2_of_a_task_that_goes_on_hands_out_nothing(rest: Rest) -> None:
    """A worker that is still at it, or asks for more time, is not free."""
    await rest.register("w", simple("greet"))
    await started(rest)
    await started(rest)
    task = await rest.take("greet")
    lease = {"workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"], "extendLease": True}
    await rest.done("POST", "/api/tasks/update-v2", {**lease, "status": "IN_PROGRESS"}, status=204)
    await rest.done("POST", "/api/tasks/update-v2", result(task, "IN_PROGRESS", callbackAfterSeconds=60), status=204)
    shown = await rest.json("GET", f"/api/tasks/{task['taskId']}")
    assert (shown["status"], shown["callbackAfterSeconds"]) == ("SCHEDULED", 60)


async def test_task_given_back_is_polled_again_under_the_same_id(rest: Rest) -> None:
    """IN_PROGRESS without a delay: at once, with one poll more."""
    await rest.register("w", simple("greet"))
    await started(rest)
    task = await rest.take("greet")
    await rest.text("POST", "/api/tasks", result(task, "IN_PROGRESS", outputData={"done": 50}))
    again = await rest.take("greet")
    assert (again["taskId"], again["pollCount"], again["outputData"]) == (task["taskId"], 2, {"done": 50})


async def test_domains_keep_workers_apart(rest: Rest) -> None:
    """A task of a domain is for the pollers of that domain."""
    await rest.register("w", simple("greet"))
    await started(rest, taskToDomain={"greet": "blue"})
    assert await rest.poll("greet", timeout_ms=0) == []
    (task,) = await rest.json("GET", "/api/tasks/poll/batch/greet?domain=blue&timeout=1000")
    assert task["domain"] == "blue"


async def test_task_is_ended_by_its_reference_name(rest: Rest) -> None:
    """The body is the output; without an open task the answer is 200 and empty."""
    await rest.register("w", {"name": "wait", "taskReferenceName": "wait", "type": "WAIT"}, simple("after"))
    workflow_id = await started(rest)
    path = f"/api/tasks/{workflow_id}/wait/COMPLETED"
    assert await rest.text("POST", f"{path}?workerid=me", {"result": 7}) == f"{workflow_id}~1"
    await rest.done("POST", path, {})
    assert (await rest.json("GET", f"/api/tasks/{workflow_id}~1"))["outputData"] == {"result": 7}
    await rest.refused("POST", f"/api/tasks/{workflow_id}/wait/DONE", {}, status=400)
    await rest.refused("POST", "/api/tasks/nope/wait/COMPLETED", {}, status=404)


async def test_task_is_ended_by_its_reference_name_and_the_workflow_shown(rest: Rest) -> None:
    """The workflow after the update; 404 without an open task."""
    await rest.register("w", {"name": "wait", "taskReferenceName": "wait", "type": "WAIT"})
    workflow_id = await started(rest)
    workflow = await rest.json("POST", f"/api/tasks/{workflow_id}/wait/COMPLETED/sync", {"a": 1})
    assert (workflow["workflowId"], workflow["status"], workflow["output"]) == (workflow_id, "COMPLETED", {"a": 1})
    await rest.refused("POST", f"/api/tasks/{workflow_id}/wait/COMPLETED/sync", {}, status=404)


async def test_signal_ends_the_first_waiting_task_also_below(rest: Rest) -> None:
    """The workflow's own task first, then those of its sub-workflows; where none waits, nothing happens."""
    wait = {"name": "wait", "taskReferenceName": "wait", "type": "WAIT"}
    await rest.register("child", simple("before"), wait)
    sub = {"name": "s", "taskReferenceName": "s", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}}
    await rest.register("w", wait, sub)
    workflow_id = await started(rest)
    path = f"/api/tasks/{workflow_id}/COMPLETED/signal"
    shown = await rest.json("POST", f"{path}/sync?returnStrategy=TARGET_WORKFLOW", {"first": True})
    assert (shown["responseType"], shown["targetWorkflowId"], shown["status"]) == (
        "TARGET_WORKFLOW",
        workflow_id,
        "RUNNING",
    )
    assert shown["tasks"][0]["outputData"] == {"first": True}
    before = await rest.take("before")
    child_id = before["workflowInstanceId"]
    await rest.text("POST", "/api/tasks", result(before))
    shown = await rest.json("POST", f"{path}/sync?returnStrategy=BLOCKING_WORKFLOW", {"second": True})
    assert (shown["targetWorkflowId"], shown["workflowId"], shown["status"]) == (workflow_id, child_id, "COMPLETED")
    await rest.done("POST", path, {})
    await rest.refused("POST", f"{path}/sync", {}, status=404)
    await rest.refused("POST", f"{path}/sync?returnStrategy=ALL", {}, status=400)
    await rest.refused("POST", "/api/tasks/nope/COMPLETED/signal", {}, status=404)


async def test_queue_figures_and_poll_data(rest: Rest) -> None:
    """How many wait, and who asked last."""
    await rest.register("w", simple("greet"))
    await started(rest)
    await started(rest)
    await started(rest, taskToDomain={"*": "blue"})
    assert await rest.json("GET", "/api/tasks/queue/sizes?taskType=greet&taskType=other") == {"greet": 2, "other": 0}
    assert await rest.json("GET", "/api/tasks/queue/size?taskType=greet") == 2
    assert await rest.json("GET", "/api/tasks/queue/size?taskType=greet&domain=blue") == 1
    assert await rest.json("GET", "/api/tasks/queue/all") == {"greet": 2, "blue:greet": 1}
    await rest.refused("GET", "/api/tasks/queue/sizes", status=400)
    await rest.take("greet")
    (record,) = await rest.json("GET", "/api/tasks/queue/polldata?taskType=greet")
    assert (record["queueName"], record["workerId"]) == ("greet", "w1")
    assert record["lastPollTime"] > 0
    assert record in await rest.json("GET", "/api/tasks/queue/polldata/all")


async def test_poll_of_a_worker_that_has_gone_claims_nothing(rest: Rest) -> None:
    """A task is not lost to a closed connection until its timeout: the next poller gets it."""
    await rest.register("w", simple("greet"))
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(rest.poll("greet", timeout_ms=5_000))
        await rest.json("GET", "/health")  # by its answer, the poll has been received and waits
        gone.cancel()
    await started(rest)
    task = await rest.take("greet")
    assert task["pollCount"] == 1


async def test_regress_conductor_07_parallel_completions_of_one_workflow_are_all_taken(rest: Rest) -> None:
    """A hundred people end a hundred WAIT tasks of one workflow at once: nobody is told to come again."""
    names = [f"w{number}" for number in range(100)]
    waits = [[{"name": name, "taskReferenceName": name, "type": "WAIT"}] for name in names]
    fork = {"name": "f", "taskReferenceName": "f", "type": "FORK_JOIN", "forkTasks": waits}
    await rest.register("waits", fork, {"name": "j", "taskReferenceName": "j", "type": "JOIN"})
    workflow_id = await rest.text("POST", "/api/workflow", {"name": "waits"})
    answers = await asyncio.gather(
        *(rest.call("POST", f"/api/tasks/{workflow_id}/{name}/COMPLETED", {"n": 1}) for name in names)
    )
    assert {answer.status for answer in answers} == {200}
    assert (await rest.json("GET", f"/api/workflow/{workflow_id}"))["status"] == "COMPLETED"
