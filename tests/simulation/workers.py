"""Workers: they take tasks, claim them, and report, as badly as the seed's faults say.

Holds the outside half of a task's life. Must not look into the engine: a worker knows a task's id and type. Keeps one
promise of real workers only: a task that was taken from the topic but neither claimed nor reported is delivered
again.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from engine.commands import ClaimTask, ReportTaskResult
from engine.ids import TaskId, WorkflowId, parse_task_id
from engine.status import TaskStatus

if TYPE_CHECKING:  # the world holds the workers
    from tests.simulation.world import World

TASKS: Final = "tasks.simulated"
"""One topic for all types: what a worker of one type does is the same as what another does."""
AGAIN_AFTER_MS: Final = 2_500
WORK_MS_MAX: Final = 900


class TaskOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulation writes for a dispatched task."""

    task_id: TaskId
    type: str


_offer_decoder: Final = msgspec.json.Decoder(TaskOffer)


def workflow_of_task(task_id: TaskId) -> WorkflowId:
    """Return the workflow that a task id names."""
    parsed = parse_task_id(task_id)
    if parsed is None:
        message = f"{task_id!r} is not a task id"
        raise ValueError(message)
    return parsed[0]


class Workers:
    """All workers of all types."""

    def __init__(self, world: "World") -> None:
        """Begin with nothing to do."""
        self._world = world
        self._claims = 0

    def offered(self, value: bytes) -> None:
        """Take note that a task was appended to the topic: a worker gets it, or two do."""
        world = self._world
        offer = _offer_decoder.decode(value)
        for _ in range(1 + world.chance(world.faults.duplicates)):
            world.clock.after(world.delay_ms(), partial(self._take, offer))

    def claim(self, task_id: TaskId) -> ClaimTask:
        """Return the claim of some worker."""
        self._claims += 1
        at_ms = self._world.clock.now_ms
        return ClaimTask(
            workflow_instance_id=workflow_of_task(task_id),
            task_id=task_id,
            worker_id=f"worker{self._claims % 5}",
            claimed_at_ms=at_ms,
        )

    def begin(self, task_id: TaskId) -> None:
        """Work on a task that has been claimed, or not at all: then its response timeout is what helps."""
        if self._world.chance(self._world.faults.workers_lost):
            self._world.count("workers_lost")
        else:
            self._work(task_id)

    def _work(self, task_id: TaskId) -> None:
        world = self._world
        work_ms = world.rng.randint(1, WORK_MS_MAX)
        if world.chance(world.faults.workers_late):
            work_ms += world.rng.randint(1_000, 15_000)
        world.clock.after(work_ms, partial(self._report, task_id))
        if world.chance(world.faults.workers_twice):
            world.clock.after(work_ms + world.rng.randint(0, 2_000), partial(self._report, task_id))
        if world.has_faults and work_ms > WORK_MS_MAX and world.rng.random() < 0.5:
            world.clock.after(work_ms // 2, partial(self._beat, task_id))

    def _take(self, offer: TaskOffer) -> None:
        world = self._world
        if world.chance(world.faults.workers_lost):
            world.clock.after(AGAIN_AFTER_MS, partial(self._take, offer))
            return
        if world.rng.random() < 0.8:
            world.send(self.claim(offer.task_id))
            self.begin(offer.task_id)
        else:
            self._work(offer.task_id)

    def _beat(self, task_id: TaskId) -> None:
        """Say that the work goes on."""
        report = ReportTaskResult(workflow_instance_id=workflow_of_task(task_id), task_id=task_id, extend_lease=True)
        self._world.send(report)

    def _report(self, task_id: TaskId) -> None:
        world = self._world
        status, callback_seconds = TaskStatus.COMPLETED, None
        if world.chance(world.faults.workers_failing):
            status = world.rng.choice(
                (TaskStatus.FAILED, TaskStatus.FAILED, TaskStatus.FAILED_WITH_TERMINAL_ERROR, TaskStatus.IN_PROGRESS)
            )
            callback_seconds = world.rng.choice((0, 1, 2)) if status is TaskStatus.IN_PROGRESS else None
        world.reports += 1
        report = ReportTaskResult(
            workflow_instance_id=workflow_of_task(task_id),
            task_id=task_id,
            status=status,
            output_data={"by": world.reports, "text": "é" * world.rng.choice((0, 0, 3, 200))},
            reason_for_incompletion=None if status is TaskStatus.COMPLETED else "drawn",
            callback_after_seconds=callback_seconds,
            worker_id=f"worker{world.reports % 5}",
            request_id=f"r{world.reports}",
        )
        world.send(report)
