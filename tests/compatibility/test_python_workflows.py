"""Claims about workflows, started and acted upon with the Python SDK.

Holds workflows whose tasks the tests themselves poll and end with the SDK's task client. Must not use the worker
processes: here it matters when a task ends. Keeps the claim that each action of the client does what it says.
"""

import time
from typing import Any

import pytest
from conductor.client.http.models import StartWorkflowRequest, TaskResult
from conductor.client.http.models.skip_task_request import SkipTaskRequest
from conductor.client.http.models.workflow_test_request import WorkflowTestRequest
from conductor.client.workflow.task.simple_task import simple_task
from conductor.client.workflow.task.wait_task import WaitTask

from tests.compatibility.sdk import LOOK_AGAIN_S, WITHIN_S, Sdk, refusal, task_of

UNKNOWN = "0190f5a0-0000-7000-8000-000000000000"


def register(sdk: Sdk, name: str, *refs: str) -> None:
    """Register a workflow of tasks in sequence; each task's type is `<workflow>_<ref>`."""
    definition = sdk.workflow(name)
    for ref in refs:
        definition.add(simple_task(f"{name}_{ref}", ref, {"n": "${workflow.input.n}"}))
    definition.register(overwrite=True)


def take(sdk: Sdk, task_type: str) -> Any:  # noqa: ANN401 - the SDK's Task
    """Poll until a task is there. Of an answer without a body, the SDK makes a task without an id."""
    for _ in range(50):
        task = sdk.tasks.poll_task(task_type, worker_id="tester")
        if task.task_id is not None:
            return task
    raise AssertionError(f"no task of type {task_type} came")


def end(sdk: Sdk, task: Any, status: str = "COMPLETED", **output: object) -> None:  # noqa: ANN401 - the SDK's Task
    """Report how a task went."""
    result = TaskResult(
        workflow_instance_id=task.workflow_instance_id, task_id=task.task_id, worker_id="tester", status=status
    )
    result.output_data = dict(output)
    assert sdk.tasks.update_task(result) == task.task_id


def test_started_workflow_is_found_at_once(sdk: Sdk) -> None:
    """The id that the start answered is a text that the very next call finds, with its input and correlation id."""
    register(sdk, "wf_start", "a")

    workflow = sdk.get(sdk.start("wf_start", {"n": 1}, version=1, correlation_id="order-1", priority=7))

    assert (workflow.status, workflow.workflow_name, workflow.workflow_version) == ("RUNNING", "wf_start", 1)
    assert (workflow.input, workflow.correlation_id, workflow.priority) == ({"n": 1}, "order-1", 7)
    assert task_of(workflow, "a").status == "SCHEDULED"


def test_workflow_is_started_by_name_and_by_an_inline_definition(sdk: Sdk) -> None:
    """The client's two other ways to start: a path with the input as its body, and a definition nobody registered."""
    register(sdk, "wf_by_name", "a")
    by_name = sdk.workflows.start_workflow_by_name("wf_by_name", {"n": 2}, version=1, correlationId="c", priority=3)
    inline = sdk.workflow("wf_inline").add(simple_task("wf_inline_a", "a", {}))
    unregistered = inline.start_workflow_with_input({"n": 3})

    assert (sdk.get(by_name).input, sdk.get(by_name).correlation_id) == ({"n": 2}, "c")
    assert sdk.get(unregistered).workflow_name == "wf_inline"
    assert refusal(lambda: sdk.definitions.get_workflow_def("wf_inline", 1)).status == 404


def test_task_is_polled_singly_completed_and_got(sdk: Sdk) -> None:
    """The task client's own loop: poll, report, look. An empty queue gives a task without an id, and an empty list."""
    register(sdk, "wf_poll", "a")
    assert sdk.tasks.poll_task("wf_poll_a").task_id is None
    assert sdk.tasks.batch_poll_tasks("wf_poll_a", count=2, timeout_in_millisecond=10) == []
    workflow_id = sdk.start("wf_poll", {"n": 4})
    assert sdk.tasks.get_queue_size_for_task("wf_poll_a") == 1

    task = take(sdk, "wf_poll_a")
    end(sdk, task, done=True)

    assert (task.input_data, task.status, task.worker_id) == ({"n": 4}, "IN_PROGRESS", "tester")
    assert sdk.tasks.get_task(task.task_id).status == "COMPLETED"
    assert sdk.get(workflow_id).output == {"done": True}


