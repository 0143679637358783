"""Claims about SUB_WORKFLOW: what starts, what it ends as, and that no child is orphaned."""

import pytest

from engine.commands import Parent, StartWorkflow, TerminateWorkflow
from engine.context import EngineLimits
from engine.definitions import SubWorkflowParams
from engine.events import ResultIgnored
from engine.ids import TaskSeq, WorkflowId, child_workflow_id
from engine.json_value import JsonObject
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario
from tests.engine.building import (
    accepted,
    attempts,
    output_of,
    sent,
    started,
    sub_workflow,
    task,
    task_def,
    workflow,
)

CHILD = workflow(task("x"), name="child", version=3)


def _asked(parameters: SubWorkflowParams, given: JsonObject | None = None) -> Scenario:
    return started(
        task(
            "s",
            "SUB_WORKFLOW",
            sub_workflow_param=parameters,
            input_parameters={"all": "${workflow.input.all}"},
        ),
        others=[CHILD],
        all=given,
    )


def _start_of(scenario: Scenario) -> StartWorkflow:
    (command,) = sent(scenario, StartWorkflow)
    return command


def test_sub_workflow_starts_its_child() -> None:
    """The child is asked for with the resolved input, and knows which task waits for it."""
    scenario = Scenario(
        workflow(sub_workflow("s", "child", input_parameters={"id": "${workflow.input.id}"}), task("after")), CHILD
    )
    scenario.start({"id": 7}, correlation_id="order-1", task_to_domain={"*": "blue"}, priority=5)

    start = _start_of(scenario)
    child_id = scenario.task("s").progress.child_id
    assert start.workflow_id == child_id == child_workflow_id(WorkflowId("wf"), scenario.task("s").spec.seq)
    assert (start.name, start.version, start.input) == ("child", 3, {"id": 7})
    assert start.parent == Parent(workflow_id=WorkflowId("wf"), task_seq=scenario.task("s").spec.seq, depth=1)
    assert (start.correlation_id, start.task_to_domain) == ("order-1", {"*": "blue"})
    assert start.priority == 0
    assert start.generated_id


def test_sub_workflow_version_is_the_newest_of_the_parents_start() -> None:
    """A version registered while the parent runs is for parents that start later."""
    scenario = Scenario(workflow(task("a"), sub_workflow("s", "child")), CHILD)
    scenario.start()
    scenario.shelf.add(workflow(task("x"), name="child", version=4))
    scenario.complete("a")
    assert _start_of(scenario).version == 3


def test_sub_workflow_that_was_unknown_at_the_parents_start_takes_the_newest() -> None:
    """A child that is registered in time is found, though the parent started before."""
    scenario = Scenario(workflow(task("a"), sub_workflow("s", "later")))
    scenario.start()
    scenario.shelf.add(workflow(task("x"), name="later", version=2))
    scenario.complete("a")
    start = _start_of(scenario)
    assert (start.name, start.version) == ("later", None)


def test_sub_workflow_parameters_may_be_expressions() -> None:
    """Name, domains and priority are resolved like an input; text that reads as a number is one."""
    scenario = started(
        task(
            "s",
            "SUB_WORKFLOW",
            sub_workflow_param=SubWorkflowParams(
                name="${workflow.input.name}",
                task_to_domain={"x": "${workflow.input.domain}"},
                priority="${workflow.input.priority}",
            ),
        ),
        others=[CHILD],
        name="child",
        domain="gpu",
        priority="12",
    )
    start = _start_of(scenario)
    assert (start.name, start.task_to_domain, start.priority) == ("child", {"x": "gpu"}, 12)


def test_sub_workflow_takes_a_definition_from_an_expression() -> None:
    """A definition that comes with the input is sent along, and marks the child's input as dynamic."""
    definition: JsonObject = {"name": "made", "tasks": [{"name": "x", "taskReferenceName": "x"}]}
    scenario = _asked(SubWorkflowParams(workflow_definition="${workflow.input.all}"), definition)

    start = _start_of(scenario)
    assert start.workflow_def == definition
    assert start.input == {"all": definition, "_systemMetadata": {"dynamic": True}}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (SubWorkflowParams(name="nobody"), "No such workflow found. name=nobody, any version"),
        (SubWorkflowParams(name="child", version=9), "No such workflow found. name=child, version 9"),
        (SubWorkflowParams(name="${workflow.input.missing}"), "subWorkflowParam.name should be the name of a workflow"),
        (SubWorkflowParams(workflow_definition="${workflow.input.missing}"), "workflowDefinition should be"),
        (SubWorkflowParams(name="child", priority="high"), "subWorkflowParam.priority should be a number"),
        (SubWorkflowParams(name="child", priority=True), "subWorkflowParam.priority should be a number"),
        (SubWorkflowParams(name="child", task_to_domain={"x": "${workflow.input.missing}"}), "taskToDomain should map"),
    ],
)
def test_sub_workflow_that_cannot_be_started_fails_with_the_reason(parameters: SubWorkflowParams, reason: str) -> None:
    """What no start command can say ends the task at once, instead of leaving it to wait for an answer."""
    scenario = _asked(parameters)
    assert scenario.statuses() == {"s": "FAILED_WITH_TERMINAL_ERROR"}
    assert scenario.status == "FAILED"
    assert reason in scenario.state.reason
    assert scenario.sent == []


