"""Claims about the task types that a server does itself, put together with the Python SDK's own language.

Holds one workflow per type, with real workers where a worker is needed. Must not spell JSON: the SDK does, and that is
the point. Keeps the claim that what the SDK builds runs as its users mean it.
"""

import pytest
from conductor.client.workflow.task.fork_task import ForkTask
from conductor.client.workflow.task.http_task import HttpTask
from conductor.client.workflow.task.set_variable_task import SetVariableTask
from conductor.client.workflow.task.simple_task import SimpleTask, simple_task
from conductor.client.workflow.task.sub_workflow_task import InlineSubWorkflowTask, SubWorkflowTask
from conductor.client.workflow.task.switch_task import SwitchTask
from conductor.client.workflow.task.terminate_task import TerminateTask, WorkflowStatus
from conductor.client.workflow.task.wait_task import WaitForDurationTask

from tests.compatibility.sdk import Sdk, task_of

pytestmark = pytest.mark.usefixtures("workers")


def squaring(ref: str, number: object) -> SimpleTask:
    """Return a task for the async worker."""
    return simple_task("sdk_square", ref, {"number": number})


def test_fork_runs_its_branches_and_joins_them(sdk: Sdk) -> None:
    """Both branches complete, and the JOIN's output has each under its reference name."""
    fork = ForkTask("fork", [[squaring("three", 3)], [squaring("four", 4)]], join_on=["three", "four"])
    definition = sdk.workflow("types_fork").add(fork)
    definition.output_parameters({"sum": ["${three.output.square}", "${four.output.square}"]})
    definition.register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_fork"), "COMPLETED")

    assert workflow.output == {"sum": [9, 16]}
    assert task_of(workflow, "fork_join").output_data == {"three": {"square": 9}, "four": {"square": 16}}


def test_list_in_a_sequence_is_a_fork_with_its_join(sdk: Sdk) -> None:
    """The SDK's `>> [a, b] >>` adds the JOIN by itself, and the task after it waits for both."""
    after = squaring("after", "${right.output.square}")
    (sdk.workflow("types_list") >> [squaring("left", 2), squaring("right", 3)] >> after).register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_list"), "COMPLETED")

    assert workflow.output == {"square": 81}


@pytest.mark.parametrize(("kind", "expected"), [("small", 4), ("large", 10_000), ("odd", 1)])
def test_switch_takes_the_case_of_its_value(sdk: Sdk, kind: str, expected: int) -> None:
    """Each case, and the default for a value that none has."""
    switch = SwitchTask("choice", "${workflow.input.kind}")
    switch.switch_case("small", [squaring("small", 2)]).switch_case("large", [squaring("large", 100)])
    switch.default_case([squaring("other", 1)])
    sdk.workflow("types_switch").add(switch).register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_switch", {"kind": kind}), "COMPLETED")

    assert workflow.tasks[-1].output_data == {"square": expected}
    assert len(workflow.tasks) == 2


def test_wait_ends_after_its_duration(sdk: Sdk) -> None:
    """One second, not earlier, and the workflow completes by itself."""
    sdk.workflow("types_wait").add(WaitForDurationTask("pause", 1)).register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_wait"), "COMPLETED")

    pause = task_of(workflow, "pause")
    assert 1_000 <= pause.end_time - pause.scheduled_time < 3_000


def test_http_task_calls_a_service_and_its_answer_is_the_output(sdk: Sdk, weather_url: str) -> None:
    """Status code and body can be referred to as the SDK spells it."""
    http = HttpTask("weather", {"uri": weather_url})
    definition = sdk.workflow("types_http").add(http)
    definition.output_parameters({"code": http.status_code(), "degrees": http.body("temperature")})
    definition.register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_http"), "COMPLETED")

    assert workflow.output == {"code": 200, "degrees": 21}


def test_sub_workflow_runs_and_its_output_comes_back(sdk: Sdk) -> None:
    """By name and version; the child names its parent, the task names the child."""
    child = sdk.workflow("types_child").add(squaring("inner", "${workflow.input.number}"))
    child.register(overwrite=True)
    calling = SubWorkflowTask("calling", "types_child", version=1).input(key="number", value="${workflow.input.number}")
    sdk.workflow("types_parent").add(calling).register(overwrite=True)

    parent = sdk.wait_for(sdk.start("types_parent", {"number": 7}), "COMPLETED")

    task = task_of(parent, "calling")
    assert parent.output["square"] == 49
    assert sdk.get(task.sub_workflow_id).parent_workflow_id == parent.workflow_id


def test_inline_sub_workflow_needs_no_registration(sdk: Sdk) -> None:
    """A workflow put into another travels with it."""
    inner = sdk.workflow("types_inline_child").add(squaring("inner", 5))
    sdk.workflow("types_inline").add(InlineSubWorkflowTask("calling", inner)).register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_inline"), "COMPLETED")

    assert workflow.output["square"] == 25


def test_failure_below_comes_up_and_a_retry_begins_a_new_child(sdk: Sdk) -> None:
    """The parent fails with its child; a retry of the parent gives the task another attempt, with its own child."""
    child = sdk.workflow("types_failing_child")
    child.add(simple_task("sdk_charge", "charging", {"amount": "${workflow.input.amount}"})).register(overwrite=True)
    calling = SubWorkflowTask("calling", "types_failing_child", version=1).input(key="amount", value=-1)
    sdk.workflow("types_failing").add(calling).register(overwrite=True)
    failed = sdk.wait_for(sdk.start("types_failing"), "FAILED")

    sdk.workflows.retry_workflow(failed.workflow_id)
    again = sdk.wait_until(failed.workflow_id, lambda found: len(found.tasks) == 2 and found.status == "FAILED")

    children = [task.sub_workflow_id for task in again.tasks]
    assert "-1 cannot be charged" in failed.reason_for_incompletion
    assert len(set(children)) == 2
    assert {sdk.get(child_id).status for child_id in children} == {"FAILED"}


def test_variables_are_set_and_a_workflow_ends_itself(sdk: Sdk) -> None:
    """SET_VARIABLE shows in the workflow; TERMINATE decides about its status and its reason."""
    keeping = SetVariableTask("keeping").input(key="seen", value="${workflow.input.seen}")
    ending = TerminateTask("ending", WorkflowStatus.FAILED, "seen enough")
    sdk.workflow("types_terminate").add([keeping, ending, squaring("never", 1)]).register(overwrite=True)

    workflow = sdk.wait_for(sdk.start("types_terminate", {"seen": 3}), "FAILED")

    assert workflow.variables == {"seen": 3}
    assert "seen enough" in workflow.reason_for_incompletion
    assert [task.reference_task_name for task in workflow.tasks] == ["keeping", "ending"]
