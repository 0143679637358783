"""What `api.wire.definitions` makes of definitions, and what is shown of them again."""

import pytest

from api.errors import RequestInvalid
from api.wire.definitions import task_def_from, workflow_def_from
from engine.definitions import RetryLogic, TaskDef, TaskTimeoutPolicy, WorkflowTimeoutPolicy
from engine.json_value import JsonObject
from streams.task_wire import definition_json


def simple(ref: str, **fields: object) -> JsonObject:
    """Return a SIMPLE task as JSON."""
    return {"name": ref, "taskReferenceName": ref, "type": "SIMPLE", **fields}


def test_absent_fields_have_conductors_defaults() -> None:
    """A definition of a name and one task is whole."""
    definition = workflow_def_from({"name": "greetings", "tasks": [simple("greet")]})
    assert (definition.version, definition.schema_version, definition.restartable) == (1, 2, True)
    assert definition.timeout_policy is WorkflowTimeoutPolicy.ALERT_ONLY
    assert definition.tasks[0].retry_count is None


def test_python_sdk_registers_a_task_by_its_name_alone() -> None:
    """What the Python client sends first for every worker is a whole definition."""
    definition = task_def_from({"name": "greet", "enforceSchema": False})
    assert definition == TaskDef(name="greet")
    assert (definition.retry_count, definition.retry_delay_seconds) == (3, 60)
    assert definition.retry_logic is RetryLogic.FIXED
    assert definition.timeout_policy is TaskTimeoutPolicy.TIME_OUT_WF


def test_null_means_absent_at_every_level_but_inside_payloads() -> None:
    """Clients send null for what they do not set; a null inside an input is a value."""
    definition = workflow_def_from(
        {
            "name": "w",
            "description": None,
            "version": None,
            "variables": None,
            "tasks": [simple("a", inputParameters={"x": None}, retryCount=None, joinOn=None, loopOver=None)],
        }
    )
    assert definition.version == 1
    assert definition.variables == {}
    assert definition.tasks[0].input_parameters == {"x": None}
    assert definition.tasks[0].join_on == ()


def test_numbers_come_as_texts_and_texts_as_numbers() -> None:
    """What Jackson would convert is converted."""
    definition = workflow_def_from(
        {"name": 7, "version": "3", "restartable": "false", "timeoutSeconds": 60.0, "tasks": [simple("a")]}
    )
    assert (definition.name, definition.version, definition.restartable, definition.timeout_seconds) == (
        "7",
        3,
        False,
        60,
    )


def test_unknown_fields_are_ignored() -> None:
    """A definition written for a newer server is taken as far as it is known."""
    definition = workflow_def_from({"name": "w", "tasks": [simple("a", shiny=True)], "novelty": {"a": 1}})
    assert "novelty" not in definition_json(definition)


def test_nested_tasks_are_read_at_every_depth() -> None:
    """Branches, cases and loop bodies hold tasks, and these hold tasks."""
    definition = workflow_def_from(
        {
            "name": "w",
            "tasks": [
                {
                    "name": "fork",
                    "taskReferenceName": "fork",
                    "type": "FORK_JOIN",
                    "forkTasks": [
                        [
                            {
                                "name": "choose",
                                "taskReferenceName": "choose",
                                "type": "SWITCH",
                                "evaluatorType": "value-param",
                                "expression": "kind",
                                "inputParameters": {"kind": "${workflow.input.kind}"},
                                "decisionCases": {"a": [simple("inner")]},
                                "defaultCase": [],
                            }
                        ],
                        [simple("other")],
                    ],
                },
                {"name": "join", "taskReferenceName": "join", "type": "JOIN", "joinOn": ["choose", "other"]},
            ],
        }
    )
    switch = definition.tasks[0].fork_tasks[0][0]
    assert switch.decision_cases["a"][0].task_reference_name == "inner"


