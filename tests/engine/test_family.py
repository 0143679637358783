"""Claims about workflows and their sub-workflows: who is revived when somebody in the family runs again."""

from functools import partial
from random import Random

import pytest

from engine.commands import (
    Command,
    RerunWorkflow,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    StartWorkflow,
    TerminateWorkflow,
)
from engine.definitions import SubWorkflowParams, WorkflowTask
from engine.events import TaskRevived, WorkflowEnded, WorkflowReopened, WorkflowStarted
from engine.ids import TaskSeq, task_id
from engine.status import TaskStatus
from tests.engine.building import fork, join, loop, sub_workflow, switch, task, task_def, workflow
from tests.engine.family import TOP, Family

FAILED = TaskStatus.FAILED
LEAF = workflow(task("x"), name="leaf")
MIDDLE = workflow(sub_workflow("m", "leaf"), name="middle")
ONCE = task_def("x", retry_count=0)

NESTINGS = {
    "alone": (sub_workflow("s", "middle"),),
    "fork": (fork("f", [sub_workflow("s", "middle")], [task("sibling")]), join("j")),
    "loop": (loop("l", "$.l.iteration < 1", sub_workflow("s", "middle")),),
    "switch": (switch("w", "a", {"a": [sub_workflow("s", "middle")]}),),
    "dynamic": (
        task(
            "d",
            "FORK_JOIN_DYNAMIC",
            dynamic_fork_tasks_param="tasks",
            dynamic_fork_tasks_input_param_name="inputs",
            input_parameters={
                "tasks": [
                    {
                        "name": "s",
                        "taskReferenceName": "s",
                        "type": "SUB_WORKFLOW",
                        "subWorkflowParam": {"name": "middle"},
                    },
                    {"name": "sibling", "taskReferenceName": "sibling"},
                ],
                "inputs": {},
            },
        ),
        join("j"),
    ),
}


def failed_family(nesting: str) -> tuple[Family, str]:
    """Return three generations that have failed because of the youngest, and the name of the oldest's task."""
    family = Family(workflow(*NESTINGS[nesting], task("after"), name="top"), MIDDLE, LEAF, ONCE)
    family.start()
    ref = "s__1" if nesting == "loop" else "s"
    family.report((ref, "m"), "x", FAILED)
    assert [family.state(*path).status for path in ((), (ref,), (ref, "m"))] == ["FAILED"] * 3
    return family, ref


def keyed(ref: str, **fields: object) -> WorkflowTask:
    """Return a task that shares its child with all that have the same idempotency key."""
    return task(ref, "SUB_WORKFLOW", sub_workflow_param=SubWorkflowParams(name="leaf", idempotency_key="k"), **fields)


def shared_family() -> Family:
    """Return a parent with two branches: in the one a child of a child, in the other that same child."""
    branches = [sub_workflow("s", "middle", permissive=True)], [keyed("q", permissive=True)]
    top = workflow(fork("f", *branches), join("j"), name="top")
    once = (task_def(name, retry_count=0) for name in ("x", "s", "m", "q"))
    family = Family(top, workflow(keyed("m"), name="middle"), LEAF, *once)
    family.start()
    return family


def finish(family: Family, ref: str) -> None:
    """Let everybody finish, and the top with them."""
    family.report((ref, "m"), "x")
    if family.state().task("sibling") is not None:  # type: ignore[arg-type]  # a ref is a text
        family.report((), "sibling")
    family.report((), "after")
    assert {family.state(*path).status for path in ((), (ref,), (ref, "m"))} == {"COMPLETED"}
    assert family.disagreements() == []


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("operation", ["retry", "restart", "rerun", "rerun task"])
@pytest.mark.parametrize("depth", [1, 2])
def test_parents_revive_when_a_child_runs_again(nesting: str, operation: str, depth: int) -> None:
    """Whoever is run again, everybody above waits for it again, in place, and what was cancelled beside it runs too."""
    family, ref = failed_family(nesting)
    child = family.state(*(ref, "m")[:depth]).workflow_id
    before = {path: family.state(*path).workflow_id for path in ((), (ref,))}
    commands: dict[str, Command] = {
        "retry": RetryWorkflow(workflow_id=child),
        "restart": RestartWorkflow(workflow_id=child),
        "rerun": RerunWorkflow(workflow_id=child),
        "rerun task": RerunWorkflow(workflow_id=child, re_run_from_task_id=task_id(child, TaskSeq(1))),
    }
    family.when(commands[operation])
    assert {path: family.state(*path).workflow_id for path in before} == before
    assert [family.state(*path).status for path in ((), (ref,), (ref, "m"))] == ["RUNNING"] * 3
    revived = [event for event in family.events[TOP] if isinstance(event, TaskRevived)]
    assert len(revived) == 1
    finish(family, ref)


