"""Schemas over REST, on a real node."""

from tests.api.rest_client import Rest, result, simple

WIDTH = {"type": "object", "required": ["width"], "properties": {"width": {"type": "integer"}}}


async def test_start_with_a_wrong_input_is_400_with_the_violations(rest: Rest) -> None:
    """And one with a right input starts."""
    await rest.register("sized", simple("scale"), inputSchema={"name": "w", "type": "JSON", "data": WIDTH})
    error = await rest.refused("POST", "/api/workflow/sized", {"width": "x"}, status=400)
    assert error["code"] == "INPUT_INVALID"
    assert 'width: the value is not of type "integer"' in error["message"]
    await rest.text("POST", "/api/workflow/sized", {"width": 1})


async def test_result_that_violates_the_schema_ends_its_task_for_good(rest: Rest) -> None:
    """The worker's report is taken; the task says what is wrong with it."""
    definition = {"name": "scale", "enforceSchema": True, "outputSchema": {"name": "w", "version": 1}}
    await rest.done("POST", "/api/schema", {"name": "w", "version": 1, "type": "JSON", "data": WIDTH})
    await rest.done("PUT", "/api/metadata/taskdefs", definition)
    await rest.register("sized", simple("scale"))
    workflow_id = await rest.text("POST", "/api/workflow/sized", {})
    await rest.text("POST", "/api/tasks", result(await rest.take("scale"), outputData={"height": 1}))
    (task,) = (await rest.json("GET", f"/api/workflow/{workflow_id}"))["tasks"]
    assert task["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert '"width" is a required property' in task["reasonForIncompletion"]


async def test_schemas_are_registered_read_and_forgotten(rest: Rest) -> None:
    """As Conductor's SDKs call it: one or a list, by name and version."""
    await rest.done(
        "POST", "/api/schema", [{"name": "w", "data": WIDTH}, {"name": "other", "type": "AVRO", "data": {}}]
    )
    await rest.done("POST", "/api/schema?newVersion=true", {"name": "w", "data": {"type": "object"}})
    assert [(found["name"], found["version"]) for found in await rest.json("GET", "/api/schema")] == [
        ("other", 1),
        ("w", 1),
        ("w", 2),
    ]
    first = await rest.json("GET", "/api/schema/w/1")
    assert (first["data"], first["type"]) == (WIDTH, "JSON")
    assert first["createTime"] > 0
    assert (await rest.json("GET", "/api/schema/w"))["version"] == 2
    await rest.done("DELETE", "/api/schema/w/2")
    assert (await rest.json("GET", "/api/schema/w"))["version"] == 1
    await rest.done("DELETE", "/api/schema/w")
    for method, path in (("GET", "/api/schema/w"), ("GET", "/api/schema/w/1"), ("DELETE", "/api/schema/w/1")):
        assert "w" in (await rest.refused(method, path, status=404))["message"]


async def test_schema_that_cannot_be_used_is_400_wherever_it_comes(rest: Rest) -> None:
    """Alone, or in a definition that would enforce it; one that is not enforced may be anything."""
    bad = {"name": "w", "data": {"type": "nonsense"}}
    error = await rest.refused("POST", "/api/schema", [bad], status=400)
    assert error["validationErrors"][0]["path"] == "[0].data"
    workflow = {
        "name": "f",
        "tasks": [simple("a", taskDefinition={"name": "a", "enforceSchema": True, "inputSchema": {}})],
    }
    for definition in (
        {**workflow, "tasks": [simple("a")], "inputSchema": bad},
        {**workflow, "tasks": [simple("a")], "inputSchema": {"name": "w", "type": "AVRO"}},
        workflow,
    ):
        error = await rest.refused("POST", "/api/metadata/workflow", definition, status=400)
        assert "nputSchema" in error["validationErrors"][0]["path"]
    task = {"name": "a", "outputSchema": bad}
    await rest.done("PUT", "/api/metadata/taskdefs", task)
    await rest.refused("PUT", "/api/metadata/taskdefs", {**task, "enforceSchema": True}, status=400)
