"""Step by step through a workflow: given this, when that, then so.

Holds `Scenario`, which runs commands through the real decider on a clock that only moves when told. No server, no
waiting. Must not know any test framework. Keeps the invariants that after every command the live state equals the fold
of all events, and that every change of a status is one that `engine.status` allows.

    scenario = Scenario(workflow_definition)
    scenario.start({"videoId": "v1"})
    scenario.complete("validate_input_ref", {"ok": True})
    assert scenario.status == "RUNNING"
"""

from collections.abc import Sequence

import msgspec

from engine.applier import fold
from engine.commands import (
    ClaimTask,
    Command,
    EvaluateWorkflow,
    FireTimer,
    JumpToTask,
    PauseWorkflow,
    ReportChildEnd,
    ReportTaskResult,
    RerunWorkflow,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    ReviveTask,
    SendMessage,
    SkipTask,
    StartWorkflow,
    TerminateWorkflow,
    UpdateTaskByRef,
)
from engine.context import NO_CACHE, NO_LISTENERS, NO_VALIDATOR, DecideContext, EngineLimits, Listeners, OutputCache
from engine.deadlines import next_deadline_ms
from engine.decider import decide
from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.effects import ArmTimer, DisarmTimer, DispatchTask, Effect, PublishMessage, RetractTask, SendCommand
from engine.errors import EngineError
from engine.events import Event
from engine.graph import Graph, Graphs
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import EndedTask, Task, WorkflowState, open_tasks, status_of
from engine.outward import effects_of
from engine.rejections import Accepted, Decision, Rejected
from engine.schemas import SchemaValidator
from engine.shelf import Shelf
from engine.status import TaskStatus, WorkflowStatus
from engine.transitions import first_illegal_change


class ScenarioBroken(EngineError):
    """A scenario asks for something that is not there. The message says what is."""


