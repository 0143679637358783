"""Clients and operators: they start workflows, ask again when no answer comes, and interfere.

Holds who asks for what, and which answers came. Must not know the engine's state, except to choose what to interfere
with. Keeps the promise of a careful client: a start is repeated, with the same workflow id, until it is answered.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from engine.commands import (
    Command,
    EvaluateWorkflow,
    JumpToTask,
    PauseWorkflow,
    RerunWorkflow,
    RestartWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    SkipTask,
    StartWorkflow,
    TerminateWorkflow,
    UpdateTaskByRef,
)
from engine.ids import TaskSeq, WorkflowId, derived_workflow_id, task_id
from engine.rejections import RejectionCode
from engine.status import TaskStatus
from streams.service import Answer
from tests.simulation.faults import FAULT_PHASE_MS

if TYPE_CHECKING:  # the world holds the clients
    from tests.simulation.world import World

WORKFLOWS_MIN: Final = 3
WORKFLOWS_MAX: Final = 9
AGAIN: Final = 0.4
"""The share of clients that start a workflow a second time long after, as a job does that is run again."""
POISON: Final = (
    b"",
    b"null",
    b"{",
    b"\xff\xfe\x00",
    b"[]",
    b'{"command":"no_such_command","workflowId":"w0"}',
    b'{"command":"start_workflow"}',
    b'{"command":"start_workflow","name":"no-such-workflow","workflowId":"nameless"}',
    b'{"command":"pause_workflow","workflowId":"not an id"}',
    b'{"command":"pause_workflow","workflowId":""}',
    b'{"command":"pause_workflow","workflowId":"\\ud800"}',
    b'{"command":"task_result","workflowInstanceId":"w0","taskId":"w0~99999","status":"COMPLETED"}',
    b'{"command":"task_result","workflowInstanceId":"w0","taskId":"other~1","status":"COMPLETED"}',
    b'{"command":"task_result","workflowInstanceId":"w0","taskId":"w0~1","status":"SCHEDULED"}',
    b'{"command":"start_workflow","name":"level0-0","input":' + b'{"a":' * 960 + b"1" + b"}" * 961,
    b'{"command":"start_workflow","name":"level0-0","input":{"text":"' + '🎬é\\"'.encode() * 300 + b'"}}',
)


class Clients:
    """Everybody who is neither worker nor engine."""

    def __init__(self, world: "World") -> None:
        """Plan the whole seed: who starts what, when."""
        self._world = world
        self._requests = 0
        self._unanswered: dict[str, StartWorkflow] = {}
        self._operations: dict[str, Command] = {}
        self.acknowledged: dict[WorkflowId, str] = {}
        """Workflows whose start was answered, with the request that was."""
        rng = world.rng
        for number in range(rng.randint(WORKFLOWS_MIN, WORKFLOWS_MAX)):
            world.clock.after(rng.randrange(FAULT_PHASE_MS // 2), partial(self._start_some, number))
        for _ in range(world.occurrences(world.faults.poison)):
            world.clock.after(rng.randrange(FAULT_PHASE_MS), self._poison)

    def answered(self, request_id: str, answer: Answer) -> None:
        """Take note of an answer."""
        operation = self._operations.pop(request_id, None)
        if operation is not None and answer.state is None and answer.rejected is not None:
            self._ask_for_the_forgotten(operation, answer.workflow_id)
        start = self._unanswered.pop(request_id, None)
        if start is None or start.workflow_id is None:
            return
        rejected = answer.rejected
        if rejected is None or rejected.code is RejectionCode.WORKFLOW_EXISTS:
            self.acknowledged[start.workflow_id] = request_id

    def request_id(self) -> str:
        """Return a new one."""
        self._requests += 1
        return f"q{self._requests}"

    @property
    def is_done(self) -> bool:
        """Whether every start that is repeated until it is answered has been."""
        return not any(start.workflow_id not in self.acknowledged for start in self._unanswered.values())

    # ---- starting

    def _start_some(self, number: int) -> None:
        world, rng = self._world, self._world.rng
        start = StartWorkflow(
            name=rng.choice(world.library.names),
            input={"case": rng.choice(("a", "b", "c"))},
            priority=rng.choice((None, 5)),
        )
        kind = rng.random()
        if kind < 0.1:
            world.send_raw(rng.randrange(world.faults.partitions), None, msgspec.json.encode(start))
        elif kind < 0.2:
            world.send_raw(rng.randrange(world.faults.partitions), f"key{number}".encode(), msgspec.json.encode(start))
        else:
            workflow_id = WorkflowId(f"w{number}") if kind < 0.7 else derived_workflow_id(f"client{number}")
            start = msgspec.structs.replace(start, workflow_id=workflow_id, generated_id=kind >= 0.7)
            self._ask(start)
            if not start.generated_id and rng.random() < AGAIN:
                world.clock.after(rng.randint(2_000, FAULT_PHASE_MS // 2), partial(self._ask, start))
        for _ in range(world.occurrences(world.faults.operations)):
            world.clock.after(rng.randint(100, FAULT_PHASE_MS), self._interfere)

    def _ask(self, start: StartWorkflow) -> None:
        request_id = self.request_id()
        asked = msgspec.structs.replace(start, request_id=request_id)
        if start.generated_id:  # an id that was made for one request is sent and asked for once
            key, partition, value = self._world.addressed(asked)
            self._world.send_raw(partition, key, value)
        else:
            self._world.send(asked)
            self._unanswered[request_id] = asked
            self._world.clock.after(self._world.rng.randint(1_500, 6_000), partial(self._ask_again, request_id))

    def _ask_again(self, request_id: str) -> None:
        """Start the same workflow again: perhaps nobody heard."""
        start = self._unanswered.get(request_id)
        if start is not None and start.workflow_id not in self.acknowledged:
            self._ask(start)

    def _ask_for_the_forgotten(self, operation: Command, workflow_id: WorkflowId) -> None:
        """Let an owner take an ended workflow from the history, then ask again: what a node does for its callers."""
        state = self._world.audit.state(workflow_id)
        owner = self._world.owner_of(workflow_id)
        if state is not None and state.is_terminal and owner is not None:
            self._world.count("adopted")
            owner.after(0, partial(owner.take_back, workflow_id))
            again = msgspec.structs.replace(operation, request_id=self.request_id())
            self._world.clock.after(self._world.rng.randint(20, 200), partial(self._world.send, again))

    # ---- interfering

    def _interfere(self) -> None:
        world, rng = self._world, self._world.rng
        ids = world.audit.known_ids()
        if not ids or not world.has_faults:
            return
        workflow_id = rng.choice(ids)
        command = self._operation(workflow_id)
        if command.request_id is not None:
            self._operations[command.request_id] = command
        world.count("operations")
        world.send(command)

    def _operation(self, workflow_id: WorkflowId) -> Command:
        rng, request_id = self._world.rng, self.request_id()
        refs = self._world.library.refs.get(self._world.audit.definition_of(workflow_id), [])
        ref = rng.choice(refs) if refs else None
        match rng.randrange(13):
            case 10:
                return RetryWorkflow(workflow_id=workflow_id, resume_subworkflow_tasks=True, request_id=request_id)
            case 11:
                from_task = task_id(workflow_id, TaskSeq(rng.randint(1, 12)))
                return RerunWorkflow(workflow_id=workflow_id, re_run_from_task_id=from_task, request_id=request_id)
            case 12 if ref is not None:
                return JumpToTask(workflow_id=workflow_id, task_reference_name=ref, request_id=request_id)
            case 0 | 1:
                resumed_after_ms = rng.randint(100, 5_000)
                resume = ResumeWorkflow(workflow_id=workflow_id, request_id=self.request_id())
                self._world.clock.after(resumed_after_ms, partial(self._world.send, resume))
                return PauseWorkflow(workflow_id=workflow_id, request_id=request_id)
            case 2:
                return ResumeWorkflow(workflow_id=workflow_id, request_id=request_id)
            case 3:
                return TerminateWorkflow(workflow_id=workflow_id, reason="drawn", request_id=request_id)
            case 4 | 5:
                return RetryWorkflow(workflow_id=workflow_id, request_id=request_id)
            case 6:
                latest = rng.random() < 0.5
                return RestartWorkflow(workflow_id=workflow_id, use_latest_definitions=latest, request_id=request_id)
            case 7 if ref is not None:
                return SkipTask(workflow_id=workflow_id, task_reference_name=ref, request_id=request_id)
            case 8:
                status = rng.choice((TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.IN_PROGRESS))
                ref = ref if rng.random() < 0.7 else None
                return UpdateTaskByRef(workflow_id=workflow_id, ref_name=ref, status=status, request_id=request_id)
            case _:
                return EvaluateWorkflow(workflow_id=workflow_id, request_id=request_id)

    def _poison(self) -> None:
        world, rng = self._world, self._world.rng
        world.count("poison")
        key = rng.choice((None, b"", b"w0", b"\xff", b"some key with spaces"))
        world.send_raw(rng.randrange(world.faults.partitions), key, rng.choice(POISON))
