"""Claims about idempotency keys as far as workflows decide: those that ask, and the one that is asked for."""

import itertools

import pytest

from engine.commands import (
    Parent,
    ReportChildEnd,
    ReportChildStart,
    ResumeChild,
    ReviveTask,
    StartWorkflow,
    TerminateWorkflow,
    workflow_of,
)
from engine.definitions import SubWorkflowParams, WorkflowTask
from engine.events import ChildNamed, ParentAttached, WorkflowReopened
from engine.idempotency import Strategy, Verdict, verdict_of
from engine.ids import TaskSeq, WorkflowId, generation_of, keyed_workflow_id, successor_workflow_id
from engine.status import WorkflowStatus
from engine.testing import Scenario, refusal
from tests.engine.building import accepted, output_of, sent, started, task, workflow

CHILD = workflow(task("x"), name="child")
FIRST = keyed_workflow_id("child", "k")


def keyed(ref: str = "s", key: object = "k", strategy: str | None = None) -> WorkflowTask:
    """Return a SUB_WORKFLOW task with an idempotency key."""
    parameters = SubWorkflowParams(name="child", idempotency_key=key, idempotency_strategy=strategy)  # type: ignore[arg-type]
    return task(ref, "SUB_WORKFLOW", sub_workflow_param=parameters)


def starting(key: str = "k") -> WorkflowTask:
    """Return a START_WORKFLOW task with an idempotency key."""
    return task("s", "START_WORKFLOW", input_parameters={"startWorkflow": {"name": "child", "idempotencyKey": key}})


def told(scenario: Scenario, child_id: str, refusal: str = "") -> tuple[object, ...]:
    """Tell the first task of a scenario which workflow it came to; return the events."""
    command = ReportChildStart(
        workflow_id=scenario.workflow_id, task_seq=TaskSeq(1), child_id=WorkflowId(child_id), refusal=refusal
    )
    return accepted(scenario.when(command))


def other(seq: int = 1) -> Parent:
    """Return a task of another workflow."""
    return Parent(workflow_id=WorkflowId("other"), task_seq=TaskSeq(seq))


@pytest.mark.parametrize(
    ("strategy", "is_used", "is_open", "verdict"),
    [
        *((strategy, False, False, Verdict.BEGIN) for strategy in Strategy),
        *((Strategy.RETURN_EXISTING, True, is_open, Verdict.MEET) for is_open in (True, False)),
        *((Strategy.FAIL, True, is_open, Verdict.REFUSE) for is_open in (True, False)),
        (Strategy.FAIL_ON_RUNNING, True, True, Verdict.REFUSE),
        (Strategy.FAIL_ON_RUNNING, True, False, Verdict.SUCCEED),
    ],
)
def test_strategies_say_what_a_start_comes_to(
    strategy: Strategy, *, is_used: bool, is_open: bool, verdict: Verdict
) -> None:
    """The whole table."""
    assert verdict_of(strategy, is_used=is_used, is_open=is_open) is verdict


def test_key_names_the_partition_that_decides() -> None:
    """A start without an id is routed by name and key; the same key of another workflow name is another key."""
    command = StartWorkflow(name="child", idempotency_key="k")
    assert workflow_of(command) == FIRST
    assert len({keyed_workflow_id(name, key) for name, key in itertools.product("ab", "kl")}) == 4


def test_successors_name_their_first_and_their_generation() -> None:
    """Ids of anything else name none."""
    assert generation_of(successor_workflow_id(FIRST, 3, 7)) == (FIRST, 3)
    assert [generation_of(WorkflowId(text)) for text in (FIRST, "a.b", "a.1.2", f"{FIRST}.x.1", f"{FIRST}.1")] == [
        None
    ] * 5


