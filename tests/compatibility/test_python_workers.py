"""Claims about the Python SDK's workers, run as their users run them: processes that poll a real server.

Holds what `sdk_workers` does, seen from the workflow. Must not look into the SDK. Keeps the claim that a worker written
for Conductor needs no change.
"""

import pytest
from conductor.client.workflow.task.simple_task import simple_task

from tests.compatibility.sdk import Sdk, task_of
from tests.compatibility.sdk_workers import ENCODING_S, NIGHT

pytestmark = pytest.mark.usefixtures("workers")


def one_task(sdk: Sdk, workflow_name: str, task_type: str, *inputs: str) -> None:
    """Register a workflow of one task, whose inputs are those of the workflow."""
    given = {name: f"${{workflow.input.{name}}}" for name in inputs}
    sdk.workflow(workflow_name).add(simple_task(task_type, "only", given)).register(overwrite=True)


def test_sync_and_async_workers_do_the_tasks_of_one_workflow(sdk: Sdk) -> None:
    """A thread and a coroutine each complete their task, and the second sees what the first returned."""
    greeting = simple_task("sdk_greet", "greeting", {"name": "${workflow.input.name}"})
    squaring = simple_task("sdk_square", "squaring", {"number": "${workflow.input.number}"})
    definition = sdk.workflow("sdk_two_workers") >> greeting >> squaring
    definition.output_parameters({"said": "${greeting.output.result}", "square": "${squaring.output.square}"})
    definition.register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("sdk_two_workers", {"name": "Ada", "number": 12}), "COMPLETED")

    assert workflow.output == {"said": "Hello Ada", "square": 144}
    assert [task.status for task in workflow.tasks] == ["COMPLETED", "COMPLETED"]
    assert [task.worker_id for task in workflow.tasks] == ["greeter", "squarer"]


def test_worker_that_registers_its_task_definition_is_found_by_name(sdk: Sdk) -> None:
    """`register_task_def=True` leaves the worker's own settings on the server."""
    one_task(sdk, "sdk_registers", "sdk_charge", "amount")
    sdk.wait_for(sdk.start("sdk_registers", {"amount": 1}), "COMPLETED")

    definition = sdk.definitions.get_task_def("sdk_charge")

    assert (definition.retry_count, definition.retry_delay_seconds) == (2, 0)


def test_backlog_of_one_type_is_done_by_chained_updates(sdk: Sdk) -> None:
    """Thirty tasks wait at once: every answer to a result brings the next, and none is lost."""
    one_task(sdk, "sdk_backlog", "sdk_square", "number")
    started = [sdk.start("sdk_backlog", {"number": number}) for number in range(30)]

    squares = [sdk.wait_for(workflow_id, "COMPLETED").output["square"] for workflow_id in started]

    assert squares == [number * number for number in range(30)]


def test_task_with_a_domain_goes_to_the_worker_of_that_domain(sdk: Sdk) -> None:
    """The same type has two workers; `task_to_domain` chooses."""
    one_task(sdk, "sdk_domains", "sdk_greet", "name")
    by_night = sdk.start("sdk_domains", {"name": "Ada"}, task_to_domain={"sdk_greet": NIGHT})
    by_day = sdk.start("sdk_domains", {"name": "Ada"})

    night = task_of(sdk.wait_for(by_night, "COMPLETED"), "only")
    day = task_of(sdk.wait_for(by_day, "COMPLETED"), "only")

    assert (night.output_data["result"], night.worker_id, night.domain) == ("Good night Ada", "night-greeter", NIGHT)
    assert (day.output_data["result"], day.worker_id, day.domain) == ("Hello Ada", "greeter", None)


def test_worker_that_extends_its_lease_outlives_the_response_timeout(sdk: Sdk) -> None:
    """A task longer than its response timeout completes in its first and only attempt."""
    one_task(sdk, "sdk_lease", "sdk_encode", "video")

    workflow = sdk.wait_for(sdk.start("sdk_lease", {"video": "clip"}), "COMPLETED")

    assert len(workflow.tasks) == 1
    assert workflow.tasks[0].output_data == {"encoded": "clip"}
    assert workflow.tasks[0].end_time - workflow.tasks[0].start_time >= ENCODING_S * 1000


def test_task_in_progress_is_handed_out_again_after_its_callback(sdk: Sdk) -> None:
    """`TaskInProgress` keeps the attempt and its id; a second later it is polled a second time."""
    one_task(sdk, "sdk_callback", "sdk_charge", "amount")

    workflow = sdk.wait_for(sdk.start("sdk_callback", {"amount": 100}), "COMPLETED")

    assert len(workflow.tasks) == 1
    assert workflow.output["polls"] == 2
    assert workflow.tasks[0].end_time - workflow.tasks[0].start_time >= 1_000


def test_exception_of_a_worker_leads_to_another_attempt(sdk: Sdk) -> None:
    """The first attempt is FAILED with the exception's words, the second completes."""
    one_task(sdk, "sdk_retry", "sdk_charge", "amount")

    workflow = sdk.wait_for(sdk.start("sdk_retry", {"amount": 500}), "COMPLETED")

    first, second = workflow.tasks
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert "the bank hung up" in first.reason_for_incompletion
    assert second.output_data["attempt"] == 1
    assert second.retried_task_id == first.task_id


def test_non_retryable_exception_ends_the_workflow_at_once(sdk: Sdk) -> None:
    """There is one attempt, though the definition allows three, and its reason is the exception's."""
    one_task(sdk, "sdk_terminal", "sdk_charge", "amount")

    workflow = sdk.wait_for(sdk.start("sdk_terminal", {"amount": -5}), "FAILED")

    assert [task.status for task in workflow.tasks] == ["FAILED_WITH_TERMINAL_ERROR"]
    assert "-5 cannot be charged" in workflow.tasks[0].reason_for_incompletion
    assert workflow.failed_reference_task_names == {"only"}


def test_worker_that_polls_is_listed_in_the_poll_data(sdk: Sdk) -> None:
    """Who polls for a type, and in which domain, can be asked."""
    one_task(sdk, "sdk_poll_data", "sdk_greet", "name")
    for domains in ({}, {"sdk_greet": NIGHT}):
        sdk.wait_for(sdk.start("sdk_poll_data", {"name": "Ada"}, task_to_domain=domains), "COMPLETED")

    polls = sdk.tasks.get_task_poll_data("sdk_greet")

    assert {(poll.worker_id, poll.domain) for poll in polls} >= {("greeter", None), ("night-greeter", NIGHT)}
