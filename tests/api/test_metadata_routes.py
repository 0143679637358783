"""Definitions over REST, on a real node."""

import orjson

from tests.api.rest_client import Rest, simple

GREETINGS = {"name": "greetings", "version": 1, "tasks": [simple("greet")]}


async def test_python_sdk_registers_a_workflow_as_a_list_with_overwrite(rest: Rest) -> None:
    """`ConductorWorkflow.register` sends an array and reads a BulkResponse of names."""
    answer = await rest.json("PUT", "/api/metadata/workflow?overwrite=True", [GREETINGS])
    assert answer["bulkErrorResults"] == {}
    assert answer["bulkSuccessfulResults"] == ["greetings"]
    shown = await rest.json("GET", "/api/metadata/workflow/greetings")
    assert (shown["name"], shown["version"], shown["tasks"][0]["taskReferenceName"]) == ("greetings", 1, "greet")


async def test_existing_version_is_replaced_only_when_told_so(rest: Rest) -> None:
    """409 without `overwrite`; with it, the creation time stays and the update time is set."""
    await rest.done("POST", "/api/metadata/workflow", GREETINGS)
    created = (await rest.json("GET", "/api/metadata/workflow/greetings"))["createTime"]
    error = await rest.refused("POST", "/api/metadata/workflow", GREETINGS, status=409)
    assert "greetings" in error["message"]
    changed = {**GREETINGS, "description": "new"}
    await rest.done("POST", "/api/metadata/workflow?overwrite=true", changed)
    shown = await rest.json("GET", "/api/metadata/workflow/greetings?version=1")
    assert (shown["description"], shown["createTime"]) == ("new", created)
    assert shown["updateTime"] >= created


async def test_newest_version_is_the_answer_unless_one_is_asked_for(rest: Rest) -> None:
    """Versions are found by number; without one, the highest."""
    for version in (1, 10, 2):
        await rest.done("POST", "/api/metadata/workflow", {**GREETINGS, "version": version})
    assert (await rest.json("GET", "/api/metadata/workflow/greetings"))["version"] == 10
    assert (await rest.json("GET", "/api/metadata/workflow/greetings?version=2"))["version"] == 2
    versions = await rest.json("GET", "/api/metadata/workflow/greetings/versions")
    assert [summary["version"] for summary in versions] == [1, 2, 10]
    names = await rest.json("GET", "/api/metadata/workflow/names-and-versions")
    assert [summary["version"] for summary in names["greetings"]] == [1, 2, 10]
    assert await rest.json("GET", "/api/metadata/workflow/names") == ["greetings"]
    latest = await rest.json("GET", "/api/metadata/workflow/latest-versions")
    assert [(one["name"], one["version"]) for one in latest] == [("greetings", 10)]
    assert len(await rest.json("GET", "/api/metadata/workflow")) == 3


async def test_deleted_version_is_gone_and_deleting_it_again_is_404(rest: Rest) -> None:
    """The JavaScript client's suite wants an error for what is not there."""
    await rest.done("POST", "/api/metadata/workflow", GREETINGS)
    await rest.done("DELETE", "/api/metadata/workflow/greetings/1", {})
    await rest.refused("GET", "/api/metadata/workflow/greetings", status=404)
    error = await rest.refused("DELETE", "/api/metadata/workflow/greetings/1", status=404)
    assert "greetings" in error["message"]
    await rest.refused("DELETE", "/api/metadata/workflow/greetings/newest", status=400)


async def test_invalid_definition_is_answered_with_every_broken_rule(rest: Rest) -> None:
    """400 with `validationErrors`, for registering and for validating; nothing is registered."""
    broken = {"name": "", "tasks": [simple("a"), simple("a")]}
    for path in ("/api/metadata/workflow", "/api/metadata/workflow/validate"):
        error = await rest.refused("POST", path, broken, status=400)
        assert error["message"] == "Validation failed, check below errors for detail."
        assert "instance" not in error
        paths = [violation["path"] for violation in error["validationErrors"]]
        assert "name" in paths
        assert "tasks[1].taskReferenceName" in paths
    await rest.done("POST", "/api/metadata/workflow/validate", GREETINGS)
    assert await rest.json("GET", "/api/metadata/workflow") == []


