"""Messages to workflows over REST, on a real node."""

from tests.api.rest_client import Rest

PULLING = {
    "name": "pulling",
    "tasks": [
        {
            "name": "pull",
            "taskReferenceName": "pull",
            "type": "PULL_WORKFLOW_MESSAGES",
            "inputParameters": {"batchSize": 5},
        }
    ],
}


async def test_message_is_answered_with_its_id_and_taken_by_the_task_that_waits(rest: Rest) -> None:
    """The id is the server's, and stands in the output."""
    await rest.done("POST", "/api/metadata/workflow", PULLING)
    workflow_id = await rest.text("POST", "/api/workflow/pulling", {})
    message_id = await rest.text("POST", f"/api/workflow/{workflow_id}/messages", {"text": "hello"})
    workflow = await rest.json("GET", f"/api/workflow/{workflow_id}")
    assert workflow["status"] == "COMPLETED"
    assert workflow["output"]["count"] == 1
    (message,) = workflow["output"]["messages"]
    assert (message["id"], message["workflowId"], message["payload"]) == (message_id, workflow_id, {"text": "hello"})
    assert message["receivedAt"].endswith("Z")


async def test_message_with_an_id_of_the_senders_may_be_sent_again(rest: Rest) -> None:
    """Also when it has been taken and the workflow has ended."""
    await rest.done("POST", "/api/metadata/workflow", PULLING)
    workflow_id = await rest.text("POST", "/api/workflow/pulling", {})
    for _ in range(3):
        path = f"/api/workflow/{workflow_id}/messages?messageId=mine"
        assert await rest.text("POST", path, {"n": 1}) == "mine"
    assert (await rest.json("GET", f"/api/workflow/{workflow_id}"))["output"]["count"] == 1


async def test_message_that_nobody_can_take_is_refused(rest: Rest) -> None:
    """404 for no workflow, 409 for one that does not run, 400 for a body that is no object."""
    await rest.done("POST", "/api/metadata/workflow", PULLING)
    await rest.refused("POST", "/api/workflow/nothing/messages", {}, status=404)
    workflow_id = await rest.text("POST", "/api/workflow/pulling", {})
    await rest.refused("POST", f"/api/workflow/{workflow_id}/messages", [1], status=400)
    await rest.done("PUT", f"/api/workflow/{workflow_id}/pause")
    assert "PAUSED" in (await rest.refused("POST", f"/api/workflow/{workflow_id}/messages", {}, status=409))["message"]


async def test_one_message_too_many_is_429(rest: Rest) -> None:
    """A thousand may wait."""
    waiting = {"name": "waiting", "tasks": [{"name": "h", "taskReferenceName": "h", "type": "HUMAN"}]}
    await rest.done("POST", "/api/metadata/workflow", waiting)
    workflow_id = await rest.text("POST", "/api/workflow/waiting", {})
    for number in range(1_000):
        await rest.text("POST", f"/api/workflow/{workflow_id}/messages", {"n": number})
    error = await rest.refused("POST", f"/api/workflow/{workflow_id}/messages", {"n": 1_000}, status=429)
    assert error["code"] == "MESSAGES_FULL"


async def test_sinks_and_state_changes_that_cannot_be_are_told_at_registration(rest: Rest) -> None:
    """Each with its place in the document."""
    task = {"name": "t", "taskReferenceName": "t", "type": "EVENT", "sink": "nowhere"}
    definition = {
        "name": "w",
        "workflowStatusListenerSink": "sqs:q",
        "tasks": [{**task, "onStateChange": {"onEnd": [{"type": "x"}]}}],
    }
    error = await rest.refused("POST", "/api/metadata/workflow", definition, status=400)
    assert [broken["path"] for broken in error["validationErrors"]] == [
        "workflowStatusListenerSink",
        "tasks[0].sink",
        "tasks[0].onStateChange.onEnd",
    ]
