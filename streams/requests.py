"""The tasks that Podium does itself: HTTP requests, each after its decision is in the log.

Holds the requests under way in this process and reports their results as commands. Must not decide what a result means.
Keeps the invariant that an attempt is under way at most once here; after a crash the new owner begins it anew, with the
same idempotency key.
"""

import asyncio
from typing import Final, Protocol

import structlog

from engine.commands import ReportTaskResult
from engine.ids import TaskId, WorkflowId
from engine.json_value import JsonObject
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from streams.command_outlet import CommandOutlet
from streams.errors import StreamsError

REQUESTS_MAX: Final = 200
"""Requests under way at once; the others wait their turn."""
REPORT_AGAIN_AFTER_S: Final = 1.0

_log = structlog.get_logger(__name__)


class RequestResult(Protocol):
    """What a request came to."""

    @property
    def status(self) -> TaskStatus: ...
    @property
    def output(self) -> JsonObject: ...
    @property
    def reason(self) -> str: ...


class RequestWorker(Protocol):
    """Makes one request and never raises for what the other side does."""

    async def run(self, task_input: JsonObject, *, attempt_id: str) -> RequestResult: ...


class BuiltInRequests:
    """Runs requests until cancelled."""

    def __init__(self, worker: RequestWorker, commands: CommandOutlet) -> None:
        """Make requests with `worker`, report through `commands`."""
        self._worker = worker
        self._commands = commands
        self._under_way: set[TaskId] = set()
        self._waiting: asyncio.Queue[tuple[TaskId, JsonObject]] = asyncio.Queue()

    def begin(self, attempt: TaskId, task: OpenTask) -> None:
        """Queue a request, unless it is under way."""
        if attempt not in self._under_way:
            self._under_way.add(attempt)
            self._waiting.put_nowait((attempt, task.spec.input))

    async def run(self) -> None:
        """Make requests, a bounded number at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS_MAX):
                group.create_task(self._serve(), name=f"request-{number}")

    async def _serve(self) -> None:
        while True:
            attempt, task_input = await self._waiting.get()
            try:
                result = await self._worker.run(task_input, attempt_id=attempt)
                await self._report(attempt, result)
            finally:
                self._under_way.discard(attempt)

    async def _report(self, attempt: TaskId, result: RequestResult) -> None:
        command = ReportTaskResult(
            workflow_instance_id=WorkflowId(attempt.rpartition("~")[0]),
            task_id=attempt,
            status=result.status,
            output_data=result.output,
            reason_for_incompletion=result.reason or None,
            worker_id=ENGINE_WORKER,
        )
        while True:
            try:
                await self._commands.append(command)
            except StreamsError as error:
                if not error.retriable:
                    _log.exception("request_result_refused", task_id=attempt)
                    return
                await asyncio.sleep(REPORT_AGAIN_AFTER_S)
            else:
                return