def test_sub_workflow_with_a_key_asks_for_whatever_the_key_stands_for() -> None:
    """The command names no id; the task waits for the first workflow of the key."""
    scenario = started(keyed(key="${workflow.input.order}", strategy="FAIL"), others=[CHILD], order=17)
    (command,) = sent(scenario, StartWorkflow)
    assert (command.workflow_id, command.idempotency_key, command.idempotency_strategy) == (None, "17", "FAIL")
    assert not command.generated_id
    assert scenario.task("s").progress.child_id == workflow_of(command) == keyed_workflow_id("child", "17")


def test_key_that_is_made_of_nothing_is_none() -> None:
    """The strategy alone means nothing, as clients send it with every start."""
    scenario = started(keyed(key="${workflow.input.missing}", strategy="FAIL"), others=[CHILD])
    (command,) = sent(scenario, StartWorkflow)
    assert command.workflow_id is not None
    assert command.idempotency_key is None


@pytest.mark.parametrize(
    ("key", "strategy", "reason"),
    [
        ({"a": 1}, None, "idempotencyKey should be a text of 1 to 1000 characters and is"),
        ("k" * 1_001, None, "idempotencyKey should be a text of 1 to 1000 characters"),
        ("k", "MAYBE", "idempotencyStrategy should be one of RETURN_EXISTING, FAIL, FAIL_ON_RUNNING and is 'MAYBE'"),
    ],
)
def test_sub_workflow_with_an_impossible_key_fails_for_good(key: object, strategy: str | None, reason: str) -> None:
    """Nothing is started."""
    scenario = started(keyed(key="${workflow.input.key}", strategy=strategy), others=[CHILD], key=key)
    assert scenario.status == "FAILED"
    assert reason in scenario.task("s").progress.reason
    assert sent(scenario, StartWorkflow) == []


def test_task_waits_for_the_successor_once_it_knows_it() -> None:
    """Its end is then the task's end, and no other workflow's is."""
    scenario = started(keyed(), others=[CHILD])
    assert [type(event) for event in told(scenario, "next")] == [ChildNamed]
    assert told(scenario, "next") == ()
    scenario.end_child("s", output={"n": 1})
    assert (scenario.status, output_of(scenario, "s")) == ("COMPLETED", {"n": 1, "subWorkflowId": "next"})


def test_successor_of_a_task_that_has_ended_ends_too() -> None:
    """Nobody will wait for it; what the first termination named was another workflow."""
    scenario = started(keyed(), others=[CHILD])
    scenario.terminate("enough")
    assert [command.workflow_id for command in sent(scenario, TerminateWorkflow)] == [FIRST]
    told(scenario, "next")
    assert told(scenario, "next") == ()
    ended = sent(scenario, TerminateWorkflow)[-1]
    assert (ended.workflow_id, ended.parent) == ("next", Parent(workflow_id=WorkflowId("wf"), task_seq=TaskSeq(1)))


def test_further_task_is_told_of_the_end_as_the_first_is() -> None:
    """Each once, however often it asks."""
    scenario = Scenario(CHILD)
    scenario.start(parent=other(1), idempotency_key="k")
    assert accepted(scenario.start(parent=other(1), idempotency_key="k")) == ()
    assert [type(event) for event in accepted(scenario.start(parent=other(2), idempotency_key="k"))] == [ParentAttached]
    assert accepted(scenario.start(parent=other(2), idempotency_key="k")) == ()
    scenario.complete("x", {"n": 1})
    ends = sent(scenario, ReportChildEnd)
    assert [(end.task_seq, end.status, end.output) for end in ends] == [
        (1, WorkflowStatus.COMPLETED, {"n": 1}),
        (2, WorkflowStatus.COMPLETED, {"n": 1}),
    ]


def test_task_that_comes_to_an_ended_workflow_is_told_at_once() -> None:
    """It has the output of the one run that there was."""
    scenario = Scenario(CHILD)
    scenario.start(idempotency_key="k")
    scenario.complete("x", {"n": 1})
    scenario.start(parent=other(), idempotency_key="k")
    (end,) = sent(scenario, ReportChildEnd)
    assert (end.workflow_id, end.status, end.output) == ("other", WorkflowStatus.COMPLETED, {"n": 1})