def test_status_shows_output_and_variables_when_asked(sdk: Sdk) -> None:
    """The short form of a workflow, for pollers."""
    register(sdk, "wf_status", "a")
    workflow_id = sdk.start("wf_status", correlation_id="short")
    end(sdk, take(sdk, "wf_status_a"), x=1)

    status = sdk.workflows.get_workflow_status(workflow_id, include_output=True, include_variables=True)

    assert (status.workflow_id, status.status, status.correlation_id) == (workflow_id, "COMPLETED", "short")
    assert (status.output, status.variables) == ({"x": 1}, {})


def test_paused_workflow_schedules_nothing_until_resumed(sdk: Sdk) -> None:
    """A task that was out may end; the next one comes with the resumption."""
    register(sdk, "wf_pause", "a", "b")
    workflow_id = sdk.start("wf_pause")
    first = take(sdk, "wf_pause_a")
    sdk.workflows.pause_workflow(workflow_id)
    end(sdk, first)

    paused = sdk.get(workflow_id)
    sdk.workflows.resume_workflow(workflow_id)

    assert (paused.status, [task.reference_task_name for task in paused.tasks]) == ("PAUSED", ["a"])
    assert [task.reference_task_name for task in sdk.get(workflow_id).tasks] == ["a", "b"]
    again = refusal(lambda: sdk.workflows.resume_workflow(workflow_id))
    assert again.status == 409


def test_terminated_workflow_tells_the_reason_and_cancels_its_tasks(sdk: Sdk) -> None:
    """The reason of the call stands in the workflow; its open task is CANCELED."""
    register(sdk, "wf_terminate", "a")
    workflow_id = sdk.start("wf_terminate")

    sdk.workflows.terminate_workflow(workflow_id, reason="no longer wanted")

    workflow = sdk.get(workflow_id)
    assert (workflow.status, workflow.reason_for_incompletion) == ("TERMINATED", "no longer wanted")
    assert task_of(workflow, "a").status == "CANCELED"


def test_failed_workflow_is_retried_where_it_failed(sdk: Sdk) -> None:
    """What had completed stays; the failed task gets a further attempt; the workflow completes."""
    register(sdk, "wf_retry", "a", "b")
    workflow_id = sdk.start("wf_retry")
    end(sdk, take(sdk, "wf_retry_a"))
    end(sdk, take(sdk, "wf_retry_b"), "FAILED_WITH_TERMINAL_ERROR")
    assert sdk.get(workflow_id).status == "FAILED"

    sdk.workflows.retry_workflow(workflow_id)
    end(sdk, take(sdk, "wf_retry_b"), mended=True)

    workflow = sdk.get(workflow_id)
    assert (workflow.status, workflow.output) == ("COMPLETED", {"mended": True})
    assert [task.reference_task_name for task in workflow.tasks] == ["a", "b", "b"]


def test_restarted_workflow_runs_from_its_beginning_under_the_same_id(sdk: Sdk) -> None:
    """The tasks of the earlier run are gone, the input is kept."""
    register(sdk, "wf_restart", "a")
    workflow_id = sdk.start("wf_restart", {"n": 9})
    end(sdk, take(sdk, "wf_restart_a"), run=1)
    assert sdk.get(workflow_id).status == "COMPLETED"

    sdk.workflows.restart_workflow(workflow_id)
    end(sdk, take(sdk, "wf_restart_a"), run=2)

    workflow = sdk.get(workflow_id)
    assert (workflow.status, workflow.input, workflow.output) == ("COMPLETED", {"n": 9}, {"run": 2})
    assert len(workflow.tasks) == 1
    sdk.workflows.restart_workflow(workflow_id, use_latest_def=True)
    assert sdk.get(workflow_id).status == "RUNNING"


