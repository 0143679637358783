"""A kit for tests of workflows and of the engine: given this, when that, then so.

Holds `Scenario`, which runs commands through the real decider on a clock that only moves when told. No server, no
waiting. Must not know any test framework. Keeps the invariants that after every
command the live state equals the fold of all events, and that every change of a status is one that `engine.status`
allows.

    scenario = Scenario(workflow_definition)
    scenario.start({"videoId": "v1"})
    scenario.complete("validate_input_ref", {"ok": True})
    assert scenario.status == "RUNNING"
"""

from collections.abc import Sequence

from engine.applier import apply, fold
from engine.commands import (
    ClaimTask,
    Command,
    EvaluateWorkflow,
    FireTimer,
    PauseWorkflow,
    ReportChildEnd,
    ReportTaskResult,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    SkipTask,
    StartWorkflow,
    TerminateWorkflow,
    UpdateTaskByRef,
)
from engine.context import DecideContext, EngineLimits, NoCache, OutputCache
from engine.deadlines import next_deadline_ms
from engine.decider import decide
from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.effects import ArmTimer, DisarmTimer, DispatchTask, Effect, RetractTask, SendCommand
from engine.errors import EngineError
from engine.events import Event
from engine.graph import Graphs
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.model import EndedTask, Task, WorkflowState, open_tasks, status_of
from engine.outward import effects_of
from engine.rejections import Accepted, Decision, Rejected
from engine.schemas import NoValidator, SchemaValidator
from engine.shelf import Shelf
from engine.status import TASK_TRANSITIONS, WORKFLOW_TRANSITIONS, TaskStatus, WorkflowStatus

__all__ = ["Scenario", "ScenarioBroken", "Shelf", "illegal_change", "refusal"]


class ScenarioBroken(EngineError):
    """A scenario asks for something that is not there. The message says what is."""


class Scenario:
    """One workflow, driven by hand. `now_ms` moves only by `wait`.

    `effects` are those of the last command; `sent` are all commands for other workflows so far. `dispatched` and
    `timers` are what a shell would now hold because of the effects, and nothing else.
    """

    def __init__(
        self,
        definition: WorkflowDef,
        *others: WorkflowDef | TaskDef | SchemaDef,
        workflow_id: str = "wf",
        now_ms: int = 1_000_000,
        noise: float = 0.0,
        limits: EngineLimits = EngineLimits(),
        schemas: SchemaValidator | None = None,
        cache: OutputCache | None = None,
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
        self.dispatched: set[TaskSeq] = set()
        self.timers: dict[TaskSeq, int] = {}
        self._state: WorkflowState | None = None
        self._graphs = Graphs(self.shelf)
        self._limits = limits
        self._schemas = NoValidator() if schemas is None else schemas
        self._cache = NoCache() if cache is None else cache

    # ---- what is there

    @property
    def state(self) -> WorkflowState:
        """The workflow as it is now."""
        if self._state is None:
            message = f"workflow {self.workflow_id} has not been started: call start() first"
            raise ScenarioBroken(message)
        return self._state

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
            message = f"task {ref} was never scheduled; there are: {sorted(self.state.latest)}"
            raise ScenarioBroken(message)
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of the newest attempt of each ref, in the order in which the refs were first scheduled."""
        refs = dict.fromkeys(task.spec.ref for _, task in sorted(self.state.tasks.items()))
        return {ref: status_of(self.task(ref)).value for ref in refs}

    # ---- what happens

    def when(self, command: Command) -> Decision:
        """Decide about a command and take its events."""
        context = DecideContext(
            now_ms=self.now_ms,
            definitions=self.shelf,
            limits=self._limits,
            noise=self.noise,
            schemas=self._schemas,
            cache=self._cache,
        )
        before = self._state
        decision = decide(before, command, context, self._graphs)
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
            message = f"task {ref} has no sub-workflow: it is {status_of(task)}"
            raise ScenarioBroken(message)
        return self.when(
            ReportChildEnd(
                workflow_id=self.workflow_id,
                task_seq=task.spec.seq,
                child_id=task.progress.child_id,
                status=status,
                output=output or {},
                reason=reason,
            )
        )

    def pause(self) -> Decision:
        """Pause the workflow."""
        return self.when(PauseWorkflow(workflow_id=self.workflow_id))

    def resume(self) -> Decision:
        """Let the workflow go on."""
        return self.when(ResumeWorkflow(workflow_id=self.workflow_id))

    def terminate(self, reason: str | None = None) -> Decision:
        """Terminate the workflow."""
        return self.when(TerminateWorkflow(workflow_id=self.workflow_id, reason=reason))

    def retry(self) -> Decision:
        """Retry the ended workflow."""
        return self.when(RetryWorkflow(workflow_id=self.workflow_id))

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
            case _:
                pass

    def _task_id(self, ref: str) -> TaskId:
        return task_id(self.workflow_id, self.task(ref).spec.seq)

    def _check(self, before: WorkflowState | None, events: Sequence[Event]) -> None:
        if not events:
            return
        if fold(self.events) != self._state:
            message = f"the fold of {len(self.events)} events differs from the live state after {events[-1]!r}"
            raise ScenarioBroken(message)
        for event in events:
            after = apply(before, event)
            illegal = illegal_change(before, after, event)
            if illegal:
                raise ScenarioBroken(illegal)
            before = after


def refusal(decision: Decision) -> Rejected:
    """Return a decision as the refusal that it must be."""
    if isinstance(decision, Rejected):
        return decision
    message = f"a refusal was expected, but these events were accepted: {decision.events}"
    raise ScenarioBroken(message)


def illegal_change(before: WorkflowState | None, after: WorkflowState, event: Event) -> str:
    """Say which change of a status the tables of `engine.status` do not allow, or nothing."""
    if before is None:
        return "" if after.status is WorkflowStatus.RUNNING else f"a workflow begins as {after.status}"
    if after.status is not before.status and after.status not in WORKFLOW_TRANSITIONS[before.status]:
        return f"workflow {after.workflow_id} goes from {before.status} to {after.status} by {event!r}"
    seq = getattr(event, "seq", None)
    if seq is None or seq not in after.tasks:
        return ""
    now = status_of(after.tasks[seq])
    if seq not in before.tasks:
        return "" if now is TaskStatus.SCHEDULED else f"task {seq} of workflow {after.workflow_id} begins as {now}"
    then = status_of(before.tasks[seq])
    if now is not then and now not in TASK_TRANSITIONS[then]:
        return f"task {seq} of workflow {after.workflow_id} goes from {then} to {now} by {event!r}"
    return ""
