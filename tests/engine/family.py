"""A family of workflows: a parent, its sub-workflows, theirs, and what they tell each other.

Holds the states, and between each two of them the commands that are on their way. Must not decide: `decide` does. Keeps
the invariant that what one sends another arrives in its order, but when it likes, and possibly more than once: after a
crash an owner sends again everything that it does not know to have arrived, in the same order.
"""

from collections import deque
from random import Random

from msgspec.structs import replace

from engine.commands import (
    Command,
    ReportChildEnd,
    ReportTaskResult,
    ResumeChild,
    ReviveTask,
    StartWorkflow,
    TerminateWorkflow,
    workflow_of,
)
from engine.context import DecideContext
from engine.decider import decide
from engine.definitions import TaskDef, WorkflowDef
from engine.effects import SendCommand
from engine.errors import EngineError
from engine.events import Event
from engine.graph import Graphs
from engine.ids import WorkflowId, task_id
from engine.model import OpenTask, WorkflowState, open_tasks
from engine.outward import effects_of
from engine.rejections import Accepted, Decision
from engine.shelf import Shelf
from engine.status import TaskStatus

TOP = WorkflowId("top")
DELIVERIES_MAX = 5_000

_Way = tuple[WorkflowId, WorkflowId]


class FamilyBroken(EngineError):
    """Workflows of a family do not agree. The message says about what."""


class Family:
    """Workflows that start, end and revive each other."""

    def __init__(self, *definitions: WorkflowDef | TaskDef, random: Random | None = None) -> None:
        """The first definition is the one that `start` runs. With a `random`, commands come late and twice."""
        self.shelf = Shelf()
        self.shelf.add(*reversed(definitions))
        self._definition = definitions[0]
        self.states: dict[WorkflowId, WorkflowState] = {}
        self.events: dict[WorkflowId, list[Event]] = {}
        self.sent: list[Command] = []
        self.now_ms = 1_000_000
        self._random = random
        self._graphs = Graphs(self.shelf)
        self._ways: dict[_Way, deque[Command]] = {}
        self._arrived: dict[_Way, list[Command]] = {}

    def start(self) -> None:
        """Start the first definition, and everything that follows from it at once."""
        self.when(StartWorkflow(workflow_id=TOP, name=self._definition.name))

    def when(self, command: Command) -> Decision:
        """Decide about a command from outside; without a `random`, deliver what it leads to."""
        decision = self._decide(command)
        if self._random is None:
            self.deliver_all()
        return decision

    def state(self, *path: str) -> WorkflowState:
        """Return the workflow that the newest attempts of some refs, from the top down, have started."""
        workflow_id = TOP
        for ref in path:
            task = self.states[workflow_id].task(ref)  # type: ignore[arg-type]  # a ref is a text
            assert task is not None
            assert task.progress.child_id is not None
            workflow_id = task.progress.child_id
        return self.states[workflow_id]

    def report(self, path: tuple[str, ...], ref: str, status: TaskStatus = TaskStatus.COMPLETED) -> Decision:
        """Report on the newest attempt of a ref of a workflow."""
        state = self.state(*path)
        task = state.task(ref)  # type: ignore[arg-type]  # a ref is a text
        assert task is not None
        return self.report_on(state, task, status)  # type: ignore[arg-type]  # open or not, the decider says

    def report_on(self, state: WorkflowState, task: OpenTask, status: TaskStatus) -> Decision:
        """Report on an attempt."""
        return self.when(
            ReportTaskResult(
                workflow_instance_id=state.workflow_id, task_id=task_id(state.workflow_id, task.spec.seq), status=status
            )
        )

    def deliver_all(self) -> None:
        """Deliver everything that is on its way, and what follows from it."""
        for _ in range(DELIVERIES_MAX):
            if not self.deliver_one():
                return
        raise FamilyBroken(f"after {DELIVERIES_MAX} commands they still talk: {self._ways}")

    def deliver_one(self) -> bool:
        """Deliver the next command of some sender to some receiver; tell whether there was one."""
        ways = [way for way, commands in self._ways.items() if commands]
        if not ways:
            return False
        way = ways[0] if self._random is None else self._random.choice(ways)
        command = self._ways[way].popleft()
        self._arrived.setdefault(way, []).append(command)
        self._decide(command)
        return True

    def crash(self, sender: WorkflowId) -> None:
        """Let the owner of a workflow crash: the next one sends again the last things that arrived, in their order."""
        assert self._random is not None
        for way, arrived in self._arrived.items():
            if way[0] == sender and arrived:
                again = arrived[-self._random.randint(1, 4) :]
                self._ways[way].extendleft(reversed(again))

    def disagreements(self) -> list[str]:
        """Return what parents and children do not agree about, once nothing is on its way any more."""
        found: list[str] = []
        for state in self.states.values():
            for task in open_tasks(state):
                child_id = task.progress.child_id
                child = None if child_id is None else self.states.get(child_id)
                if child is not None and child.is_terminal:
                    found.append(f"{state.workflow_id} waits for {child_id}, which is {child.status}")
            if state.is_terminal and open_tasks(state):
                found.append(f"{state.workflow_id} is {state.status} with open tasks")
        return found

    def open_work(self) -> list[tuple[WorkflowState, OpenTask]]:
        """Return the open tasks that workers can end."""
        return [
            (state, task)
            for state in self.states.values()
            for task in open_tasks(state)
            if task.spec.dispatch == "worker"
        ]

    def _decide(self, command: Command) -> Decision:
        workflow_id = workflow_of(command)
        assert workflow_id is not None
        if isinstance(command, StartWorkflow):
            command = replace(command, workflow_id=workflow_id)  # of a key: as the owner of the partition does
        self.now_ms += 1
        context = DecideContext(now_ms=self.now_ms, definitions=self.shelf)
        decision = decide(self.states.get(workflow_id), command, context, self._graphs)
        if isinstance(decision, Accepted):
            self.states[workflow_id] = decision.state
            self.events.setdefault(workflow_id, []).extend(decision.events)
            for event in decision.events:
                for effect in effects_of(event, decision.state):
                    if isinstance(effect, SendCommand):
                        self._send(workflow_id, effect.command)
        return decision

    def _send(self, sender: WorkflowId, command: Command) -> None:
        receiver = workflow_of(command)
        assert receiver is not None
        assert isinstance(command, StartWorkflow | ReportChildEnd | ReviveTask | ResumeChild | TerminateWorkflow)
        self.sent.append(command)
        self._ways.setdefault((sender, receiver), deque()).append(command)