async def test_one_invalid_definition_refuses_the_whole_list(rest: Rest) -> None:
    """A list is taken whole or not at all; the path says which element is wrong."""
    error = await rest.refused("PUT", "/api/metadata/workflow", [GREETINGS, {"name": "b", "tasks": []}], status=400)
    assert all(violation["path"].startswith("[1].") for violation in error["validationErrors"])
    await rest.refused("GET", "/api/metadata/workflow/greetings", status=404)


async def test_task_definitions_are_registered_as_a_list_and_as_one(rest: Rest) -> None:
    """POST takes an array, PUT an object; both create what is not there."""
    await rest.done("POST", "/api/metadata/taskdefs", [{"name": "greet", "enforceSchema": False}])
    await rest.done("PUT", "/api/metadata/taskdefs", {"name": "encode", "retryCount": 1})
    shown = await rest.json("GET", "/api/metadata/taskdefs/greet")
    assert (shown["retryCount"], shown["retryDelaySeconds"], shown["timeoutPolicy"]) == (3, 60, "TIME_OUT_WF")
    assert (shown["rateLimitPerFrequency"], shown["rateLimitFrequencyInSeconds"]) == (0, 1)
    assert {one["name"] for one in await rest.json("GET", "/api/metadata/taskdefs")} == {"greet", "encode"}


async def test_registering_the_same_task_again_changes_nothing(rest: Rest) -> None:
    """Workers register at every start; the times stay, so no workflow sees a new definition."""
    await rest.done("PUT", "/api/metadata/taskdefs", {"name": "greet"})
    first = await rest.call("GET", "/api/metadata/taskdefs/greet")
    await rest.done("PUT", "/api/metadata/taskdefs", {"name": "greet"})
    await rest.done("POST", "/api/metadata/taskdefs", [{"name": "greet"}])
    again = await rest.call("GET", "/api/metadata/taskdefs/greet")
    assert await again.read() == await first.read()


async def test_updated_task_keeps_its_creation_time(rest: Rest) -> None:
    """PUT of a change stamps the update and leaves the creation."""
    await rest.done("PUT", "/api/metadata/taskdefs", {"name": "greet"})
    created = (await rest.json("GET", "/api/metadata/taskdefs/greet"))["createTime"]
    await rest.done("PUT", "/api/metadata/taskdefs", {"name": "greet", "retryCount": 9})
    shown = await rest.json("GET", "/api/metadata/taskdefs/greet")
    assert (shown["retryCount"], shown["createTime"]) == (9, created)
    assert shown["updateTime"] >= created > 0


async def test_unknown_task_definition_is_404_with_its_name(rest: Rest) -> None:
    """On reading and on deleting."""
    for method in ("GET", "DELETE"):
        error = await rest.refused(method, "/api/metadata/taskdefs/nobody", status=404)
        assert "nobody" in error["message"]


async def test_invalid_task_definition_is_answered_with_every_broken_rule(rest: Rest) -> None:
    """Types are told together, and so are the rules of meaning."""
    error = await rest.refused(
        "PUT", "/api/metadata/taskdefs", {"name": "t", "retryCount": "many", "retryLogic": "SOMETIMES"}, status=400
    )
    assert [violation["path"] for violation in error["validationErrors"]] == ["retryCount", "retryLogic"]
    error = await rest.refused(
        "POST", "/api/metadata/taskdefs", [{"name": "t"}, {"name": "", "retryCount": -1}], status=400
    )
    assert {"[1].name", "[1].retryCount"} <= {violation["path"] for violation in error["validationErrors"]}
    await rest.refused("GET", "/api/metadata/taskdefs/t", status=404)


async def test_definition_with_names_that_need_encoding_is_found(rest: Rest) -> None:
    """Blanks, slashes and letters beyond ASCII are names like others."""
    name = "Grüße an/alle"
    await rest.done("POST", "/api/metadata/taskdefs", [{"name": name}])
    shown = await rest.json("GET", "/api/metadata/taskdefs/Gr%C3%BC%C3%9Fe%20an%2Falle")
    assert shown["name"] == name


async def test_list_with_an_element_that_is_no_definition_is_refused(rest: Rest) -> None:
    """Whatever a list holds, the answer is 400 with the place."""
    response = await rest.call("POST", "/api/metadata/taskdefs", data=b"[5, null]")
    assert response.status == 400
    broken = orjson.loads(await response.read())["validationErrors"]
    assert broken[0]["path"].startswith("[0]")
