"""What an owner does with an outbox: at once, and by appends.

Holds the two halves that the processor leaves to its `Outward` port. Must not wait. Keeps the audit informed of all
that leaves a process, at the moment at which it leaves.
"""

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from engine.commands import ReportTaskResult
from engine.graph import Graphs
from engine.json_value import JsonObject
from engine.model import OpenTask, WorkflowState, id_of
from engine.scheduling import ENGINE_WORKER
from engine.scripts import script_of
from engine.status import TaskStatus
from streams.partition.turn import Outbox
from streams.ports import NewRecord
from streams.topics import COMMANDS, DEAD_LETTER, OUTCOMES
from tests.simulation.workers import TASKS, TaskOffer

if TYPE_CHECKING:  # an owner uses this module
    from tests.simulation.owner import Owner

Batch: TypeAlias = tuple[str, int, list[NewRecord]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulation writes to `outcomes`: enough to compare."""

    workflow_id: str
    status: str
    version: int


def do_now(owner: "Owner", outbox: Outbox) -> None:
    """Answer callers and fill what lives in this process: the queue, where it is not durable, and requests."""
    world = owner.world
    for request_id, answer in outbox.replies:
        world.audit.told(owner.partition, request_id, answer)
        world.clock.after(world.delay_ms(), partial(world.clients.answered, request_id, answer))
    for state, task in outbox.dispatches:
        world.audit.dispatched(owner.partition, state.workflow_id, task.spec.seq)
        if task.spec.dispatch == "http":
            owner.after(world.rng.randint(1, 1_500), partial(_request, owner, state, task))
        elif task.spec.dispatch == "script":
            owner.after(world.rng.randint(1, 300), partial(_script, owner, state, task))
        elif not world.faults.durable_queues:
            owner.offer(state, task)
    for task_id in outbox.retracts:
        owner.queue.pop(task_id, None)


def batches_of(owner: "Owner", outbox: Outbox) -> list[Batch]:
    """Return what is to be appended because of an outbox, per topic and partition."""
    world = owner.world
    batches: dict[tuple[str, int], list[NewRecord]] = {}

    def add(topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        batches.setdefault((topic, partition), []).append(NewRecord(key=key, value=value))

    for command in outbox.commands:
        world.audit.sent(owner.partition, command)
        key, partition, value = world.addressed(command)
        add(COMMANDS, partition, key, value)
    for home, record in outbox.forwards:
        add(COMMANDS, home, record.key, record.value)
    for record, why in outbox.dead_letters:
        add(DEAD_LETTER, 0, record.key, why.encode())
    for state in outbox.outcomes:
        world.audit.announced(owner.partition, state)
        outcome = Outcome(workflow_id=state.workflow_id, status=state.status, version=state.version)
        add(OUTCOMES, owner.partition, state.workflow_id.encode(), msgspec.json.encode(outcome))
    if world.faults.durable_queues:
        for state, task in outbox.dispatches:
            if task.spec.dispatch == "worker":
                offer = TaskOffer(task_id=id_of(state, task), type=task.spec.type)
                add(TASKS, 0, state.workflow_id.encode(), msgspec.json.encode(offer))
    return [(topic, partition, records) for (topic, partition), records in batches.items()]


def _request(owner: "Owner", state: WorkflowState, task: OpenTask) -> None:
    """Be the built-in worker of HTTP tasks: it lives in the owner's process and reports like any other."""
    world = owner.world
    has_failed = world.chance(world.faults.workers_failing)
    report = ReportTaskResult(
        workflow_instance_id=state.workflow_id,
        task_id=id_of(state, task),
        status=TaskStatus.FAILED if has_failed else TaskStatus.COMPLETED,
        output_data={"response": {"statusCode": 500 if has_failed else 200}},
        worker_id=ENGINE_WORKER,
    )
    owner.report(report, on_failure=partial(_request, owner, state, task))


def _script(owner: "Owner", state: WorkflowState, task: OpenTask) -> None:
    """Be the pool of scripts, which lives there too: the same script has the same answer each time."""
    world = owner.world
    request = script_of(state, task, Graphs(world.library.shelf).of(state.started))
    output: JsonObject = {"result": [2, 4]}
    if request.iteration:
        output = {"result": f"iteration < {request.iteration})" not in request.source, "iteration": request.iteration}
    report = ReportTaskResult(
        workflow_instance_id=state.workflow_id,
        task_id=id_of(state, task),
        status=TaskStatus.COMPLETED,
        output_data=output,
        worker_id=ENGINE_WORKER,
    )
    owner.report(report, on_failure=partial(_script, owner, state, task))
