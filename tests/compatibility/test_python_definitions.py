"""Claims about definitions, registered and asked for with the Python SDK.

Must not start workflows. Keeps the claim that what a client registered is what it gets, and that what is wrong with a
definition is told in words that reach the user.
"""

from conductor.client.http.models import TaskDef, WorkflowDef, WorkflowTask
from conductor.client.workflow.task.simple_task import simple_task
from conductor.client.workflow.task.switch_task import SwitchTask

from tests.compatibility.sdk import Sdk, refusal


def test_workflow_definition_comes_back_as_it_was_registered(sdk: Sdk) -> None:
    """Name, version, tasks and output parameters survive the way there and back."""
    definition = sdk.workflow("def_kept", version=3).add(simple_task("def_task", "only", {"a": "${workflow.input.a}"}))
    definition.output_parameters({"a": "${only.output.a}"})
    definition.register(overwrite=True)

    found = sdk.definitions.get_workflow_def("def_kept", 3)

    assert (found.name, found.version, found.output_parameters) == ("def_kept", 3, {"a": "${only.output.a}"})
    assert [(task.name, task.task_reference_name, task.type) for task in found.tasks] == [
        ("def_task", "only", "SIMPLE")
    ]
    assert found.tasks[0].task_definition is None
    assert found.create_time > 0


def test_newest_version_is_found_without_a_version(sdk: Sdk) -> None:
    """Asked for by name alone, the highest version answers; all of them are in the list."""
    for version in (1, 2):
        sdk.workflow("def_versions", version).add(simple_task("t", "only", {})).register(overwrite=True)

    assert sdk.definitions.get_workflow_def("def_versions", None).version == 2
    listed = [found.version for found in sdk.definitions.get_all_workflow_defs() if found.name == "def_versions"]
    assert sorted(listed) == [1, 2]


def test_registering_twice_without_overwrite_is_a_conflict(sdk: Sdk) -> None:
    """The second definition of a name and version is refused with 409, and the message names it."""
    definition = WorkflowDef(
        name="def_twice", version=1, tasks=[WorkflowTask(name="t", task_reference_name="t")], schema_version=2
    )
    sdk.definitions.register_workflow_def(definition, overwrite=False)

    error = refusal(lambda: sdk.definitions.register_workflow_def(definition, overwrite=False))

    assert error.status == 409
    assert "def_twice" in error.message
    sdk.definitions.register_workflow_def(definition, overwrite=True)


def test_unregistered_definition_is_gone(sdk: Sdk) -> None:
    """After its deletion it is not found, and a second deletion says so too."""
    sdk.workflow("def_deleted").add(simple_task("t", "only", {})).register(overwrite=True)
    sdk.definitions.unregister_workflow_def("def_deleted", 1)

    for call in (
        lambda: sdk.definitions.get_workflow_def("def_deleted", 1),
        lambda: sdk.definitions.unregister_workflow_def("def_deleted", 1),
    ):
        error = refusal(call)
        assert error.status == 404
        assert "def_deleted" in error.message


def test_broken_definition_is_refused_with_every_rule_it_breaks(sdk: Sdk) -> None:
    """A reference name used twice and a SWITCH without cases: both stand in the error's body, with their places."""
    switch = SwitchTask("choice", "${workflow.input.kind}")
    definition = sdk.workflow("def_broken").add([simple_task("t", "same", {}), simple_task("t", "same", {}), switch])

    error = refusal(lambda: definition.register(overwrite=True))

    assert error.status == 400
    assert "same" in error.body
    assert "decisionCases" in error.body
    assert refusal(lambda: sdk.definitions.get_workflow_def("def_broken", 1)).status == 404


def test_task_definition_is_created_updated_and_deleted(sdk: Sdk) -> None:
    """The client's whole life of a task definition, the update of one that does not exist yet included."""
    sdk.definitions.update_task_def(TaskDef(name="def_task_life", retry_count=1))
    sdk.definitions.register_task_def(TaskDef(name="def_task_life", retry_count=2, retry_logic="LINEAR_BACKOFF"))
    sdk.definitions.update_task_def(TaskDef(name="def_task_life", retry_count=5, timeout_policy="RETRY"))

    found = sdk.definitions.get_task_def("def_task_life")
    assert (found["retryCount"] if isinstance(found, dict) else found.retry_count) == 5
    assert "def_task_life" in [one.name for one in sdk.definitions.get_all_task_defs()]

    sdk.definitions.unregister_task_def("def_task_life")
    for call in (
        lambda: sdk.definitions.get_task_def("def_task_life"),
        lambda: sdk.definitions.unregister_task_def("def_task_life"),
    ):
        error = refusal(call)
        assert error.status == 404
        assert "def_task_life" in error.message
