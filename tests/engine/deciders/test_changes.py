"""Claims about variables, state, callbacks, skipping, upgrades and failure workflows."""

from collections.abc import Callable

import pytest

from engine.commands import (
    Command,
    RemoveWorkflow,
    ResetCallbacks,
    StartWorkflow,
    UpdateState,
    UpdateVariables,
    UpgradeWorkflow,
)
from engine.context import EngineLimits
from engine.failure import DOCUMENT_BYTES_MAX, NOTED
from engine.ids import RefName, WorkflowId, failure_workflow_id
from engine.rejections import Decision, RejectionCode
from engine.status import TaskStatus
from engine.testing import Scenario, refusal
from tests.engine.building import (
    attempts,
    event_names,
    fork,
    join,
    loop,
    output_of,
    sent,
    started,
    sub_workflow,
    task,
    task_def,
    workflow,
)

WF = WorkflowId("wf")
MEND = workflow(task("mend_it"), name="mend")


def set_variables(scenario: Scenario, **values: object) -> Decision:
    """Set variables."""
    return scenario.when(UpdateVariables(workflow_id=WF, variables=dict(values)))


def upgrade(scenario: Scenario, version: int | None = 2, **fields: object) -> Decision:
    """Upgrade the workflow."""
    return scenario.when(UpgradeWorkflow(workflow_id=WF, version=version, **fields))  # type: ignore[arg-type]  # checked


# ---- variables and state


@pytest.mark.parametrize("is_paused", [False, True])
def test_variables_are_set_while_the_workflow_has_not_ended(is_paused: bool) -> None:  # noqa: FBT001
    """A task that is scheduled afterwards sees them."""
    scenario = started(task("a"), task("b", input_parameters={"v": "${workflow.variables.v}"}))
    if is_paused:
        scenario.pause()
    assert event_names(set_variables(scenario, v=2)) == ["VariablesSet"]
    if is_paused:
        scenario.resume()
    scenario.complete("a")
    assert scenario.task("b").spec.input == {"v": 2}
    scenario.complete("b")
    assert refusal(set_variables(scenario, v=3)).code is RejectionCode.WORKFLOW_ENDED


def test_variables_that_would_be_too_large_are_refused() -> None:
    """The bound is that of SET_VARIABLE."""
    scenario = Scenario(workflow(task("a")), limits=EngineLimits(variables_bytes_max=20))
    scenario.start()
    assert refusal(set_variables(scenario, v="x" * 20)).code is RejectionCode.ARGUMENT_INVALID
    assert scenario.state.variables == {}


def test_state_update_is_one_decision() -> None:
    """What follows the task sees the variables; its output is merged, as for an update by name."""
    scenario = started(task("a"), task("b", input_parameters={"v": "${workflow.variables.v}"}))
    update = UpdateState(
        workflow_id=WF,
        variables={"v": 1},
        task_reference_name=RefName("a"),
        status=TaskStatus.COMPLETED,
        output={"n": 1},
        reason="by hand",
    )
    assert event_names(scenario.when(update)) == ["VariablesSet", "TaskEnded", "TaskScheduled"]
    assert scenario.task("b").spec.input == {"v": 1}
    assert (scenario.task("a").progress.reason, output_of(scenario, "a")) == ("by hand", {"n": 1})


def test_state_update_with_a_refused_part_does_nothing() -> None:
    """Both or neither."""
    scenario = started(task("a"))
    wrong = UpdateState(workflow_id=WF, variables={"v": 1}, task_reference_name=RefName("b"))
    assert refusal(scenario.when(wrong)).code is RejectionCode.TASK_NOT_FOUND
    assert scenario.state.variables == {}


def test_reset_callbacks_releases_what_waits_for_a_delay() -> None:
    """Workers' tasks only: a WAIT is no callback."""
    scenario = started(
        fork(
            "f", [task("a")], [task("b", start_delay=60)], [task("w", "WAIT", input_parameters={"until": "2099-01-01"})]
        ),
        join("j"),
    )
    scenario.report("a", TaskStatus.IN_PROGRESS, callback_after_seconds=3_600)
    decision = scenario.when(ResetCallbacks(workflow_id=WF))
    assert event_names(decision) == ["TaskReleased", "TaskReleased"]
    assert {scenario.task(ref).spec.seq for ref in ("a", "b")} <= scenario.dispatched
    scenario.terminate()
    assert refusal(scenario.when(ResetCallbacks(workflow_id=WF))).code is RejectionCode.WORKFLOW_ENDED