class Scenario:
    """One workflow, driven by hand. `now_ms` moves only by `wait`.

    `effects` are those of the last command; `sent` are all commands for other workflows so far, `published` all
    messages to listeners. `dispatched` and `timers` are what a shell would now hold because of the effects, and nothing
    else.
    """

    def __init__(
        self,
        definition: WorkflowDef,
        *others: WorkflowDef | TaskDef | SchemaDef,
        workflow_id: str = "wf",
        now_ms: int = 1_000_000,
        noise: float = 0.0,
        limits: EngineLimits = EngineLimits(),
        schemas: SchemaValidator = NO_VALIDATOR,
        cache: OutputCache = NO_CACHE,
        listeners: Listeners = NO_LISTENERS,
    ) -> None:
        """Register the definitions; the first is the one that `start` runs."""
        self.shelf = Shelf()
        self.shelf.add(*others, definition)
        self.definition = definition
        self.workflow_id = WorkflowId(workflow_id)
        self.now_ms = now_ms
        self.noise = noise
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.sent: list[Command] = []
        self.published: list[PublishMessage] = []
        self.dispatched: set[TaskSeq] = set()
        self.timers: dict[TaskSeq, int] = {}
        self._state: WorkflowState | None = None
        self._graphs = Graphs(self.shelf)
        self._fixed = DecideContext(
            now_ms=now_ms, definitions=self.shelf, limits=limits, schemas=schemas, cache=cache, listeners=listeners
        )

    # ---- what is there

    @property
    def state(self) -> WorkflowState:
        """The workflow as it is now."""
        if self._state is None:
            raise ScenarioBroken(f"workflow {self.workflow_id} has not been started: call start() first")
        return self._state

    @property
    def graph(self) -> Graph:
        """The compiled definition that the workflow runs by now."""
        return self._graphs.of(self.state.started)

    @property
    def is_started(self) -> bool:
        """Whether there is a workflow yet."""
        return self._state is not None

    @property
    def status(self) -> str:
        """The workflow's status as the wire spells it."""
        return self.state.status.value

    @property
    def output(self) -> JsonObject:
        """The workflow's output."""
        return self.state.output

    def open_refs(self) -> list[str]:
        """Return the refs of the open tasks, oldest first."""
        return [task.spec.ref for task in open_tasks(self.state)]

    def task(self, ref: str) -> Task:
        """Return the newest attempt of a ref."""
        found = self.state.task(RefName(ref))
        if found is None:
            raise ScenarioBroken(f"task {ref} was never scheduled; there are: {sorted(self.state.latest)}")
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of the newest attempt of each ref, in the order in which the refs were first scheduled."""
        refs = dict.fromkeys(task.spec.ref for _, task in sorted(self.state.tasks.items()))
        return {ref: status_of(self.task(ref)).value for ref in refs}

    # ---- what happens

    def context(self) -> DecideContext:
        """Return what a decision gets to know now."""
        return msgspec.structs.replace(self._fixed, now_ms=self.now_ms, noise=self.noise)

    def when(self, command: Command) -> Decision:
        """Decide about a command and take its events."""
        before = self._state
        decision = decide(before, command, self.context(), self._graphs)
        self.effects = []
        if isinstance(decision, Accepted):
            self.events.extend(decision.events)
            self._state = decision.state
            for event in decision.events:
                for effect in effects_of(event, decision.state):
                    self._perform(effect)
            self._check(before, decision.events)
        return decision

    def start(self, workflow_input: JsonObject | None = None, **fields: object) -> Decision:
        """Start the scenario's workflow. `fields` are further ones of `StartWorkflow`."""
        return self.when(
            StartWorkflow(
                workflow_id=self.workflow_id,
                name=self.definition.name,
                version=self.definition.version,
                input=workflow_input,
                **fields,  # type: ignore[arg-type]  # the struct checks them
            )
        )

    def claim(self, ref: str, worker_id: str = "w1", *, claimed_at_ms: int = 0) -> Decision:
        """Let a worker begin the newest attempt of a ref."""
        return self.when(
            ClaimTask(
                workflow_instance_id=self.workflow_id,
                task_id=self._task_id(ref),
                worker_id=worker_id,
                claimed_at_ms=claimed_at_ms,
            )
        )

    def complete(self, ref: str, output: JsonObject | None = None) -> Decision:
        """Report the newest attempt of a ref as COMPLETED."""
        return self.report(ref, TaskStatus.COMPLETED, output=output)

    def fail(self, ref: str, reason: str = "", *, terminal: bool = False) -> Decision:
        """Report the newest attempt of a ref as FAILED, for ever if `terminal`."""
        status = TaskStatus.FAILED_WITH_TERMINAL_ERROR if terminal else TaskStatus.FAILED
        return self.report(ref, status, reason=reason)

    def report(
        self,
        ref: str,
        status: TaskStatus | None,
        *,
        output: JsonObject | None = None,
        reason: str | None = None,
        seq: int | None = None,
        worker_id: str = "w1",
        **fields: object,
    ) -> Decision:
        """Report on an attempt of a ref, the newest unless `seq` names another."""
        return self.when(
            ReportTaskResult(
                workflow_instance_id=self.workflow_id,
                task_id=self._task_id(ref) if seq is None else task_id(self.workflow_id, TaskSeq(seq)),
                status=status,
                output_data=output,
                reason_for_incompletion=reason,
                worker_id=worker_id,
                **fields,  # type: ignore[arg-type]  # the struct checks them
            )
        )

    def update(
        self, ref: str | None, status: TaskStatus = TaskStatus.COMPLETED, output: JsonObject | None = None
    ) -> Decision:
        """Update the open task of a ref as a person would; None signals the first WAIT or HUMAN task."""
        ref_name = None if ref is None else RefName(ref)
        return self.when(
            UpdateTaskByRef(workflow_id=self.workflow_id, ref_name=ref_name, status=status, output=output or {})
        )

    def end_child(
        self,
        ref: str,
        status: WorkflowStatus = WorkflowStatus.COMPLETED,
        output: JsonObject | None = None,
        reason: str = "",
    ) -> Decision:
        """Say that the sub-workflow of the newest attempt of a ref has ended."""
        task = self.task(ref)
        if task.progress.child_id is None:
            raise ScenarioBroken(f"task {ref} has no sub-workflow: it is {status_of(task)}")
        return self.when(
            ReportChildEnd(
                workflow_id=self.workflow_id,
                task_seq=task.spec.seq,
                child_id=task.progress.child_id,
                status=status,
                output=output or {},
                reason=reason,
                child_run=task.progress.child_run,
                heard=task.progress.asked,
            )
        )

    def revive(self, ref: str, child_run: int | None = None) -> Decision:
        """Say that the sub-workflow of the newest attempt of a ref, which had ended, runs again."""
        task = self.task(ref)
        if task.progress.child_id is None:
            raise ScenarioBroken(f"task {ref} has no sub-workflow: it is {status_of(task)}")
        return self.when(
            ReviveTask(
                workflow_id=self.workflow_id,
                task_seq=task.spec.seq,
                child_id=task.progress.child_id,
                child_run=task.progress.child_run + 1 if child_run is None else child_run,
            )
        )

    def pause(self) -> Decision:
        """Pause the workflow."""
        return self.when(PauseWorkflow(workflow_id=self.workflow_id))

    def resume(self) -> Decision:
        """Let the workflow go on."""
        return self.when(ResumeWorkflow(workflow_id=self.workflow_id))

    def terminate(self, reason: str | None = None, *, trigger_failure_workflow: bool = False) -> Decision:
        """Terminate the workflow."""
        return self.when(
            TerminateWorkflow(
                workflow_id=self.workflow_id, reason=reason, trigger_failure_workflow=trigger_failure_workflow
            )
        )

    def retry(self, *, resume: bool = False) -> Decision:
        """Retry the ended workflow, in its sub-workflows if these are to be resumed."""
        return self.when(RetryWorkflow(workflow_id=self.workflow_id, resume_subworkflow_tasks=resume))

    def rerun(self, ref: str | None = None, *, given: JsonObject | None = None, **fields: object) -> Decision:
        """Run the ended workflow again from the newest attempt of a ref on, or from its beginning."""
        return self.when(
            RerunWorkflow(
                workflow_id=self.workflow_id,
                re_run_from_task_id=None if ref is None else self._task_id(ref),
                task_input=given,
                **fields,  # type: ignore[arg-type]  # the struct checks them
            )
        )

    def jump(self, ref: str, given: JsonObject | None = None) -> Decision:
        """Go on with a task."""
        return self.when(JumpToTask(workflow_id=self.workflow_id, task_reference_name=RefName(ref), task_input=given))

    def restart(self, *, use_latest_definitions: bool = False) -> Decision:
        """Restart the ended workflow."""
        return self.when(RestartWorkflow(workflow_id=self.workflow_id, use_latest_definitions=use_latest_definitions))

    def skip(self, ref: str, *, given: JsonObject | None = None, output: JsonObject | None = None) -> Decision:
        """Skip a task that has not been scheduled yet."""
        return self.when(
            SkipTask(
                workflow_id=self.workflow_id, task_reference_name=RefName(ref), task_input=given, task_output=output
            )
        )

    def send(self, message_id: str, payload: JsonObject | None = None) -> Decision:
        """Send the workflow a message."""
        return self.when(SendMessage(workflow_id=self.workflow_id, message_id=message_id, payload=payload or {}))

    def evaluate(self) -> Decision:
        """Look whether anything is due."""
        return self.when(EvaluateWorkflow(workflow_id=self.workflow_id))

    def wait(self, duration_ms: int) -> None:
        """Let time pass, firing each armed timer at its instant."""
        until_ms = self.now_ms + duration_ms
        while self.timers:
            due_at_ms, seq = min((due, seq) for seq, due in self.timers.items())
            if due_at_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, due_at_ms)
            self._fire(seq)
        self.now_ms = until_ms

    # ---- how it is done

    def _fire(self, seq: TaskSeq) -> None:
        """Fire a timer. One that changed nothing, because its policy is ALERT_ONLY, is armed for the next deadline."""
        del self.timers[seq]
        decision = self.when(FireTimer(workflow_id=self.workflow_id, task_seq=seq))
        task = self.state.tasks.get(seq)
        if task is None or isinstance(task, EndedTask) or (isinstance(decision, Accepted) and decision.events):
            return
        again_at_ms = next_deadline_ms(task, after_ms=self.now_ms)
        if again_at_ms is not None and self.state.status is WorkflowStatus.RUNNING:
            self.timers[seq] = again_at_ms

    def _perform(self, effect: Effect) -> None:
        self.effects.append(effect)
        match effect:
            case DispatchTask():
                self.dispatched.add(effect.seq)
            case RetractTask():
                self.dispatched.discard(effect.seq)
            case ArmTimer():
                self.timers[effect.seq] = effect.due_at_ms
            case DisarmTimer():
                self.timers.pop(effect.seq, None)
            case SendCommand():
                self.sent.append(effect.command)
            case PublishMessage():
                self.published.append(effect)
            case _:
                pass

    def _task_id(self, ref: str) -> TaskId:
        return task_id(self.workflow_id, self.task(ref).spec.seq)

    def _check(self, before: WorkflowState | None, events: Sequence[Event]) -> None:
        if not events:
            return
        if fold(self.events) != self._state:
            raise ScenarioBroken(f"the fold of {len(self.events)} events differs from the state after {events[-1]!r}")
        illegal = first_illegal_change(before, events)
        if illegal:
            raise ScenarioBroken(illegal)


def refusal(decision: Decision) -> Rejected:
    """Return a decision as the refusal that it must be."""
    if isinstance(decision, Rejected):
        return decision
    raise ScenarioBroken(f"a refusal was expected, but these events were accepted: {decision.events}")