def test_each_waiting_task_is_heard_by_its_own_count() -> None:
    """The second one's first word is heard as the first one's is, its repetition is not; a stranger is refused."""
    scenario = Scenario(CHILD)
    scenario.start(parent=other(1), idempotency_key="k")
    scenario.start(parent=other(2), idempotency_key="k")
    for seq in (1, 2):
        scenario.fail("x", terminal=True)
        resume = ResumeChild(workflow_id=scenario.workflow_id, told=1, parent=other(seq))
        assert WorkflowReopened in {type(event) for event in accepted(scenario.when(resume))}
        assert accepted(scenario.when(resume)) == ()
        assert [command.task_seq for command in sent(scenario, ReviveTask)][-2:] == [1, 2]
    scenario.complete("x")
    ends = sent(scenario, ReportChildEnd)[-2:]
    assert [(end.task_seq, end.heard, end.child_run) for end in ends] == [(1, 1, 2), (2, 1, 2)]
    stranger = ResumeChild(workflow_id=scenario.workflow_id, told=9, parent=other(3))
    assert "is not the sub-workflow of task 3 of other" in refusal(scenario.when(stranger)).reason


def test_waiting_tasks_stay_known_when_the_workflow_is_restarted() -> None:
    """They are revived with it, and told of its next end."""
    scenario = Scenario(CHILD)
    scenario.start(parent=other(1), idempotency_key="k")
    scenario.start(parent=other(2), idempotency_key="k")
    scenario.terminate()
    scenario.restart()
    assert [command.task_seq for command in sent(scenario, ReviveTask)] == [1, 2]
    scenario.complete("x")
    assert [end.task_seq for end in sent(scenario, ReportChildEnd)] == [1, 2, 1, 2]


def test_workflow_that_turns_out_to_be_another_is_told_to_go_on_too() -> None:
    """The task asked the first workflow of its key to go on, before it knew that it waits for a successor."""
    scenario = started(keyed(), others=[CHILD])
    scenario.terminate()
    scenario.retry(resume=True)
    assert [command.workflow_id for command in sent(scenario, ResumeChild)] == [FIRST]
    told(scenario, "next")
    first, second = sent(scenario, ResumeChild)
    assert (second.workflow_id, second.told, second.parent) == ("next", first.told, first.parent)
    scenario.end_child("s")
    assert scenario.status == "COMPLETED"


def test_workflow_ends_early_only_with_the_task_that_started_it() -> None:
    """One that merely met it has no say; a client has."""
    scenario = Scenario(CHILD)
    scenario.start(parent=other(1), idempotency_key="k")
    scenario.start(parent=other(2), idempotency_key="k")
    for seq, status in ((2, "RUNNING"), (1, "TERMINATED")):
        scenario.when(TerminateWorkflow(workflow_id=scenario.workflow_id, parent=other(seq)))
        assert scenario.status == status


def test_start_workflow_with_a_key_waits_for_the_word_of_its_owner() -> None:
    """Only the owner knows which workflow it is."""
    scenario = started(starting(), others=[CHILD])
    (command,) = sent(scenario, StartWorkflow)
    assert (command.workflow_id, command.parent) == (None, None)
    assert command.starter == Parent(workflow_id=WorkflowId("wf"), task_seq=TaskSeq(1))
    assert scenario.statuses() == {"s": "IN_PROGRESS"}
    told(scenario, "found")
    assert (scenario.status, output_of(scenario, "s")) == ("COMPLETED", {"workflowId": "found"})
    assert told(scenario, "found") == ()


def test_start_workflow_fails_where_its_key_is_refused() -> None:
    """With the owner's reason, and it may be retried."""
    scenario = started(starting(), others=[CHILD])
    told(scenario, FIRST, "it runs")
    assert (scenario.status, scenario.task("s").progress.reason) == ("FAILED", "it runs")
