"""Claims about what an attempt is scheduled with: its domain, its affinity, its documents."""

import pytest

from engine.lookup import task_document, workflow_document
from engine.testing import Scenario
from tests.engine.building import started, task, task_def, workflow


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ({}, ""),
        ({"*": "blue"}, "blue"),
        ({"a": "red"}, "red"),
        ({"*": "blue", "a": "red"}, "red"),
        ({"b": "red"}, ""),
        ({"a": "red,green"}, "green"),  # the last of a list
        ({"a": "red, green "}, "green"),
        ({"*": "blue", "a": "NO_DOMAIN"}, ""),
        ({"a": "red,NO_DOMAIN"}, ""),
        ({"*": "blue", "a": ""}, "blue"),
    ],
)
def test_domain_is_that_of_the_exact_type_else_that_of_all(domains: dict[str, str], expected: str) -> None:
    """Of a list the last entry holds; NO_DOMAIN is the queue without one."""
    scenario = Scenario(workflow(task("a")))
    scenario.start(task_to_domain=domains)
    assert scenario.task("a").spec.domain == expected


def test_domain_is_for_workers_only() -> None:
    """What Podium does itself is in no domain."""
    scenario = Scenario(workflow(task("h", "HTTP"), task("w", "WAIT")))
    scenario.start(task_to_domain={"*": "blue"})
    assert scenario.task("h").spec.domain == ""


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("${input.video}", "v1"),
        ("${input.size}", "7"),
        ("${workflow.input.id}-${input.video}", "v1-v1"),
        ("${input.nothing}", None),
        (None, None),
    ],
)
def test_queue_key_is_an_expression_over_the_input(key: str | None, expected: str | None) -> None:
    """Equal keys meet the same worker; without a value there is no affinity."""
    scenario = started(
        task("a", input_parameters={"video": "${workflow.input.id}", "size": 7}),
        others=[task_def("a", queue={"partitions": 4, "key": key})],
        id="v1",
    )
    assert scenario.task("a").spec.queue_key == expected


def test_workflow_document_has_the_fields_that_expressions_may_name() -> None:
    """As Conductor has them, and when it started; what there is not is null."""
    scenario = Scenario(workflow(task("a"), variables={"v": 1}))
    scenario.start({"x": 1}, correlation_id="c")
    assert workflow_document(scenario.state) == {
        "input": {"x": 1},
        "output": {},
        "status": "RUNNING",
        "workflowId": "wf",
        "parentWorkflowId": None,
        "parentWorkflowTaskId": None,
        "workflowType": "flow",
        "startTime": scenario.state.created_at_ms,
        "version": 1,
        "correlationId": "c",
        "reasonForIncompletion": None,
        "schemaVersion": 2,
        "variables": {"v": 1},
    }


def test_task_document_has_the_fields_that_expressions_may_name() -> None:
    """As Conductor has them, of the newest attempt."""
    scenario = started(task("a", name="encode"), task("b"))
    begun_at_ms = scenario.now_ms
    scenario.claim("a", "w1")
    scenario.wait(1_000)
    scenario.complete("a", {"n": 1})
    assert task_document(scenario.state, scenario.task("a")) == {
        "input": {},
        "output": {"n": 1},
        "taskType": "encode",
        "status": "COMPLETED",
        "referenceTaskName": "a",
        "retryCount": 0,
        "correlationId": None,
        "pollCount": 1,
        "taskDefName": "encode",
        "scheduledTime": begun_at_ms,
        "startTime": begun_at_ms,
        "endTime": begun_at_ms + 1_000,
        "workflowInstanceId": "wf",
        "taskId": "wf~1",
        "reasonForIncompletion": None,
        "callbackAfterSeconds": 0,
        "workerId": "w1",
        "iteration": 0,
    }