def test_every_ill_typed_field_is_listed_with_its_place_and_value() -> None:
    """One answer tells all that is wrong, where, and what was there."""
    with pytest.raises(RequestInvalid) as refused:
        workflow_def_from(
            {
                "name": "w",
                "version": "newest",
                "timeoutPolicy": "NEVER",
                "tasks": [simple("a"), simple("b", startDelay="soon", inputParameters=[1])],
            }
        )
    found = {violation.path: violation.invalid_value for violation in refused.value.violations}
    assert found == {
        "version": "newest",
        "timeoutPolicy": "NEVER",
        "tasks[1].startDelay": "soon",
        "tasks[1].inputParameters": [1],
    }


def test_every_broken_rule_of_meaning_is_listed_with_its_place() -> None:
    """What the engine's validation finds comes back in the same form, below the place of the definition itself."""
    with pytest.raises(RequestInvalid) as refused:
        workflow_def_from({"name": "", "tasks": [simple("a"), simple("a")]}, at="[2]")
    paths = [violation.path for violation in refused.value.violations]
    assert "[2].name" in paths
    assert "[2].tasks[1].taskReferenceName" in paths


def test_sub_workflow_definition_is_an_object_or_an_expression() -> None:
    """An inline sub-workflow is checked like any definition; an expression for one is taken as it is."""
    task = {"name": "sub", "taskReferenceName": "sub", "type": "SUB_WORKFLOW"}
    inline = {"name": "child", "tasks": [simple("a")]}
    given = workflow_def_from(
        {"name": "w", "tasks": [{**task, "subWorkflowParam": {"name": "child", "workflowDefinition": inline}}]}
    )
    parameters = given.tasks[0].sub_workflow_param
    assert parameters is not None
    assert parameters.workflow_definition == inline
    expressed = workflow_def_from(
        {
            "name": "w",
            "tasks": [{**task, "subWorkflowParam": {"name": "c", "workflowDefinition": "${workflow.input.d}"}}],
        }
    )
    parameters = expressed.tasks[0].sub_workflow_param
    assert parameters is not None
    assert parameters.workflow_definition == "${workflow.input.d}"
    bad = {"name": "child", "tasks": [simple("a", startDelay="soon")]}
    with pytest.raises(RequestInvalid) as refused:
        workflow_def_from({"name": "w", "tasks": [{**task, "subWorkflowParam": {"workflowDefinition": bad}}]})
    assert [violation.path for violation in refused.value.violations] == [
        "tasks[0].subWorkflowParam.workflowDefinition.tasks[0].startDelay"
    ]


def test_shown_definition_has_every_field_that_is_not_null() -> None:
    """Clients of typed languages read defaults from the answer; null properties are left out, as Jackson does."""
    shown = definition_json(workflow_def_from({"name": "w", "tasks": [simple("a", inputParameters={"x": None})]}))
    assert shown["version"] == 1
    assert shown["outputParameters"] == {}
    assert shown["tasks"][0]["inputParameters"] == {"x": None}
    assert None not in shown.values()
    assert "description" not in shown


def test_shown_task_of_a_definition_has_no_task_definition_that_nobody_sent() -> None:
    """The Python client's suite looks for its absence."""
    shown = definition_json(workflow_def_from({"name": "w", "tasks": [simple("a")]}))
    assert "taskDefinition" not in shown["tasks"][0]


def test_definition_shown_and_read_again_is_the_same() -> None:
    """What a client gets and sends back changes nothing."""
    definition = workflow_def_from(
        {"name": "w", "tasks": [simple("a", retryCount=2)], "timeoutPolicy": "TIME_OUT_WF", "timeoutSeconds": 5}
    )
    assert workflow_def_from(definition_json(definition)) == definition
    task = task_def_from(
        {
            "name": "t",
            "retryLogic": "LINEAR_BACKOFF",
            "concurrentExecLimit": 4,
            "rateLimitPerFrequency": 2,
            "rateLimitFrequencyInSeconds": 1,
        }
    )
    assert task_def_from(definition_json(task)) == task
