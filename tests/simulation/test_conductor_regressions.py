"""Races that Conductor had, each as one scenario with a fixed order of events.

Holds the scenarios that need no cluster; the number is that of the bug in the list of regressions. A scenario is a
function that asserts; where a bug of `bugs` is the mistake that Conductor made, the scenario is shown to fail with
it.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from random import Random

import msgspec
import pytest

from engine.applier import fold
from engine.commands import ClaimTask, Command, EvaluateWorkflow, StartWorkflow
from engine.context import DecideContext
from engine.decider import decide
from engine.definitions import SubWorkflowParams, TaskDef, WorkflowDef
from engine.events import TaskEnded, TaskScheduled, WorkflowEnded
from engine.graph import Graphs
from engine.ids import TaskSeq, WorkflowId, child_workflow_id, task_id
from engine.model import EndedTask, open_tasks
from engine.rejections import Accepted
from engine.shelf import Shelf
from engine.status import TaskStatus
from engine.testing import Scenario
from streams.errors import StreamsError
from tests.engine.building import fork, join, loop, sub_workflow, switch, task
from tests.engine.driver import Driver
from tests.engine.generator import Generated
from tests.simulation.bugs import BUGS
from tests.simulation.violation import Violation
from tests.streams.partition.driving import Ground, result, start

WF = WorkflowId("wf")
PARALLEL = WorkflowDef(
    name="flow",
    tasks=(
        fork("fork", [task("a", optional=True)], [task("b", optional=True), task("c")], [task("d", retry_count=1)]),
        join("join"),
        task("last"),
    ),
)


def test_regress_conductor_01_no_workflow_ends_while_a_task_is_open() -> None:
    """The workflow is looked at twice after every step of its fork: it is over when nothing is open, not before."""
    scenario = Scenario(PARALLEL)
    scenario.start({})
    steps: Sequence[Callable[[], object]] = (
        lambda: scenario.fail("b", terminal=True),
        lambda: scenario.fail("d"),
        lambda: scenario.fail("a", terminal=True),
        lambda: scenario.wait(60_000),
        lambda: scenario.complete("c"),
        lambda: scenario.complete("d"),
        lambda: scenario.complete("last"),
    )
    for step in steps:
        assert scenario.status == "RUNNING"
        assert scenario.open_refs()
        step()
        for _ in range(2):
            scenario.when(EvaluateWorkflow(workflow_id=scenario.workflow_id))
    assert (scenario.status, scenario.open_refs()) == ("COMPLETED", [])
    assert sum(isinstance(event, WorkflowEnded) for event in scenario.events) == 1


def test_regress_conductor_02_two_results_in_any_order_end_a_workflow_once() -> None:
    """Claims, results and their repetitions of two branches, in each of their orders: COMPLETED stays COMPLETED."""
    both = WorkflowDef(name="flow", tasks=(fork("fork", [task("a")], [task("b")]), join("join", "a", "b")))
    scenario = Scenario(both)
    scenario.start({})
    a, b = (scenario.task(ref).spec.seq for ref in "ab")
    commands: Sequence[Command] = (
        result(a),
        result(b),
        result(a, TaskStatus.FAILED),
        ClaimTask(workflow_instance_id=WF, task_id=task_id(WF, b)),
        result(b),
    )
    for order in permutations(commands):
        scenario = Scenario(both)
        scenario.start({})
        for command in order:
            scenario.when(command)
        is_retried = order.index(commands[2]) < order.index(commands[0])
        assert scenario.status == ("RUNNING" if is_retried else "COMPLETED")
        assert sum(isinstance(event, WorkflowEnded) for event in scenario.events) == (not is_retried)
        ends = [event.seq for event in scenario.events if isinstance(event, TaskEnded)]
        assert len(ends) == len(set(ends))


def crash_between_scheduling_and_dispatch() -> None:
    """Start a child, crash before anybody was told, and let both owners tell: there is one child."""
    parent = WorkflowDef(
        name="flow", tasks=(task("sub", "SUB_WORKFLOW", sub_workflow_param=SubWorkflowParams(name="leaf")),)
    )
    ground = Ground(parent, WorkflowDef(name="leaf", tasks=(task("leaf"),)))
    machine, _ = ground.take_over()
    told_before_the_crash = ground.settle(machine, start()).commands
    machine, outbox = ground.take_over()
    assert outbox.commands == told_before_the_crash
    ground.settle(machine, *told_before_the_crash, *outbox.commands)
    child = child_workflow_id(WF, TaskSeq(1))
    scheduled = [
        decision.workflow_id
        for decision in ground.decisions()
        for event in decision.events
        if isinstance(event, TaskScheduled)
    ]
    assert scheduled == [WF, child]


def test_regress_conductor_03_a_sub_workflow_is_started_once() -> None:
    """Its id is derived from the attempt that starts it: whoever repeats the start meets the first."""
    crash_between_scheduling_and_dispatch()


def two_owners_decide_about_one_result() -> None:
    """A paused owner wakes up after another has claimed; both decide about the same failure."""
    ground = Ground(WorkflowDef(name="flow", tasks=(task("one"),)), TaskDef(name="one", retry_delay_seconds=0))
    zombie, _ = ground.take_over()
    ground.settle(zombie, start())
    failure = ground.command(result(1, TaskStatus.FAILED))
    of_the_zombie = ground.decide(zombie, failure)
    successor, _ = ground.take_over()
    ground.settle(successor, failure)
    try:
        told = zombie.acknowledged(of_the_zombie, ground.append(of_the_zombie.records))
    except StreamsError:
        pass
    else:
        raise Violation(f"the zombie tells: {told}")
    after, outbox = ground.take_over()
    state = after.table.get(WF)
    assert state is not None
    assert [(found.spec.attempt, isinstance(found, EndedTask)) for found in state.tasks.values()] == [
        (0, True),
        (1, False),
    ]
    assert [found.spec.seq for _, found in outbox.dispatches] == [2]


def test_regress_conductor_04_two_owners_do_not_make_two_attempts() -> None:
    """The zombie's decision is in nobody's log, and nothing of it is ever told."""
    two_owners_decide_about_one_result()


@pytest.mark.parametrize("name", ["no-fencing", "no-epochs"])
def test_regress_conductor_04_fails_where_owners_are_not_fenced(name: str) -> None:
    """With the mistake that Conductor made, a lock that does not hold, the scenario goes wrong."""
    (bug,) = (bug for bug in BUGS if bug.name == name)
    with bug.put_in(), pytest.raises((Violation, StreamsError, AssertionError)):
        two_owners_decide_about_one_result()


def the_result_overtakes_the_acknowledgement() -> None:
    """The worker is so quick that its result and claim are decided before the dispatch counts as done; then a crash."""
    ground = Ground(WorkflowDef(name="flow", tasks=(task("one"), task("two"))))
    machine, _ = ground.take_over()
    ground.settle(machine, start())  # its effects are never marked as done
    ground.settle(machine, result(1, output={"n": 1}))
    claim = ClaimTask(workflow_instance_id=WF, task_id=task_id(WF, TaskSeq(1)), claimed_at_ms=ground.now_ms)
    ground.settle(machine, claim)
    after, outbox = ground.take_over()
    assert [found.spec.ref for _, found in outbox.dispatches] == ["two"]
    state = after.table.get(WF)
    assert state is not None
    first = state.tasks[TaskSeq(1)]
    assert isinstance(first, EndedTask)
    assert (first.status, first.progress.output) == (TaskStatus.COMPLETED, {"n": 1})
    ground.settle(after, result(1, output={"n": 2}))
    assert msgspec.to_builtins(after.table.get(WF).tasks[TaskSeq(1)].progress.output) == {"n": 1}  # type: ignore[union-attr]


def test_regress_conductor_10_a_completed_task_is_not_done_again() -> None:
    """A result that comes before the claim, and before the dispatch is acknowledged, ends the attempt for good."""
    the_result_overtakes_the_acknowledgement()


NESTED = WorkflowDef(
    name="flow",
    tasks=(
        task("first"),
        fork(
            "fork",
            [loop("loop", "$.loop.iteration < 2", task("in_loop"))],
            [switch("switch", "x", {"x": [task("in_case", retry_count=1)]})],
            [sub_workflow("sub", "child")],
        ),
        join("join"),
        task("last"),
    ),
)
STEPS = 8
OPERATIONS: dict[str, Callable[[Scenario], object]] = {
    "retry": Scenario.retry,
    "resume children": lambda scenario: scenario.retry(resume=True),
    "rerun": lambda scenario: scenario.rerun("first"),
    "rerun the newest": lambda scenario: scenario.rerun(next(reversed(scenario.statuses()))),
    "restart": Scenario.restart,
    "skip": lambda scenario: scenario.skip("last"),
    "skip what waits": lambda scenario: scenario.skip((scenario.open_refs() or ["last"])[0]),
    "jump": lambda scenario: scenario.jump("last"),
    "jump back": lambda scenario: scenario.jump("first"),
    "pause": Scenario.pause,
    "terminate": Scenario.terminate,
}


def _after(steps: int) -> Driver:
    """Return a workflow after so many helpful answers."""
    others = (WorkflowDef(name="child", tasks=(task("inside"),)),)
    driver = Driver(Random(0), Generated(definition=NESTED, others=others, workflow_input={}))
    driver.scenario.start({})
    for _ in range(steps):
        driver.answer_something()
    return driver


@pytest.mark.parametrize("second", OPERATIONS)
@pytest.mark.parametrize("first", OPERATIONS)
def test_regress_conductor_11_any_operations_at_any_step_leave_a_workflow_that_ends(first: str, second: str) -> None:
    """Two operations, one after the other, at every step: every count stays true, and in the end nothing is stuck."""
    for step in range(STEPS + 1):
        for ends in (False, True):
            driver = _after(step)
            if ends and not driver.scenario.state.is_terminal:
                driver.scenario.terminate()
            OPERATIONS[first](driver.scenario)
            OPERATIONS[second](driver.scenario)
            driver.finish()
            assert driver.scenario.state.is_terminal


def test_regress_conductor_08_what_is_open_is_what_is_offered() -> None:
    """After each step of a run with a retry, a rerun and a jump, the queue holds the workers' open tasks, no others."""
    driver = _after(0)
    scenario = driver.scenario
    operations: list[Callable[[], object]] = [
        *(driver.answer_something,) * 3,
        scenario.terminate,
        scenario.retry,
        *(driver.answer_something,) * 2,
        lambda: scenario.jump("last"),
        lambda: scenario.jump("first"),
        scenario.terminate,
        lambda: scenario.rerun("first"),
        driver.finish,
    ]
    for operation in operations:
        operation()
        offered = {found.spec.seq for found in open_tasks(scenario.state) if found.spec.dispatch == "worker"}
        assert scenario.dispatched == offered
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize("shape", ["sequence", "fork"])
def test_regress_conductor_12_ten_thousand_tasks_run_to_the_end(shape: str) -> None:
    """Neither many tasks one after the other nor many at once stop a workflow."""
    tasks = [task(f"t{number}", name="t") for number in range(10_000)]
    if shape == "fork":
        tasks = [fork("fork", *([found] for found in tasks)), join("join")]
    shelf = Shelf()
    shelf.add(WorkflowDef(name="flow", tasks=tuple(tasks)))
    graphs = Graphs(shelf)
    context = DecideContext(now_ms=1, definitions=shelf)
    decision = decide(None, StartWorkflow(name="flow", workflow_id=WF), context, graphs)
    assert isinstance(decision, Accepted)
    events = list(decision.events)
    ended = 0
    while not decision.state.is_terminal:
        seq = decision.state.last_seq if shape == "sequence" else TaskSeq(2 + ended)
        decision = decide(decision.state, result(seq), context, graphs)
        assert isinstance(decision, Accepted)
        events.extend(decision.events)
        ended += 1
    assert (decision.state.status.value, ended) == ("COMPLETED", 10_000)
    assert fold(events) == decision.state