def test_task_is_skipped_before_it_is_scheduled(sdk: Sdk) -> None:
    """The client puts its request into the query as Python prints it; the output given there is the task's."""
    register(sdk, "wf_skip", "a", "b")
    workflow_id = sdk.start("wf_skip")

    request = SkipTaskRequest(task_input={"why": "known"}, task_output={"b": 2})
    sdk.workflows.skip_task_from_workflow(workflow_id, "b", request)
    end(sdk, take(sdk, "wf_skip_a"))

    workflow = sdk.get(workflow_id)
    skipped = task_of(workflow, "b")
    assert (workflow.status, skipped.status, skipped.output_data) == ("COMPLETED", "SKIPPED", {"b": 2})


def test_waiting_task_is_ended_by_reference_name(sdk: Sdk) -> None:
    """By name, and by name with the workflow as the answer."""
    definition = sdk.workflow("wf_by_ref").add([WaitTask("first"), WaitTask("second")])
    definition.register(overwrite=True)
    workflow_id = sdk.start("wf_by_ref")

    task_id = sdk.tasks.update_task_by_ref_name(workflow_id, "first", "COMPLETED", {"by": "hand"})
    workflow = sdk.tasks.update_task_sync(workflow_id, "second", "COMPLETED", {"by": "eye"})

    assert sdk.tasks.get_task(task_id).output_data == {"result": {"by": "hand"}}
    assert (workflow.status, workflow.output) == ("COMPLETED", {"by": "eye"})
    late = refusal(lambda: sdk.tasks.update_task_sync(workflow_id, "second", "COMPLETED", {}))
    assert late.status == 404


@pytest.mark.parametrize("strategy", ["TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT"])
def test_signal_ends_the_task_that_waits(sdk: Sdk, strategy: str) -> None:
    """Both forms of the signal, and the response in each form that a client may ask for."""
    name = f"wf_signal_{strategy.lower()}"
    sdk.workflow(name).add([WaitTask("first"), WaitTask("second"), WaitTask("third")]).register(overwrite=True)
    workflow_id = sdk.start(name)

    response = sdk.executor.signal(workflow_id, "COMPLETED", {"approved": True}, return_strategy=strategy)
    sdk.executor.signal_async(workflow_id, "COMPLETED", {"approved": False})

    workflow = sdk.get(workflow_id)
    assert (response.response_type, response.target_workflow_id) == (strategy, workflow_id)
    assert [task.status for task in workflow.tasks] == ["COMPLETED", "COMPLETED", "IN_PROGRESS"]
    assert task_of(workflow, "first").output_data == {"approved": True}


def test_search_finds_workflows_by_the_query_language(sdk: Sdk) -> None:
    """By type and status; the summaries can be read by the client, and the pages do not overlap."""
    register(sdk, "wf_search", "a")
    ended = [sdk.start("wf_search", {"n": n}) for n in range(3)]
    for _ in ended:
        end(sdk, take(sdk, "wf_search_a"))
    left_open = sdk.start("wf_search")
    query = "workflowType='wf_search' AND status='COMPLETED'"

    found = _search_until(sdk, query, 3)
    pages = [sdk.workflows.search(start=start, size=2, query=query).results for start in (0, 2)]

    assert {hit.workflow_id for hit in found} == set(ended)
    assert {hit.status for hit in found} == {"COMPLETED"}
    assert [len(page) for page in pages] == [2, 1]
    assert [hit.workflow_id for hit in _search_until(sdk, "workflowType='wf_search' AND status='RUNNING'", 1)] == [
        left_open
    ]