@pytest.mark.parametrize("nesting", NESTINGS)
def test_retry_that_resumes_sub_workflows_goes_on_in_the_deepest_child(nesting: str) -> None:
    """No new child starts: the failed ones, down to the one whose task failed, are retried themselves."""
    family, ref = failed_family(nesting)
    family.when(RetryWorkflow(workflow_id=TOP, resume_subworkflow_tasks=True))
    assert len(family.states) == 3
    assert [family.state(*path).status for path in ((), (ref,), (ref, "m"))] == ["RUNNING"] * 3
    finish(family, ref)
    assert sum(isinstance(command, StartWorkflow) for command in family.sent) == 2


def test_retry_that_does_not_resume_starts_another_child() -> None:
    """That is Conductor's default."""
    family, ref = failed_family("alone")
    family.when(RetryWorkflow(workflow_id=TOP))
    assert len(family.states) == 5
    finish_new = family.state(ref, "m")
    family.report((ref, "m"), "x")
    assert finish_new.workflow_id in family.states
    family.report((), "after")
    assert family.state().status.value == "COMPLETED"


def test_child_of_an_optional_task_that_runs_again_does_not_revive_its_parent() -> None:
    """The parent went on without it."""
    family = Family(workflow(sub_workflow("s", "leaf", optional=True), task("after"), name="top"), LEAF, ONCE)
    family.start()
    family.report(("s",), "x", FAILED)
    child = family.state("s").workflow_id
    family.when(RetryWorkflow(workflow_id=child))
    assert [event for event in family.events[TOP] if isinstance(event, TaskRevived)] == []
    family.report((), "after")
    assert family.state().status.value == "COMPLETED"
    family.report(("s",), "x")
    assert family.state().status.value == "COMPLETED"


def test_parent_that_another_task_brought_down_tries_that_one_again() -> None:
    """The child was only cancelled: when it runs again, the parent cannot complete without what had failed."""
    top = workflow(fork("f", [sub_workflow("s", "leaf")], [task("b", retry_count=0)]), join("j", "s"), name="top")
    family = Family(top, LEAF, ONCE)
    family.start()
    family.report((), "b", FAILED)
    child = family.state("s").workflow_id
    assert family.state("s").status.value == "TERMINATED"
    family.when(RetryWorkflow(workflow_id=child))
    family.report(("s",), "x")
    assert family.state().status.value == "RUNNING"
    family.report((), "b")
    assert family.state().status.value == "COMPLETED"


def test_child_of_an_earlier_attempt_that_runs_again_does_not_revive_its_parent() -> None:
    """The task has another child by now, and waits for that."""
    family = Family(
        workflow(sub_workflow("s", "leaf", retry_count=1), name="top"), LEAF, ONCE, task_def("s", retry_delay_seconds=0)
    )
    family.start()
    first = family.state("s").workflow_id
    family.report(("s",), "x", FAILED)
    family.when(RetryWorkflow(workflow_id=first))
    assert family.state("s").workflow_id != first
    assert [event for event in family.events[TOP] if isinstance(event, TaskRevived)] == []


def test_child_that_cannot_be_retried_fails_its_parent_again() -> None:
    """Its own TERMINATE ended it: asked to go on, it says again how it has ended, and nobody waits for ever."""
    given = {"terminationStatus": "FAILED", "terminationReason": "no"}
    stubborn = workflow(task("t", "TERMINATE", input_parameters=given), name="leaf")
    family = Family(workflow(sub_workflow("s", "leaf", retry_count=0), name="top"), stubborn)
    family.start()
    assert family.state().status.value == "FAILED"
    family.when(RetryWorkflow(workflow_id=TOP, resume_subworkflow_tasks=True))
    assert family.state().status.value == "FAILED"
    assert sum(isinstance(event, WorkflowEnded) for event in family.events[TOP]) == 2
    assert family.disagreements() == []


def test_command_to_go_on_that_comes_twice_is_heard_once() -> None:
    """Both directions count: a second telling, after a crash, changes nothing."""
    family, ref = failed_family("alone")
    family.when(RetryWorkflow(workflow_id=TOP, resume_subworkflow_tasks=True))
    family.report((ref, "m"), "x", FAILED)
    before = {workflow_id: len(events) for workflow_id, events in family.events.items()}
    for command in list(family.sent):
        family.when(command)
    since = [event for workflow_id, events in family.events.items() for event in events[before[workflow_id] :]]
    changes = WorkflowReopened | WorkflowEnded | TaskRevived | WorkflowStarted
    assert [event for event in since if isinstance(event, changes)] == []


