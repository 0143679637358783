"""Claims about cost: a decision in a large workflow takes the steps that it takes in a small one.

Counts bytecode instructions, not time: the count is the same on any machine, however busy it is. What one instruction
hides (a persistent map that is a level deeper) is measured by the benchmarks.
"""

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from engine.commands import (
    ClaimTask,
    Command,
    EvaluateWorkflow,
    FireTimer,
    PauseWorkflow,
    ReportTaskResult,
    StartWorkflow,
    UpdateTaskByRef,
)
from engine.context import DecideContext
from engine.decider import decide
from engine.definitions import TaskDef, WorkflowDef
from engine.graph import Graphs
from engine.ids import RefName, TaskSeq, WorkflowId, task_id
from engine.model import WorkflowState
from engine.outward import effects_of
from engine.rejections import Accepted, Decision
from engine.status import TaskStatus
from engine.testing import Shelf
from tests.engine.building import fork, join, loop, task, task_def, workflow

SMALL, LARGE = 20, 2_000
WF = WorkflowId("wf")

Make = Callable[[int], tuple[WorkflowDef, Sequence[TaskDef]]]


def _sequence(size: int) -> tuple[WorkflowDef, Sequence[TaskDef]]:
    """Tasks one after the other, each with a definition of its own and an input from the one before."""
    tasks = [task(f"t{n}", input_parameters={"x": f"${{t{n - 1}.output.n}}"}) for n in range(size)]
    return workflow(*tasks), [task_def(f"t{n}") for n in range(size)]


def _fork(size: int) -> tuple[WorkflowDef, Sequence[TaskDef]]:
    """As many branches of two tasks, and a JOIN."""
    branches = [[task(f"t{n}", name="t"), task(f"u{n}", name="u")] for n in range(size)]
    return workflow(fork("f", *branches), join("j"), task("after")), [task_def("t"), task_def("u")]


def _loop(size: int) -> tuple[WorkflowDef, Sequence[TaskDef]]:
    """As many passes of a body of two tasks, each with an input from the pass before and the loop."""
    given = {"x": "${u.output.n}", "pass": "${l.output.iteration}"}
    body = [task("t", input_parameters=given), task("u")]
    return workflow(loop("l", f"$.l.iteration < {size} && $.u.n == 1", *body)), [task_def("t"), task_def("u")]


def _nested_loop(size: int) -> tuple[WorkflowDef, Sequence[TaskDef]]:
    """Loops in one another, three deep, the innermost of two passes, that forget what is older than a pass."""
    innermost = loop("k", "$.k.iteration < 2", task("t"))
    inner = loop("m", "$.m.iteration < 2", innermost)
    given = {"keepLastN": 1}
    return workflow(loop("l", f"$.l.iteration < {size}", inner, input_parameters=given)), [task_def("t")]


class _Run:
    """A workflow that is driven by bare decisions."""

    def __init__(self, definition: WorkflowDef, others: Sequence[TaskDef]) -> None:
        shelf = Shelf()
        shelf.add(definition, *others)
        self._context = DecideContext(now_ms=1_000, definitions=shelf)
        self._graphs = Graphs(shelf)
        self.state: WorkflowState | None = None
        self.when(StartWorkflow(workflow_id=WF, name=definition.name, input={}))

    def decision(self, command: Command) -> Decision:
        """Decide and derive the effects, as a shell does; take nothing."""
        decision = decide(self.state, command, self._context, self._graphs)
        assert isinstance(decision, Accepted)
        for event in decision.events:
            effects_of(event, decision.state)
        return decision

    def when(self, command: Command) -> None:
        """Take a decision."""
        decision = self.decision(command)
        assert isinstance(decision, Accepted)
        self.state = decision.state

    def seq(self, ref: str) -> TaskSeq:
        """Return the number of a ref's newest attempt."""
        assert self.state is not None
        return self.state.latest[RefName(ref)]


def _report(run: _Run, ref: str) -> Command:
    done = {"n": 1}
    attempt = task_id(WF, run.seq(ref))
    return ReportTaskResult(workflow_instance_id=WF, task_id=attempt, status=TaskStatus.COMPLETED, output_data=done)