def test_correlated_workflows_are_found_by_their_ids(sdk: Sdk) -> None:
    """Open ones at once; ended ones if they are asked for."""
    register(sdk, "wf_correlated", "a")
    ended = sdk.start("wf_correlated", correlation_id="customer-1")
    end(sdk, take(sdk, "wf_correlated_a"))
    left_open = sdk.start("wf_correlated", correlation_id="customer-1")

    running = sdk.workflows.get_by_correlation_ids("wf_correlated", ["customer-1", "customer-2"])
    every = sdk.workflows.get_by_correlation_ids("wf_correlated", ["customer-1"], include_completed=True)

    assert {key: [one.workflow_id for one in found] for key, found in running.items()} == {
        "customer-1": [left_open],
        "customer-2": [],
    }
    assert [one.workflow_id for one in every["customer-1"]] == [ended, left_open]


def test_unknown_ids_are_not_found_and_named(sdk: Sdk) -> None:
    """Each call raises 404 with a message in which the user finds what was asked for."""
    calls = [
        lambda: sdk.workflows.get_workflow(UNKNOWN),
        lambda: sdk.workflows.get_workflow_status(UNKNOWN),
        lambda: sdk.workflows.pause_workflow(UNKNOWN),
        lambda: sdk.workflows.resume_workflow(UNKNOWN),
        lambda: sdk.workflows.restart_workflow(UNKNOWN),
        lambda: sdk.workflows.retry_workflow(UNKNOWN),
        lambda: sdk.workflows.terminate_workflow(UNKNOWN, reason="gone"),
        lambda: sdk.tasks.update_task_by_ref_name(UNKNOWN, "a", "COMPLETED", {}),
        lambda: sdk.tasks.get_task(UNKNOWN),
        lambda: sdk.executor.signal(UNKNOWN, "COMPLETED", {}),
    ]

    errors = [refusal(call) for call in calls]

    assert [error.status for error in errors] == [404] * len(calls)
    assert [error.message for error in errors if UNKNOWN not in error.message] == []


def test_workflow_is_tested_with_mocked_answers_and_nothing_starts(sdk: Sdk) -> None:
    """Its path looks like the start of a workflow named `test`, and there is one: it must not begin for real."""
    register(sdk, "test", "a")
    answers = [
        {"status": "FAILED"},
        {"status": "COMPLETED", "output": {"n": 1}, "executionTime": 5, "queueWaitTime": 2},
    ]

    request = WorkflowTestRequest(name="test", version=1, task_ref_to_mock_output={"a": answers})
    tested = sdk.workflows.test_workflow(request)

    assert tested.status == "COMPLETED"
    assert [task.status for task in tested.tasks] == ["FAILED", "COMPLETED"]
    assert tested.tasks[1].output_data == {"n": 1}
    assert sdk.tasks.get_queue_size_for_task("test_a") == 0
    missing = refusal(lambda: sdk.workflows.test_workflow(WorkflowTestRequest(name="wf_never_registered", version=1)))
    assert missing.status == 404
    assert "wf_never_registered" in missing.message


def test_open_workflow_is_read_with_what_it_waits_for(sdk: Sdk) -> None:
    """The field that the SDK does not know disturbs nothing."""
    register(sdk, "wf_waits", "a")
    workflow_id = sdk.workflows.start_workflow_by_name("wf_waits", {})
    workflow = sdk.workflows.get_workflow(workflow_id, include_tasks=True)
    assert [task.reference_task_name for task in workflow.tasks] == ["a"]


def test_start_of_an_unknown_definition_names_it(sdk: Sdk) -> None:
    """The start is refused with 404 and the definition's name."""
    error = refusal(lambda: sdk.workflows.start_workflow(StartWorkflowRequest(name="wf_never_registered")))

    assert error.status == 404
    assert "wf_never_registered" in error.message


def _search_until(sdk: Sdk, query: str, count: int) -> list[Any]:
    """Search until the history has as many hits: it follows the log a moment behind."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = sdk.workflows.search(query=query)
        assert found is not None, "the SDK could not read the answer"
        if len(found.results) >= count:
            return list(found.results)
        assert time.monotonic() < deadline, f"{query} found {len(found.results)} instead of {count}"
        time.sleep(LOOK_AGAIN_S)  # asks again: nothing tells a client of the history's progress