def test_sub_workflow_beyond_the_depth_limit_fails() -> None:
    """A workflow that starts itself ends, in a bounded number of steps."""
    scenario = Scenario(workflow(sub_workflow("s", "flow")), limits=EngineLimits(depth_max=3))
    scenario.start(parent=Parent(workflow_id=WorkflowId("above"), task_seq=TaskSeq(1), depth=3))
    assert scenario.statuses() == {"s": "FAILED_WITH_TERMINAL_ERROR"}
    assert "3 deep" in scenario.state.reason


@pytest.mark.parametrize(
    ("ended", "status", "workflow_status"),
    [
        (WorkflowStatus.COMPLETED, "COMPLETED", "COMPLETED"),
        (WorkflowStatus.FAILED, "FAILED", "FAILED"),
        (WorkflowStatus.TIMED_OUT, "TIMED_OUT", "TIMED_OUT"),
        (WorkflowStatus.TERMINATED, "CANCELED", "TERMINATED"),
    ],
)
def test_child_end_ends_the_task_in_kind(ended: WorkflowStatus, status: str, workflow_status: str) -> None:
    """The task ends as its child did, with the child's output and id, and the workflow follows."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.end_child("s", ended, {"n": 1}, "because")

    assert (scenario.statuses()["s"], scenario.status) == (status, workflow_status)
    assert output_of(scenario, "s") == {"n": 1, "subWorkflowId": scenario.task("s").progress.child_id}
    if ended is not WorkflowStatus.COMPLETED:
        assert "because" in scenario.state.reason
    assert sent(scenario, TerminateWorkflow) == []


def test_child_end_that_failed_is_retried_with_a_new_child() -> None:
    """Each attempt has a child of its own; it starts when the delay is over."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD, task_def("s", retry_count=1, retry_delay_seconds=30)])
    scenario.end_child("s", WorkflowStatus.FAILED)
    assert attempts(scenario, "s") == [(0, "FAILED"), (1, "SCHEDULED")]
    assert len(sent(scenario, StartWorkflow)) == 1

    scenario.wait(30_000)
    assert attempts(scenario, "s") == [(0, "FAILED"), (1, "IN_PROGRESS")]
    first, second = sent(scenario, StartWorkflow)
    assert first.workflow_id != second.workflow_id == scenario.task("s").progress.child_id


def test_child_end_of_an_optional_task_does_not_stop_the_flow() -> None:
    """An optional child that failed leaves its task COMPLETED_WITH_ERRORS."""
    scenario = started(sub_workflow("s", "child", optional=True), task("after"), others=[CHILD])
    scenario.end_child("s", WorkflowStatus.FAILED)
    assert scenario.statuses() == {"s": "COMPLETED_WITH_ERRORS", "after": "SCHEDULED"}


def test_start_delay_keeps_the_child_back() -> None:
    """The child starts when the startDelay is over."""
    scenario = started(sub_workflow("s", "child", start_delay=3), others=[CHILD])
    assert scenario.sent == []
    scenario.wait(3_000)
    assert len(sent(scenario, StartWorkflow)) == 1


def test_cancel_ends_the_child_too() -> None:
    """A sub-workflow does not outlive a parent that was terminated."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.terminate("stop")
    (command,) = sent(scenario, TerminateWorkflow)
    assert command.workflow_id == scenario.task("s").progress.child_id
    assert command.reason == "Parent workflow has been terminated with reason: stop"


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED_WITH_TERMINAL_ERROR])
def test_end_by_hand_ends_the_child_too(status: TaskStatus) -> None:
    """A task that somebody ends in its child's place leaves no child behind that nobody waits for."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.update("s", status, {"by": "hand"})
    (command,) = sent(scenario, TerminateWorkflow)
    assert command.workflow_id == scenario.task("s").progress.child_id
    assert output_of(scenario, "s") == {"by": "hand"}


@pytest.mark.parametrize("policy", ["RETRY", "TIME_OUT_WF"])
def test_timeout_ends_the_child_too(policy: str) -> None:
    """A task whose time is over does not let its child run on, whatever follows."""
    scenario = started(
        sub_workflow("s", "child"),
        others=[CHILD, task_def("s", timeout_seconds=5, timeout_policy=policy, retry_count=1, retry_delay_seconds=1)],
    )
    child_id = scenario.task("s").progress.child_id
    scenario.wait(5_000)
    assert [command.workflow_id for command in sent(scenario, TerminateWorkflow)] == [child_id]


def test_late_end_of_a_terminated_child_is_recorded_as_ignored() -> None:
    """The end of the child comes after that of its task, and changes nothing."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.terminate()
    (event,) = accepted(scenario.end_child("s", WorkflowStatus.TERMINATED))
    assert isinstance(event, ResultIgnored)
    assert scenario.status == "TERMINATED"


def test_update_in_progress_shows_an_output_and_leaves_the_task_open() -> None:
    """Somebody may note progress on a task whose child runs."""
    scenario = started(sub_workflow("s", "child"), others=[CHILD])
    scenario.update("s", TaskStatus.IN_PROGRESS, {"note": 1})
    assert output_of(scenario, "s") == {"note": 1}
    assert scenario.statuses()["s"] == "IN_PROGRESS"