COMMANDS: dict[str, Callable[[_Run, str], Command]] = {
    "report": _report,
    "failure": lambda run, ref: ReportTaskResult(
        workflow_instance_id=WF, task_id=task_id(WF, run.seq(ref)), status=TaskStatus.FAILED
    ),
    "claim": lambda run, ref: ClaimTask(workflow_instance_id=WF, task_id=task_id(WF, run.seq(ref)), worker_id="w"),
    "update": lambda _, ref: UpdateTaskByRef(workflow_id=WF, ref_name=RefName(ref), status=TaskStatus.COMPLETED),
    "late report": lambda *_: ReportTaskResult(
        workflow_instance_id=WF, task_id=task_id(WF, TaskSeq(1)), status=TaskStatus.COMPLETED
    ),
    "timer": lambda run, ref: FireTimer(workflow_id=WF, task_seq=run.seq(ref)),
    "pause": lambda *_: PauseWorkflow(workflow_id=WF),
}


def _instructions(work: Callable[[], object]) -> int:
    """Return how many bytecode instructions of the engine a piece of work executes.

    Others may run meanwhile: whoever has asked to be told of a collection of garbage.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 - as `sys.settrace` wants it
        nonlocal count
        if not frame.f_globals.get("__name__", "").startswith("engine."):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def _cost(make: Make, size: int, name: str) -> int:
    """Return what a command costs half way through a workflow of this size."""
    run = _Run(*make(size))
    for n in range(size // 2):
        run.when(_report(run, f"t{n}"))
    command = COMMANDS[name](run, f"t{size // 2}")
    run.decision(command)  # fills what is kept by identity: expressions, definitions
    return _instructions(lambda: run.decision(command))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("make", [_sequence, _fork])
def test_decision_costs_the_same_in_a_large_workflow(make: Make, name: str) -> None:
    """A hundred times the tasks, and not one step more."""
    assert _cost(make, LARGE, name) == _cost(make, SMALL, name)


def test_start_of_a_sequence_and_end_of_a_join_grow_no_faster_than_the_workflow() -> None:
    """What looks at everything does so once: ten times the branches cost about ten times the steps."""

    def last_branch(size: int) -> int:
        run = _Run(*_fork(size))
        for n in range(size):
            run.when(_report(run, f"t{n}"))
        for n in range(size - 1):
            run.when(_report(run, f"u{n}"))
        return _instructions(lambda: run.decision(_report(run, f"u{size - 1}")))

    assert last_branch(1_000) <= 10 * last_branch(100)


def _report_next(run: _Run) -> Command:
    """Return the report of the newest task, which is a worker's."""
    assert run.state is not None
    attempt = task_id(WF, run.state.last_seq)
    return ReportTaskResult(workflow_instance_id=WF, task_id=attempt, status=TaskStatus.COMPLETED, output_data={"n": 1})


@pytest.mark.parametrize(("make", "reports_per_pass"), [(_loop, 2), (_nested_loop, 4)])
def test_pass_of_a_loop_costs_the_same_however_many_have_been(make: Make, reports_per_pass: int) -> None:
    """Each report of a late pass costs what it costs in an early one, the one that ends the pass too."""
    run = _Run(*make(LARGE))
    costs: list[list[int]] = []
    for number in range(LARGE // 2 + 1):
        costs.append([])
        for _ in range(reports_per_pass):
            command = _report_next(run)
            if number in {9, LARGE // 2}:
                costs[-1].append(_instructions(lambda command=command: run.decision(command)))  # type: ignore[misc]
            run.when(command)
    assert costs[-1] == costs[9]


def test_loop_that_keeps_its_last_pass_stays_small_for_ten_thousand_passes() -> None:
    """Three loops in one another: the state after 10,000 passes is no larger than after ten, packed too."""
    run = _Run(*_nested_loop(2_500))
    sizes = []
    while run.state is not None and not run.state.is_terminal:
        run.when(_report_next(run))
        sizes.append(len(run.state.tasks) + len(run.state.scopes) + len(run.state.latest) + len(run.state.awaited))
    assert len(sizes) == 10_000
    assert max(sizes) == max(sizes[:20])


def test_end_of_a_long_loop_grows_no_faster_than_the_loop() -> None:
    """The outputs of all passes are put together once."""

    def last_report(size: int) -> int:
        run = _Run(*_loop(size))
        for _ in range(2 * size - 1):
            run.when(_report_next(run))
        command = _report_next(run)
        return _instructions(lambda: run.decision(command))

    assert last_report(1_000) <= 10 * last_report(100)


def test_counting_sees_work_that_grows() -> None:
    """A look at every task, as an evaluation takes it, is seen as what it is."""

    def evaluation(size: int) -> int:
        run = _Run(*_fork(size))
        return _instructions(lambda: run.decision(EvaluateWorkflow(workflow_id=WF)))

    assert evaluation(200) > 5 * evaluation(20)
