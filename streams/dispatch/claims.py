"""Claims: telling the log who has taken which task.

Holds the claims that are on their way into the log, and the ends of tasks that cannot be handed out. Must not keep a
worker waiting for them. Keeps the invariant that a task which was handed out is claimed in the end, however long the
log is away: an unclaimed task has no response timeout, so nobody would miss a worker that died with it.
"""

import asyncio
from functools import partial
from typing import Final

import structlog

from engine.commands import ClaimTask, ReportTaskResult
from engine.ids import WorkflowId
from streams.command_outlet import CommandOutlet
from streams.dispatch.queues import QueuedTask
from streams.errors import StreamsError
from streams.requests import failed

CLAIM_AGAIN_AFTER_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Claims:
    """Appends claims. Never more are on their way than tasks were handed out, and those were in the queues before."""

    def __init__(self, commands: CommandOutlet) -> None:
        """Append through `commands`."""
        self._commands = commands

    def claim(self, task: QueuedTask, worker_id: str, at_ms: int) -> None:
        """Claim a task for a worker; tell the task when the claim is durable. Does not wait."""
        command = ClaimTask(
            workflow_instance_id=WorkflowId(task.task_id.rpartition("~")[0]),
            task_id=task.task_id,
            worker_id=worker_id,
            claimed_at_ms=at_ms,
        )
        self._append(task, command)

    def refuse(self, task: QueuedTask, reason: str) -> None:
        """End a task that cannot be handed out; tell the task when that is durable. Does not wait."""
        _log.warning("task_not_handed_out", task_id=task.task_id, reason=reason)
        self._append(task, failed(task.task_id, reason))

    def _append(self, task: QueuedTask, command: ClaimTask | ReportTaskResult) -> None:
        self._commands.enqueue(command).add_done_callback(partial(self._settled, task, command))

    def _settled(self, task: QueuedTask, command: ClaimTask | ReportTaskResult, stored: "asyncio.Future[None]") -> None:
        if stored.cancelled() or self._commands.is_closed:
            return  # the process stops: whoever owns the task next offers it again
        error = stored.exception()
        if error is None:
            if task.on_claimed is not None:
                task.on_claimed()
        elif isinstance(error, StreamsError) and error.retriable:
            asyncio.get_running_loop().call_later(CLAIM_AGAIN_AFTER_S, self._append, task, command)
        else:
            _log.error("claim_refused", task_id=task.task_id, reason=str(error))
