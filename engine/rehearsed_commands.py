"""What others would say to a rehearsed workflow: its workers, and the limiters that it asks.

Holds the making of their commands. Must not decide when they come. Keeps the invariant that they are those of the real
thing.
"""

from typing import Final

from engine.commands import AnswerSlot, Command, ReportTaskResult
from engine.errors import InvariantViolated
from engine.ids import TaskId, WorkflowId, parse_task_id
from engine.limiter.commands import AcquireSlot
from engine.mocks import TaskMock

REHEARSAL_WORKER: Final = "rehearsal"
"""The worker id of a mocked answer."""


def granted(command: AcquireSlot) -> AnswerSlot:
    """Return the answer of a limiter that nobody else has asked."""
    holder = parse_task_id(command.holder)
    if holder is None:
        message = f"the holder of a slot should be the id of an attempt and is {command.holder!r}"
        raise InvariantViolated(message)
    workflow_id, seq = holder
    return AnswerSlot(workflow_id=workflow_id, seq=seq, limiter_id=command.limiter_id)


def same(command: Command) -> Command:
    """Return what is given: for `partial`, where something is to happen later."""
    return command


def report(workflow_id: WorkflowId, attempt: TaskId, mock: TaskMock, *, worker_id: str = REHEARSAL_WORKER) -> Command:
    """Return what a worker would report of an attempt."""
    return ReportTaskResult(
        workflow_instance_id=workflow_id,
        task_id=attempt,
        status=mock.status,
        output_data=mock.output,
        reason_for_incompletion=mock.reason or None,
        worker_id=worker_id,
    )
