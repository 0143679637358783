"""Claims about the tables of statuses: each transition can happen, and nothing else does.

That nothing else happens is checked by `Scenario` after every command of every test; here each entry of the tables is
made to happen once. An entry that nothing fires is no transition and goes.
"""

from collections.abc import Callable

import pytest

from engine.applier import apply
from engine.events import Event, TaskEnded
from engine.model import WorkflowState, status_of
from engine.status import (
    TASK_RETRIABLE,
    TASK_STATUS_OF_CHILD,
    TASK_SUCCESSFUL,
    TASK_TERMINAL,
    TASK_TRANSITIONS,
    TASK_UNSUCCESSFUL,
    WORKFLOW_STATUS_OF_TASK,
    WORKFLOW_TERMINAL,
    WORKFLOW_TRANSITIONS,
    TaskStatus,
    WorkflowStatus,
)
from engine.testing import Scenario, ScenarioBroken
from engine.transitions import illegal_change
from tests.engine.building import started, sub_workflow, task, task_def, workflow

Change = tuple[str, str]

ONCE = {"retry_count": 0, "timeout_policy": "RETRY"}
WORKFLOW_CHANGES = [(before.value, after.value) for before, afters in WORKFLOW_TRANSITIONS.items() for after in afters]
TASK_CHANGES = [(before.value, after.value) for before, afters in TASK_TRANSITIONS.items() for after in afters]


def _changes(scenario: Scenario) -> tuple[set[Change], set[Change]]:
    """Return the changes of status of the workflow and of its tasks in the whole history of a scenario."""
    of_workflow: set[Change] = set()
    of_tasks: set[Change] = set()
    before: WorkflowState | None = None
    for event in scenario.events:
        after = apply(before, event)
        if before is not None:
            of_workflow.add((before.status.value, after.status.value))
            of_tasks |= _task_changes(before, after, event)
        before = after
    return of_workflow, of_tasks


def _task_changes(before: WorkflowState, after: WorkflowState, event: Event) -> set[Change]:
    seq = getattr(event, "seq", None)
    if seq is None or seq not in before.tasks:
        return set()
    return {(status_of(before.tasks[seq]).value, status_of(after.tasks[seq]).value)}


def _ends_as(status: str) -> Callable[[Scenario], None]:
    def end(scenario: Scenario) -> None:
        match status:
            case "COMPLETED":
                scenario.complete("a")
            case "FAILED":
                scenario.fail("a")
            case "TIMED_OUT":
                scenario.wait(60_000)
            case _:
                scenario.terminate()

    return end


@pytest.mark.parametrize(("before", "after"), sorted(WORKFLOW_CHANGES))
def test_workflow_transition_happens(before: str, after: str) -> None:
    """Every entry of the workflow's table is reached."""
    scenario = Scenario(
        workflow(task("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF"), task_def("a", retry_count=0)
    )
    scenario.start()
    if before == "PAUSED":
        scenario.pause()
    elif before != "RUNNING":
        _ends_as(before)(scenario)
    if after == "PAUSED":
        scenario.pause()
    elif after == "RUNNING":
        scenario.resume() if before == "PAUSED" else scenario.restart()
    else:
        _ends_as(after)(scenario)
    assert (before, after) in _changes(scenario)[0]


@pytest.mark.parametrize(("before", "after"), sorted(TASK_CHANGES))
def test_task_transition_happens(before: str, after: str) -> None:
    """Every entry of the task's table is reached."""
    if before in {status.value for status in TASK_UNSUCCESSFUL}:
        assert (before, after) in _changes(_with_child(before))[1]
        return
    optional = after == "COMPLETED_WITH_ERRORS"
    definition = task_def("a", poll_timeout_seconds=5, response_timeout_seconds=5, **ONCE)
    scenario = started(task("first"), task("a", optional=optional), others=[definition])
    if (before, after) == ("SCHEDULED", "SKIPPED"):
        scenario.skip("a")
        assert (before, after) in _changes(scenario)[1]
        return
    scenario.complete("first")
    if before == "IN_PROGRESS":
        scenario.claim("a")
    match after:
        case "IN_PROGRESS":
            scenario.claim("a")
        case "SKIPPED":
            scenario.skip("a")
        case "SCHEDULED":
            scenario.report("a", TaskStatus.IN_PROGRESS)
        case "TIMED_OUT":
            scenario.wait(5_000)
        case "CANCELED":
            scenario.terminate()
        case "COMPLETED":
            scenario.complete("a")
        case _:
            scenario.fail("a", terminal=after == "FAILED_WITH_TERMINAL_ERROR")
    assert (before, after) in _changes(scenario)[1]


def _with_child(ended: str) -> Scenario:
    """Return a scenario whose sub-workflow task ended so, and waits for its child again."""
    scenario = started(sub_workflow("s", "child"), others=[workflow(task("x"), name="child")])
    match ended:
        case "CANCELED":
            scenario.terminate()
        case "TIMED_OUT":
            scenario.end_child("s", WorkflowStatus.TIMED_OUT)
        case _:
            scenario.report("s", TaskStatus(ended))
    scenario.retry(resume=True)
    return scenario


def test_tables_name_every_status() -> None:
    """A status without an entry would be one that nobody has thought about."""
    assert set(WORKFLOW_TRANSITIONS) == set(WorkflowStatus)
    assert set(TASK_TRANSITIONS) == set(TaskStatus)
    assert set(TASK_STATUS_OF_CHILD) == WORKFLOW_TERMINAL
    assert set(WORKFLOW_STATUS_OF_TASK) == TASK_UNSUCCESSFUL


def test_traits_of_statuses_agree() -> None:
    """Terminal is successful or unsuccessful, never both; only failures are retried; a success is final."""
    assert TASK_TERMINAL == TASK_SUCCESSFUL | TASK_UNSUCCESSFUL
    assert not TASK_SUCCESSFUL & TASK_UNSUCCESSFUL
    assert TASK_RETRIABLE < TASK_UNSUCCESSFUL
    assert {status for status in TaskStatus if not TASK_TRANSITIONS[status]} == TASK_SUCCESSFUL


def test_illegal_change_is_seen() -> None:
    """The check that runs after every command of every test finds what the tables do not allow."""
    scenario = started(task("a"), task("b"))
    early = scenario.state
    scenario.complete("a")
    scenario.terminate()
    late, event = scenario.state, scenario.events[-1]
    assert illegal_change(early, early, event) == ""
    assert "begins as TERMINATED" in illegal_change(None, late, event)
    ended = next(event for event in scenario.events if isinstance(event, TaskEnded))
    assert "task 1 of workflow wf goes from COMPLETED to SCHEDULED" in illegal_change(late, early, ended)


def test_scenario_with_nothing_to_look_at_says_what_is_there() -> None:
    """A test that names a task by mistake is told which tasks there are."""
    with pytest.raises(ScenarioBroken, match="call start"):
        Scenario(workflow(task("a"))).complete("a")
    with pytest.raises(ScenarioBroken, match=r"task z was never scheduled; there are: \['a'\]"):
        started(task("a")).complete("z")