@pytest.mark.parametrize("operation", ["retry", "restart", "rerun"])
def test_all_parents_of_a_shared_child_revive_when_it_runs_again(operation: str) -> None:
    """The one that started it, and the one whose idempotency key met it; both end with it."""
    family = shared_family()
    leaf = family.state("q").workflow_id
    assert family.state("s", "m").workflow_id == leaf
    family.report(("q",), "x", FAILED)
    assert [family.state(*path).status for path in ((), ("s",), ("q",))] == ["FAILED"] * 3
    commands: dict[str, Command] = {
        "retry": RetryWorkflow(workflow_id=leaf),
        "restart": RestartWorkflow(workflow_id=leaf),
        "rerun": RerunWorkflow(workflow_id=leaf),
    }
    family.when(commands[operation])
    assert [family.state(*path).status for path in ((), ("s",), ("q",))] == ["RUNNING"] * 3
    family.report(("q",), "x")
    assert [family.state(*path).status for path in ((), ("s",), ("q",))] == ["COMPLETED"] * 3
    assert family.disagreements() == []


def test_shared_child_is_resumed_once_by_whichever_of_its_parents_asks() -> None:
    """What each has told it is counted by itself: the second one's first word is not taken for an old one."""
    family = shared_family()
    family.report(("q",), "x", FAILED)
    family.when(RetryWorkflow(workflow_id=TOP, resume_subworkflow_tasks=True))
    leaf = family.state("q").workflow_id
    assert len(family.states) == 3
    assert sum(isinstance(event, WorkflowReopened) for event in family.events[leaf]) == 1
    assert {family.state(*path).status for path in ((), ("s",), ("q",))} == {"RUNNING"}
    family.report(("q",), "x")
    assert {family.state(*path).status for path in ((), ("s",), ("q",))} == {"COMPLETED"}


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_family_agrees_whatever_comes_late_or_twice(seed: int, *, is_shared: bool) -> None:
    """Operations anywhere in the family, crashes that repeat commands: in the end nobody waits for what has ended.

    Also where the tasks share one child by an idempotency key.
    """
    random = Random(seed)
    leaf, middle = (
        (keyed, workflow(keyed("m"), name="middle")) if is_shared else (partial(sub_workflow, name="leaf"), MIDDLE)
    )
    top = workflow(
        fork("f", [sub_workflow("s", "middle", permissive=random.random() < 0.2)], [leaf("q")]),
        join("j"),
        leaf("z", optional=random.random() < 0.3),
        name="top",
    )
    names = [
        task_def(name, retry_count=random.randint(0, 1), retry_delay_seconds=0) for name in ("x", "s", "m", "q", "z")
    ]
    family = Family(top, middle, LEAF, *names, random=random)
    family.start()
    for _ in range(random.randint(10, 80)):
        _something(family, random)
    for _ in range(400):
        family.deliver_all()
        assert family.disagreements() == []
        work = family.open_work()
        paused = [state for state in family.states.values() if state.status.value == "PAUSED"]
        if work:
            family.report_on(*work[0], TaskStatus.COMPLETED)
        elif paused:
            family.when(ResumeWorkflow(workflow_id=paused[0].workflow_id))
        else:
            break
    assert all(state.is_terminal for state in family.states.values())


def _something(family: Family, random: Random) -> None:
    """Let one thing happen to somebody of the family."""
    chosen = random.choice(sorted(family.states))
    chance = random.random()
    if chance < 0.45:
        family.deliver_one()
    elif chance < 0.7:
        work = family.open_work()
        if work:
            family.report_on(*random.choice(work), random.choice([FAILED, FAILED, TaskStatus.COMPLETED]))
    elif chance < 0.78:
        family.crash(chosen)
    elif chance < 0.94:
        resume = random.random() < 0.7
        family.when(RetryWorkflow(workflow_id=chosen, resume_subworkflow_tasks=resume))
    elif chance < 0.96:
        family.when(RestartWorkflow(workflow_id=chosen))
    elif chance < 0.98:
        seq = TaskSeq(random.randint(1, max(1, family.states[chosen].last_seq)))
        family.when(RerunWorkflow(workflow_id=chosen, re_run_from_task_id=task_id(chosen, seq)))
    else:
        family.when(TerminateWorkflow(workflow_id=chosen, reason="enough"))
