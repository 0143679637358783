"""Drives a random workflow: legal and illegal commands at random moments, then everything to its end.

Holds the drive and the checks after each command. Must not look into the engine: it works on what has been
dispatched, answers the children that were started and lets armed timers fire, as the world outside would. Keeps the
invariant that a run depends on nothing but its `Random`.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from engine.commands import (
    AnswerSlot,
    ClaimTask,
    Command,
    FireTimer,
    Parent,
    ReportChildEnd,
    ReportChildStart,
    ReportTaskResult,
    ResetCallbacks,
    ResumeChild,
    StartWorkflow,
    UpdateState,
    UpdateVariables,
    UpgradeWorkflow,
    workflow_of,
)
from engine.decider import decide
from engine.dispatch import TO_HTTP, TO_SCRIPT, TO_SINK
from engine.errors import EngineError
from engine.graph import Graphs, all_tasks
from engine.ids import RefName, TaskId, TaskSeq, WorkflowId, task_id
from engine.json_value import JsonObject
from engine.limiter.ids import limiter_id
from engine.model import OpenTask, PendingTask, RunningTask, WorkflowState, open_tasks
from engine.rejections import Accepted, Decision, Rejected
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario
from tests.engine.generator import Generated, another_version, generate
from tests.engine.invariants import violations

WILD_STEPS_MAX: Final = 100
"""Random commands before the workflow is brought to its end."""
CALM_STEPS_MAX: Final = 2_000
"""More than any workflow here needs; whoever gets there runs in a circle."""

_SIGNALLED: Final = frozenset({"WAIT", "HUMAN", "YIELD"})
_OUTCOMES: Final = (
    *(TaskStatus.COMPLETED,) * 9,
    *(TaskStatus.FAILED,) * 3,
    *(TaskStatus.IN_PROGRESS,) * 2,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR,
)
_ENDS: Final = (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.TIMED_OUT, WorkflowStatus.TERMINATED)


def _is_asked(state: WorkflowState, task: OpenTask) -> bool:
    """Tell whether somebody waits for an answer: a loop does so only between its passes."""
    return not task.spec.repeats or bool(state.loops[task.spec.seq])


class Wrong(EngineError):
    """An invariant does not hold. The message holds everything that is needed to see it again."""


class CheckedScenario(Scenario):
    """A scenario that checks every invariant after every command, and decides everything twice."""

    def when(self, command: Command) -> Decision:
        """Decide about a command, check, and take its events."""
        before = self._state
        decision = super().when(command)
        if decide(before, command, self.context(), Graphs(self.shelf)) != decision:
            raise Wrong(f"decided twice, this is not the same twice: {command}")
        if isinstance(decision, Accepted):
            found = violations(self, before, decision.events)
            if found:
                raise Wrong(f"after {command}: {'; '.join(found)}")
        return decision


class Driver:
    """One random run."""

    def __init__(self, random: Random, generated: Generated | None = None) -> None:
        """Make a definition and a scenario for it."""
        self._random = random
        self._generated = generated or generate(random)
        self.scenario = CheckedScenario(self._generated.definition, *self._generated.others)
        if random.random() < 0.5:
            self.scenario.shelf.add(another_version(random, self._generated.definition))
        self._refs = [found.task_reference_name for found in all_tasks(self._generated.definition.tasks)]
        self.commands = 0
        self.refused = 0

    def run(self) -> Scenario:
        """Run the workflow wildly, then to its end."""
        scenario = self.scenario
        parent = self._random.choice([None, Parent(workflow_id=WorkflowId("parent"), task_seq=TaskSeq(1))])
        scenario.start(self._generated.workflow_input, parent=parent)
        moves = self._moves()
        for _ in range(self._random.randint(0, WILD_STEPS_MAX)):
            scenario.noise = self._random.random()
            is_over = scenario.state.is_terminal and self._random.random() < 0.7
            decision = self._random.choice(self._reruns() if is_over else moves)()
            self.commands += 1
            self.refused += isinstance(decision, Rejected)
        self.finish()
        return scenario

    def finish(self) -> None:
        """Answer everything that asks until the workflow has ended."""
        scenario = self.scenario
        for _ in range(CALM_STEPS_MAX):
            if scenario.state.is_terminal:
                return
            if scenario.state.status is WorkflowStatus.PAUSED:
                scenario.resume()
            elif not self.answer_something() and self._grant() is None:
                raise Wrong(f"stuck: {scenario.open_refs()} are open, and nobody can do anything")
        raise Wrong(f"after {CALM_STEPS_MAX} answers the workflow has not ended: {scenario.open_refs()}")

    # ---- the world outside, being helpful

    def answer_something(self) -> bool:
        """Answer whatever asks first; tell whether anything did."""
        scenario = self.scenario
        for task in open_tasks(scenario.state):
            if task.spec.seq in scenario.dispatched and _is_asked(scenario.state, task):
                self._report(task, TaskStatus.COMPLETED)
                if isinstance(scenario.state.tasks.get(task.spec.seq), PendingTask | RunningTask):
                    scenario.update(task.spec.ref)  # an asyncComplete request has its answer; somebody ends the task
                return True
            if isinstance(task, RunningTask) and task.progress.child_id in self._children():
                scenario.end_child(task.spec.ref, output={"n": 2, "way": "x"})
                return True
            if isinstance(task, RunningTask) and task.spec.type == "START_WORKFLOW":
                self._tell_start(task, WorkflowId("begun"))
                return True
            if (
                isinstance(task, RunningTask)
                and task.spec.type in {"WAIT", "HUMAN", "YIELD"}
                and not task.spec.wakes_at_ms
            ):
                scenario.update(None, output={"n": 3})
                return True
            if isinstance(task, RunningTask) and task.spec.type == "PULL_WORKFLOW_MESSAGES":
                scenario.send(f"helpful-{task.spec.seq}", {"n": 5})
                return True
        if not scenario.timers:
            return False
        scenario.wait(max(0, min(scenario.timers.values()) - scenario.now_ms))
        return True

    def _children(self) -> set[WorkflowId | None]:
        named = {task.progress.child_id for task in open_tasks(self.scenario.state)}
        named |= {workflow_of(command) for command in self.scenario.sent if isinstance(command, StartWorkflow)}
        return named - {None}

    def _tell_start(self, task: OpenTask, child_id: WorkflowId, refusal: str = "") -> Decision:
        return self.scenario.when(
            ReportChildStart(
                workflow_id=self.scenario.workflow_id, task_seq=task.spec.seq, child_id=child_id, refusal=refusal
            )
        )

    def _report(self, task: OpenTask, status: TaskStatus) -> Decision:
        output: JsonObject = {"n": self._random.randint(0, 9), "way": self._random.choice("xyz")}
        worker_id = ENGINE_WORKER if task.spec.dispatch in {TO_HTTP, TO_SCRIPT, TO_SINK} else "w1"
        if task.spec.dispatch == TO_SCRIPT:
            way = self._random.random() < 0.4 if task.spec.repeats else self._random.choice("xyz")
            output = {"result": way, "iteration": self.scenario.state.loops.get(task.spec.seq)}
        return self.scenario.report(
            task.spec.ref, status, output=output, seq=task.spec.seq, worker_id=worker_id, reason="so it went"
        )

    # ---- the world outside, as it comes

    def _moves(self) -> list[Callable[[], Decision | None]]:
        limits: list[Callable[[], Decision | None]] = [self._grant, self._grant]
        helpful = [
            self._send,
            self._claim,
            self._work,
            self._work,
            self._work,
            self._end_child,
            self._update,
            self._pass_time,
        ]
        operations = [
            *(self.scenario.pause, self.scenario.resume, self.scenario.resume) * 2,
            *(self.scenario.retry, self.scenario.evaluate, self._skip, self._signal) * 2,
            self.scenario.terminate,
            self.scenario.restart,
            self._restart_newest,
            *(self._jump, self._jump, self._variables, self._state, self._reset, self._revive, self._upgrade),
        ]
        helpful += [self._name_child, self._meet]
        illegal = [self._report_anything, self._claim_anything, self._end_any_child, self._fire_anything]
        illegal.append(self._answer_any_slot)
        return [*helpful * 6, *limits * 6, *operations, *illegal]

    def _reruns(self) -> list[Callable[[], Decision | None]]:
        return [
            *(self.scenario.retry, self._resume_children, self._be_resumed),
            *(self.scenario.restart, self._restart_newest),
            *(self._rerun,) * 4,
            self._rerun_all,
            *(self._revive,) * 2,
            self._grant,
        ]

    def _grant(self) -> Decision | None:
        """Be the limiter that has a slot now."""
        waiting = [slot for slot in self.scenario.state.slots.values() if not slot.obtained_at_ms]
        if not waiting:
            return None
        slot = self._random.choice(waiting)
        return self.scenario.when(
            AnswerSlot(workflow_id=self.scenario.workflow_id, seq=slot.seq, limiter_id=slot.limiter_id)
        )

    def _answer_any_slot(self) -> Decision:
        waits = [slot.seq for slot in self.scenario.state.slots.values() if slot.obtained_at_ms]
        seq = self._random.choice(waits) if waits and self._random.random() < 0.5 else self.scenario.state.last_seq + 1
        limiter = limiter_id("task", "any")
        return self.scenario.when(
            AnswerSlot(workflow_id=self.scenario.workflow_id, seq=TaskSeq(seq), limiter_id=limiter)
        )

    def _some_open(self) -> OpenTask | None:
        found = open_tasks(self.scenario.state)
        return self._random.choice(found) if found else None

    def _claim(self) -> Decision | None:
        task = self._some_open()
        if task is None:
            return None
        return self.scenario.claim(task.spec.ref, claimed_at_ms=self.scenario.now_ms - self._random.randint(0, 500))

    def _work(self) -> Decision | None:
        random = self._random
        out = [task for task in open_tasks(self.scenario.state) if task.spec.seq in self.scenario.dispatched]
        if not out:
            return None
        task = random.choice(out)
        if random.random() < 0.1:
            return self.scenario.report(task.spec.ref, None, extend_lease=True)
        status = random.choice(_OUTCOMES)
        if status is TaskStatus.IN_PROGRESS and random.random() < 0.5:
            return self.scenario.report(task.spec.ref, status, callback_after_seconds=random.randint(0, 10))
        return self._report(task, status)

    def _send(self) -> Decision:
        return self.scenario.send(f"m{self._random.randint(0, 20)}", {"n": self._random.randint(0, 9)})

    def _end_child(self) -> Decision | None:
        waiting = [
            task
            for task in open_tasks(self.scenario.state)
            if isinstance(task, RunningTask) and task.progress.child_id is not None
        ]
        if not waiting:
            return None
        return self.scenario.end_child(self._random.choice(waiting).spec.ref, self._random.choice(_ENDS), {"n": 1})

    def _name_child(self) -> Decision | None:
        keyed = [task for task in open_tasks(self.scenario.state) if "idempotencyKey" in str(task.spec.input)]
        if not keyed:
            return None
        refusal = self._random.choice(["", "", "no"])
        return self._tell_start(self._random.choice(keyed), WorkflowId(self._random.choice("xyz")), refusal)

    def _meet(self) -> Decision | None:
        parent = Parent(workflow_id=WorkflowId("other"), task_seq=TaskSeq(self._random.randint(1, 3)))
        return self.scenario.start(idempotency_key="k", parent=parent)

    def _update(self) -> Decision:
        ref = self._random.choice([*self._refs, RefName("nothing")])
        return self.scenario.update(ref, self._random.choice([*_OUTCOMES, TaskStatus.SKIPPED]), {"n": 4})

    def _signal(self) -> Decision:
        return self.scenario.update(None, self._random.choice(_OUTCOMES))

    def _skip(self) -> Decision:
        ref = self._random.choice([*self._refs, RefName("nothing")])
        passes = self._random.choice(["", "", "__1", "__2", "__1__2"])
        return self.scenario.skip(ref + passes, output={"n": 5})

    def _restart_newest(self) -> Decision:
        return self.scenario.restart(use_latest_definitions=True)

    def _resume_children(self) -> Decision:
        return self.scenario.retry(resume=True)

    def _be_resumed(self) -> Decision | None:
        """Be told by a parent, in its turn or a second time."""
        state = self.scenario.state
        parent = self._random.choice([*state.parents, Parent(workflow_id=WorkflowId("nobody"), task_seq=TaskSeq(1))])
        told = max(0, state.heard_of(parent) + self._random.randint(-1, 2))
        return self.scenario.when(ResumeChild(workflow_id=self.scenario.workflow_id, told=told, parent=parent))

    def _rerun(self) -> Decision:
        given = self._random.choice([None, None, {"x": 5}])
        refs = [task.spec.ref for _, task in sorted(self.scenario.state.tasks.items())]
        if not refs:
            return self._rerun_all()
        return self.scenario.rerun(self._random.choice(refs), given=given)

    def _rerun_all(self) -> Decision:
        given = self._random.choice([None, {"way": "x"}])
        return self.scenario.rerun(workflow_input=given, correlation_id=self._random.choice([None, "c"]))

    def _jump(self) -> Decision:
        ref = self._random.choice([*self._refs, RefName("nothing")])
        passes = self._random.choice(["", "", "", "__1", "__2", "__1__1"])
        return self.scenario.jump(ref + passes, self._random.choice([None, None, {"x": 6}]))

    def _revive(self) -> Decision | None:
        newest = (self.scenario.task(ref) for ref in self.scenario.state.latest)
        children = [task for task in newest if task.progress.child_id is not None]
        if not children:
            return None
        task = self._random.choice(sorted(children, key=lambda task: task.spec.seq))
        return self.scenario.revive(task.spec.ref, self._random.choice([None, None, 0, 1, 2]))

    def _variables(self) -> Decision:
        values: JsonObject = {"v": self._random.choice([1, None, "x" * 300_000])}
        return self.scenario.when(UpdateVariables(workflow_id=self.scenario.workflow_id, variables=values))

    def _state(self) -> Decision:
        return self.scenario.when(
            UpdateState(
                workflow_id=self.scenario.workflow_id,
                variables={"v": 7},
                task_reference_name=RefName(self._random.choice([*self._refs, "nothing"])),
                status=self._random.choice([None, *_OUTCOMES]),
            )
        )

    def _reset(self) -> Decision:
        return self.scenario.when(ResetCallbacks(workflow_id=self.scenario.workflow_id))

    def _upgrade(self) -> Decision:
        return self.scenario.when(
            UpgradeWorkflow(workflow_id=self.scenario.workflow_id, version=self._random.choice([None, 2]))
        )

    def _pass_time(self) -> None:
        """Let time pass; sometimes nobody looked at the timers meanwhile."""
        duration_ms = self._random.choice([1, 500, 500, 2_000, 2_000, 10_000, 60_000])
        if self._random.random() < 0.2:
            self.scenario.now_ms += duration_ms
        else:
            self.scenario.wait(duration_ms)

    def _any_seq(self) -> TaskSeq:
        return TaskSeq(self._random.randint(0, self.scenario.state.last_seq + 2))

    def _any_task_id(self) -> TaskId:
        if self._random.random() < 0.1:
            return TaskId(self._random.choice(["", "nonsense", "other~1", "wf~"]))
        return task_id(self.scenario.workflow_id, self._any_seq())

    def _report_anything(self) -> Decision:
        report = ReportTaskResult(
            workflow_instance_id=self.scenario.workflow_id,
            task_id=self._any_task_id(),
            status=self._random.choice([None, *TaskStatus]),
            output_data=self._random.choice([None, {}, {"n": 10**30}]),
            worker_id=self._random.choice([None, "w2", ENGINE_WORKER]),
            extend_lease=self._random.choice([None, False, True]),
            callback_after_seconds=self._random.choice([None, -1, 10**20]),
        )
        return self.scenario.when(report)

    def _claim_anything(self) -> Decision:
        claimed_at_ms = self._random.choice([0, 1, self.scenario.now_ms + 10**6])
        return self.scenario.when(
            ClaimTask(
                workflow_instance_id=self.scenario.workflow_id,
                task_id=self._any_task_id(),
                claimed_at_ms=claimed_at_ms,
            )
        )

    def _end_any_child(self) -> Decision:
        children = sorted(child for child in self._children() if child is not None)
        return self.scenario.when(
            ReportChildEnd(
                workflow_id=self.scenario.workflow_id,
                task_seq=self._any_seq(),
                child_id=self._random.choice([*children, WorkflowId("stranger")]),
                status=self._random.choice(list(WorkflowStatus)),
            )
        )

    def _fire_anything(self) -> Decision:
        return self.scenario.when(FireTimer(workflow_id=self.scenario.workflow_id, task_seq=self._any_seq()))