def test_removal_of_a_workflow_that_has_not_ended_is_refused() -> None:
    """Somebody may be working for it."""
    scenario = started(task("a"))
    rejected = refusal(scenario.when(RemoveWorkflow(workflow_id=WF)))
    assert (rejected.code, "RUNNING" in rejected.reason) == (RejectionCode.WORKFLOW_NOT_ENDED, True)
    scenario.terminate()
    assert event_names(scenario.when(RemoveWorkflow(workflow_id=WF))) == ["WorkflowRemoved"]


# ---- skip while it waits


def test_skip_of_an_open_task_goes_on_behind_it() -> None:
    """Its worker's late result is ignored."""
    scenario = started(task("a"), task("b"))
    scenario.claim("a")
    scenario.skip("a", output={"n": 1})
    assert (scenario.statuses()["a"], output_of(scenario, "a"), scenario.open_refs()) == ("SKIPPED", {"n": 1}, ["b"])
    assert event_names(scenario.complete("a")) == ["ResultIgnored"]


def test_skip_of_an_open_loop_ends_what_runs_in_it() -> None:
    """Nothing of the pass is left open."""
    scenario = started(loop("l", "$.l.iteration < 3", fork("f", [task("a")], [task("b")]), join("j")), task("after"))
    scenario.skip("l")
    assert scenario.open_refs() == ["after"]
    assert scenario.statuses()["a__1"] == "CANCELED"


def test_skip_of_an_open_sub_workflow_ends_its_child() -> None:
    """Nobody waits for it any more."""
    scenario = started(sub_workflow("s", "mend"), task("after"), others=[MEND])
    assert event_names(scenario.skip("s"))[0] == "ChildTerminationRequested"
    assert scenario.open_refs() == ["after"]


# ---- upgrade


def test_upgrade_goes_on_by_the_other_version() -> None:
    """The open task goes on; what is new behind it runs, what is new before it is skipped with the output given."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    scenario.shelf.add(
        workflow(
            task("zero"),
            task("a"),
            task("one"),
            task("b"),
            task("two", input_parameters={"n": "${one.output.n}"}),
            version=2,
            timeout_seconds=60,
            timeout_policy="TIME_OUT_WF",
        )
    )
    upgrade(scenario, task_output={RefName("one"): {"n": 1}})
    assert scenario.statuses() == {"a": "COMPLETED", "b": "SCHEDULED", "zero": "SKIPPED", "one": "SKIPPED"}
    assert scenario.state.started.version == 2
    scenario.complete("b")
    assert scenario.task("two").spec.input == {"n": 1}
    scenario.wait(60_000)
    assert scenario.status == "TIMED_OUT"


def test_upgrade_takes_the_task_definitions_of_now() -> None:
    """They hold for what is decided from here on."""
    scenario = started(task("a"), others=[task_def("a", retry_count=0)])
    scenario.shelf.add(workflow(task("a"), version=2), task_def("a", retry_count=1, retry_delay_seconds=0))
    upgrade(scenario)
    scenario.fail("a")
    assert attempts(scenario, "a") == [(0, "FAILED"), (1, "SCHEDULED")]


def test_upgrade_lets_a_join_wait_for_branches_that_are_new() -> None:
    """It begins to wait anew; the branches that run go on."""
    scenario = started(fork("f", [task("a")], [task("b")]), join("j"))
    scenario.complete("a")
    scenario.shelf.add(workflow(fork("f", [task("a"), task("a2")], [task("b")]), join("j"), version=2))
    upgrade(scenario)
    assert set(scenario.open_refs()) == {"b", "a2", "j"}
    scenario.complete("b")
    assert scenario.status == "RUNNING"
    scenario.complete("a2")
    assert scenario.status == "COMPLETED"


def test_upgrade_forgets_ended_tasks_that_the_other_version_does_not_have() -> None:
    """They have run, and are in the history."""
    scenario = started(task("a"), task("b"))
    scenario.complete("a")
    scenario.shelf.add(workflow(task("b"), version=2))
    upgrade(scenario)
    assert scenario.statuses() == {"b": "SCHEDULED"}


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ([task("b")], "no task of that name"),
        ([task("a", "WAIT")], "it is a SIMPLE, and a WAIT"),
        ([fork("f", [task("a")], [task("b")]), join("j")], "it stands elsewhere"),
    ],
)
def test_upgrade_that_does_not_fit_is_refused_with_the_reason(tasks: list[object], why: str) -> None:
    """Nothing has changed then."""
    scenario = started(task("a"))
    before = scenario.state
    scenario.shelf.add(workflow(*tasks, version=2))  # type: ignore[arg-type]  # they are tasks
    rejected = refusal(upgrade(scenario))
    assert rejected.code is RejectionCode.ARGUMENT_INVALID
    assert f"a: {why}" in rejected.reason.replace("the other version has ", "")
    assert scenario.state == before


@pytest.mark.parametrize(
    ("prepare", "fields", "code"),
    [
        (Scenario.pause, {}, RejectionCode.WORKFLOW_NOT_RUNNING),
        (Scenario.terminate, {}, RejectionCode.WORKFLOW_NOT_RUNNING),
        (None, {"name": "other"}, RejectionCode.ARGUMENT_INVALID),
        (None, {"version": 9}, RejectionCode.DEFINITION_NOT_FOUND),
    ],
)
def test_upgrade_that_is_not_possible_is_refused(
    prepare: Callable[[Scenario], object] | None, fields: dict[str, object], code: RejectionCode
) -> None:
    """It runs, it stays what it is, and the version exists."""
    scenario = started(task("a"))
    if prepare is not None:
        prepare(scenario)
    command: Command = UpgradeWorkflow(workflow_id=WF, **fields)  # type: ignore[arg-type]  # the struct has these
    assert refusal(scenario.when(command)).code is code


# ---- failure workflows


def failing(name: str = "mend", **fields: object) -> Scenario:
    """Return a scenario with a failure workflow, and a task that is not retried."""
    definition = workflow(task("a", retry_count=0), failure_workflow=name, **fields)
    scenario = Scenario(definition, MEND, task_def("a", timeout_policy="TIME_OUT_WF"))
    scenario.start({"n": 1, "which": "mend"}, correlation_id="c", task_to_domain={"*": "d"})
    return scenario


def starts(scenario: Scenario) -> list[StartWorkflow]:
    """Return the failure workflows that were started."""
    return [command for command in sent(scenario, StartWorkflow) if command.name == "mend"]


def test_failure_workflow_is_told_what_failed_and_why() -> None:
    """Conductor's input, and the failed workflow itself."""
    scenario = failing()
    scenario.fail("a", "broken")
    (start,) = starts(scenario)
    assert (start.workflow_id, start.correlation_id, start.task_to_domain) == (
        failure_workflow_id(WF, 0),
        "c",
        {"*": "d"},
    )
    given = dict(start.input or {})
    document = given.pop("failedWorkflow")
    assert given == {
        "n": 1,
        "which": "mend",
        "workflowId": "wf",
        "reason": scenario.state.reason,
        "failureStatus": "FAILED",
        "failureTaskId": "wf~1",
    }
    assert (document["status"], document["tasks"][0]["reasonForIncompletion"]) == ("FAILED", "broken")
    assert scenario.output == {NOTED: start.workflow_id}


