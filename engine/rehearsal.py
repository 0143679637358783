"""A rehearsal: workflows run through the real decider, with prepared answers for workers and time that is skipped.

Holds the rehearsed workflows, what is still to happen to them and a clock that jumps from one happening to the next.
Must not wait, nor run a script: what only a script can say is asked for, and somebody answers. Keeps the invariants
that everything is bounded, and that nothing in it can tell a rehearsal from the real thing but the passing of time.

Nothing is stored: there is no log. Every sub-workflow and every started workflow is run too, each as its own state.
"""

import heapq
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Final, TypeAlias

import msgspec

from engine.commands import (
    ClaimTask,
    Command,
    FireTimer,
    ReportChildEnd,
    StartWorkflow,
    workflow_of,
)
from engine.context import NO_VALIDATOR, DecideContext, DefinitionSource
from engine.deadlines import next_deadline_ms
from engine.decider import decide
from engine.dispatch import TO_SCRIPT, TO_WORKER
from engine.effects import ArmTimer, DisarmTimer, DispatchTask, Effect, SendCommand
from engine.events import Event, TaskStarted
from engine.graph import Graph, Graphs
from engine.idempotency import notice_of_refused_start, notice_of_start
from engine.ids import TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject, JsonValue
from engine.limiter.commands import AcquireSlot, NoteSlotStart, ReleaseSlot
from engine.mocks import NO_MOCKS, MockCounter, Mocks, TaskFunction, TaskMock, answer_of
from engine.model import EndedTask, OpenTask, RunningTask, WorkflowState
from engine.outward import effects_of
from engine.rehearsed_commands import REHEARSAL_WORKER, granted, report, same
from engine.rehearsed_keys import RehearsedKeys
from engine.rejections import Rejected
from engine.scheduling import ENGINE_WORKER
from engine.schemas import SchemaValidator
from engine.scripts import ScriptRequest, script_of
from engine.status import TaskStatus, WorkflowStatus
from engine.tasks.registry import behaviour_of
from engine.waiting import workflow_waits_for

_SIGNALLED: Final = frozenset({"WAIT", "HUMAN", "YIELD"})
_STATUS_OF_CHILD: Final = {
    TaskStatus.COMPLETED: WorkflowStatus.COMPLETED,
    TaskStatus.FAILED: WorkflowStatus.FAILED,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: WorkflowStatus.TERMINATED,
}
"""How the sub-workflow of a mocked SUB_WORKFLOW task has ended; a terminated one is not started again."""


class RehearsalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rehearsal goes."""

    decisions_max: int = 20_000
    virtual_ms_max: int = 10 * 366 * 86_400_000
    """Time that is skipped: ten years, so that no WAIT which somebody means is cut off."""
    workflows_max: int = 2_000
    """The workflow itself, its sub-workflows and what they start."""


USUAL_LIMITS: Final = RehearsalLimits()


class RehearsalEnd(StrEnum):
    """Why a rehearsal goes no further."""

    ENDED = "ENDED"
    """The workflow has ended."""
    WAITING = "WAITING"
    """It waits for something that nobody has prepared."""
    DECISIONS = "DECISIONS"
    TIME = "TIME"
    WORKFLOWS = "WORKFLOWS"


class AskedScript(msgspec.Struct, frozen=True, kw_only=True):
    """A script that the rehearsal waits for."""

    attempt: TaskId
    workflow_id: WorkflowId
    request: ScriptRequest


_Happening: TypeAlias = Callable[[], Command | None]


class Rehearsal:
    """One workflow and all that it starts: `start`, then `advance` and `answer` in turns until it goes no further."""

    def __init__(
        self,
        definitions: DefinitionSource,
        *,
        now_ms: int,
        mocks: Mocks = NO_MOCKS,
        workers: Mapping[str, TaskFunction] = {},
        limits: RehearsalLimits = USUAL_LIMITS,
        schemas: SchemaValidator = NO_VALIDATOR,
    ) -> None:
        """Begin with nothing. `workers` answer for whole task types, where `mocks` have no answer."""
        self.now_ms = now_ms
        self.decisions = 0
        self.states: dict[WorkflowId, WorkflowState] = {}
        """Every workflow so far; the first is the one that was started."""
        self.asked: dict[tuple[TaskId, int], AskedScript] = {}
        self.refused: Rejected | None = None
        """Why the workflow could not be started."""
        self._definitions = definitions
        self._graphs = Graphs(definitions)
        self._schemas = schemas
        self._keys = RehearsedKeys()
        self._limits = limits
        self._until_ms = now_ms + limits.virtual_ms_max
        self._mocks: dict[WorkflowId, Mocks] = {}
        self._first_mocks = mocks
        self._workers = workers
        self._used = MockCounter()
        self._timers: dict[tuple[WorkflowId, TaskSeq], int] = {}
        self._happenings: list[tuple[int, int, int, _Happening]] = []
        self._happened = 0
        self._root = WorkflowId("")
        self._limit: RehearsalEnd | None = None

    @property
    def state(self) -> WorkflowState:
        """The workflow that was started, as it is now."""
        return self.states[self._root]

    def graph(self, state: WorkflowState) -> Graph:
        """Return the compiled definition that a workflow runs by."""
        return self._graphs.of(state.started)

    # ---- what one does with it

    def start(self, command: StartWorkflow, *, workflow_id: WorkflowId = WorkflowId("rehearsal")) -> None:
        """Start the workflow under an id. `refused` says why it could not be, if so."""
        self._root = workflow_id
        self._mocks[workflow_id] = self._first_mocks
        self._deliver(msgspec.structs.replace(command, workflow_id=workflow_id))

    def advance(self, decisions: int) -> bool:
        """Go on for so many decisions; tell whether there is more to do, without any answer from outside."""
        for _ in range(decisions):
            if self.refused is not None or self._limit is not None or not self._go_on():
                return False
        return True

    def scripts(self) -> list[AskedScript]:
        """Return what has to be answered before it can go on."""
        return list(self.asked.values()) if self.refused is None and self.end() is RehearsalEnd.WAITING else []

    def answer(self, asked: AskedScript, value: JsonValue = None, *, failure: str = "") -> None:
        """Say what a script came to; with a `failure` it has no value."""
        iteration = asked.request.iteration
        self.asked.pop((asked.attempt, iteration), None)
        output: JsonObject = {"iteration": iteration} if iteration else {}
        if not failure:
            output["result"] = value
        status = TaskStatus.FAILED if failure else TaskStatus.COMPLETED
        mock = TaskMock(status=status, output=output, reason=failure)
        told = report(asked.workflow_id, asked.attempt, mock, worker_id=ENGINE_WORKER)
        self._happen(self.now_ms, lambda: told)

    def end(self) -> RehearsalEnd:
        """Return why it goes no further."""
        if self._limit is not None:
            return self._limit
        return RehearsalEnd.ENDED if self.state.is_terminal else RehearsalEnd.WAITING

    def sentence(self) -> str:
        """Return the same in words."""
        match self.end():
            case RehearsalEnd.ENDED:
                return f"the workflow is {self.state.status}"
            case RehearsalEnd.WAITING:
                reason = workflow_waits_for(self.state, self.graph(self.state))
                sentence = "" if reason is None else reason.sentence(self.now_ms)
                return f"nothing is prepared for what the workflow waits for: {sentence}"
            case RehearsalEnd.DECISIONS:
                return f"stopped after {self.decisions} decisions, the most that a rehearsal may take"
            case RehearsalEnd.TIME:
                return (
                    f"stopped: the next thing would happen more than {self._limits.virtual_ms_max} ms after the start"
                )
            case RehearsalEnd.WORKFLOWS:
                return f"stopped after {len(self.states)} workflows, the most that a rehearsal may start"

    # ---- what happens

    def _go_on(self) -> bool:
        if not self._happenings:
            return False
        at_ms = self._happenings[0][0]
        if at_ms > self.now_ms and (self.asked or self.state.is_terminal):
            return False  # a script takes no time; and what comes after the end is not looked at
        if at_ms > self._until_ms:
            self._limit = RehearsalEnd.TIME
            return False
        happening = heapq.heappop(self._happenings)[-1]
        self.now_ms = max(self.now_ms, at_ms)
        command = happening()
        if command is not None:
            self._deliver(command)
        return True

    def _happen(self, at_ms: int, happening: _Happening, *, is_timer: bool = False) -> None:
        """Note what is to happen. At one instant workers come before timers: who is just in time is in time."""
        self._happened += 1
        heapq.heappush(self._happenings, (at_ms, int(is_timer), self._happened, happening))

    def _deliver(self, command: Command) -> None:
        if self.decisions >= self._limits.decisions_max:
            self._limit = RehearsalEnd.DECISIONS
            return
        self.decisions += 1
        workflow_id = asked = workflow_of(command) or WorkflowId("")
        if isinstance(command, StartWorkflow) and command.workflow_id is None:
            settled = self._keys.settle(command, asked, self.states)
            if isinstance(settled, Rejected):
                self._take_refusal(command, settled)
                return
            workflow_id = settled
            self._mocks.setdefault(workflow_id, self._mocks.get(asked, NO_MOCKS))
            self._tell(*notice_of_start(command, asked, workflow_id))
            command = msgspec.structs.replace(command, workflow_id=workflow_id)
        before = self.states.get(workflow_id)
        if before is None and len(self.states) >= self._limits.workflows_max:
            self._limit = RehearsalEnd.WORKFLOWS
            return
        context = DecideContext(now_ms=self.now_ms, definitions=self._definitions, schemas=self._schemas)
        decision = decide(before, command, context, self._graphs)
        if isinstance(decision, Rejected):
            self._take_refusal(command, decision)
            return
        self.states[workflow_id] = decision.state
        for event in decision.events:
            self._notice(decision.state, event)
            for effect in effects_of(event, decision.state):
                self._perform(decision.state, effect)
        if isinstance(command, FireTimer) and not decision.events:
            self._look_again(decision.state, command.task_seq)

    def _take_refusal(self, command: Command, refusal: Rejected) -> None:
        if not isinstance(command, StartWorkflow):
            return  # as in a server: whoever sent it is told, and nothing changes
        if command.workflow_id == self._root:
            self.refused = refusal
        self._tell(*notice_of_refused_start(command, workflow_of(command) or WorkflowId(""), refusal))

    def _tell(self, *commands: Command) -> None:
        for command in commands:
            self._happen(self.now_ms, partial(same, command))

    def _notice(self, state: WorkflowState, event: Event) -> None:
        """Answer what nobody is told of: a task that waits for people or events begins."""
        if not isinstance(event, TaskStarted):
            return
        task = state.tasks.get(event.seq)
        if isinstance(task, RunningTask) and task.spec.type in _SIGNALLED and not task.spec.dispatch:
            self._work(state, task)

    def _perform(self, state: WorkflowState, effect: Effect) -> None:
        match effect:
            case DispatchTask():
                task = state.tasks[effect.seq]
                if not isinstance(task, EndedTask) and not self._work(state, task) and task.spec.dispatch == TO_SCRIPT:
                    self._ask(state, task)
            case ArmTimer():
                self._arm(state.workflow_id, effect.seq, effect.due_at_ms)
            case DisarmTimer():
                self._timers.pop((state.workflow_id, effect.seq), None)
            case SendCommand():
                self._send(state, effect.command)
            case _:
                pass

    # ---- timers

    def _arm(self, workflow_id: WorkflowId, seq: TaskSeq, due_at_ms: int) -> None:
        self._timers[workflow_id, seq] = due_at_ms

        def fire() -> Command | None:
            if self._timers.get((workflow_id, seq)) != due_at_ms:
                return None
            del self._timers[workflow_id, seq]
            return FireTimer(workflow_id=workflow_id, task_seq=seq)

        self._happen(due_at_ms, fire, is_timer=True)

    def _look_again(self, state: WorkflowState, seq: TaskSeq) -> None:
        """Arm the next deadline of a task whose timer changed nothing, because its policy is ALERT_ONLY."""
        task = state.tasks.get(seq)
        if task is None or isinstance(task, EndedTask) or state.status is not WorkflowStatus.RUNNING:
            return
        again_at_ms = next_deadline_ms(task, after_ms=self.now_ms)
        if again_at_ms is not None:
            self._arm(state.workflow_id, seq, again_at_ms)

    # ---- answers

    def _work(self, state: WorkflowState, task: OpenTask) -> bool:
        """Let the prepared answer to a task happen, and tell whether there is one."""
        if behaviour_of(task.spec.type).of_podium and task.spec.dispatch != TO_WORKER:
            return False
        answer = self._answer(state, task)
        if answer is None:
            return False
        workflow_id = state.workflow_id
        attempt = task_id(workflow_id, task.spec.seq)
        given = task.spec.input

        def begin() -> Command:
            mock = answer if isinstance(answer, TaskMock) else answer_of(answer, given)
            self._happen(self.now_ms + mock.execution_ms, lambda: report(workflow_id, attempt, mock))
            return ClaimTask(workflow_instance_id=workflow_id, task_id=attempt, worker_id=REHEARSAL_WORKER)

        wait_ms = answer.queue_wait_ms if isinstance(answer, TaskMock) else 0
        self._happen(self.now_ms + wait_ms, begin)
        return True

    def _answer(self, state: WorkflowState, task: OpenTask) -> TaskMock | TaskFunction | None:
        spec = task.spec
        answer = self._used.take(state.workflow_id, self._mocks[state.workflow_id], spec.ref, spec.node)
        return self._workers.get(spec.type) if answer is None and spec.dispatch == TO_WORKER else answer

    def _ask(self, state: WorkflowState, task: OpenTask) -> None:
        request = script_of(state, task, self.graph(state))
        attempt = task_id(state.workflow_id, task.spec.seq)
        asked = AskedScript(attempt=attempt, workflow_id=state.workflow_id, request=request)
        self.asked[attempt, request.iteration] = asked

    # ---- other workflows

    def _send(self, state: WorkflowState, command: Command) -> None:
        if isinstance(command, StartWorkflow):
            if self._mock_child(state, command):
                return
            self._mocks.setdefault(workflow_of(command) or WorkflowId(""), self._mocks_of_child(state, command))
        if isinstance(command, AcquireSlot):
            self._tell(granted(command))  # nobody else is there to have it
        elif not isinstance(command, NoteSlotStart | ReleaseSlot):
            self._tell(command)

    def _mocks_of_child(self, state: WorkflowState, command: StartWorkflow) -> Mocks:
        if command.parent is None:
            return NO_MOCKS
        spec = state.tasks[command.parent.task_seq].spec
        found = self._mocks[state.workflow_id].sub_workflows
        return found.get(spec.ref) or found.get(spec.node) or NO_MOCKS

    def _mock_child(self, state: WorkflowState, command: StartWorkflow) -> bool:
        """Let the prepared end of a sub-workflow happen instead of the sub-workflow, and tell whether there is one."""
        task = None if command.parent is None else state.tasks[command.parent.task_seq]
        if task is None or isinstance(task, EndedTask):
            return False
        answer = self._answer(state, task)
        if answer is None:
            return False
        mock = answer if isinstance(answer, TaskMock) else answer_of(answer, task.spec.input)
        status = _STATUS_OF_CHILD.get(mock.status)
        if status is not None:
            child_end = ReportChildEnd(
                workflow_id=state.workflow_id,
                task_seq=task.spec.seq,
                child_id=workflow_of(command) or WorkflowId(""),
                status=status,
                output=mock.output,
                reason=mock.reason,
            )
            self._happen(self.now_ms + mock.queue_wait_ms + mock.execution_ms, lambda: child_end)
        return True