def test_failure_workflow_starts_once_for_each_run() -> None:
    """A retry that fails again is another failure."""
    scenario = failing()
    scenario.fail("a")
    scenario.retry()
    scenario.fail("a")
    assert [start.workflow_id for start in starts(scenario)] == [failure_workflow_id(WF, run) for run in (0, 1)]


@pytest.mark.parametrize(
    ("end", "count"),
    [
        ("time out", 1),
        ("terminate", 0),
        ("terminate and compensate", 1),
        ("complete", 0),
    ],
)
def test_failure_workflow_starts_where_the_workflow_failed(end: str, count: int) -> None:
    """Also on a timeout; after a termination only if that is asked for."""
    scenario = failing(timeout_seconds=60, timeout_policy="TIME_OUT_WF")
    match end:
        case "time out":
            scenario.wait(60_000)
        case "complete":
            scenario.complete("a")
        case _:
            scenario.terminate("stop", trigger_failure_workflow="compensate" in end)
    assert len(starts(scenario)) == count


@pytest.mark.parametrize("name", ["mend", "${workflow.input.which}", "$workflow.input.which", "$.workflow.input.which"])
def test_failure_workflow_may_be_named_by_the_input(name: str) -> None:
    """As an expression, and in Conductor's own form."""
    scenario = failing(name)
    scenario.fail("a")
    assert len(starts(scenario)) == 1


@pytest.mark.parametrize("name", ["nobody", "${workflow.input.n}", "${workflow.input.missing}"])
def test_failure_workflow_that_is_not_there_is_said_in_the_output(name: str) -> None:
    """Nothing starts; whoever looks at the failed workflow sees why."""
    scenario = failing(name)
    scenario.fail("a")
    assert starts(scenario) == []
    assert isinstance(scenario.output[NOTED], str)


def test_failed_workflow_that_is_too_large_is_told_without_payloads() -> None:
    """A start that no record could carry would never arrive."""
    scenario = Scenario(workflow(task("a"), task("b", retry_count=0), failure_workflow="mend"), MEND)
    scenario.start()
    scenario.complete("a", {"large": "x" * DOCUMENT_BYTES_MAX})
    scenario.fail("b")
    (start,) = starts(scenario)
    assert all("outputData" not in found for found in (start.input or {})["failedWorkflow"]["tasks"])
