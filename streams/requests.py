"""The tasks that Podium does itself: HTTP requests, each after its decision is in the log.

Holds the requests under way in this process and reports their results as commands. Must not decide what a result means.
Keeps the invariant that an attempt is under way at most once here; after a crash the new owner begins it anew, with the
same idempotency key.
"""

import asyncio
from typing import Final, Protocol

import structlog
from msgspec.structs import replace

from engine.commands import ReportTaskResult
from engine.events import TaskScheduled
from engine.ids import TaskId, WorkflowId
from engine.json_value import JsonObject
from engine.model import OpenTask
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from streams.command_outlet import CommandOutlet
from streams.errors import StreamsError
from streams.references import ReferenceUnresolved, ReferenceValues

REQUESTS_MAX: Final = 200
"""Requests under way at once; the others wait their turn."""
REPORT_AGAIN_AFTER_S: Final = 1.0
REASON_CHARS_MAX: Final = 2_000
"""Of what an exception says: it may repeat a whole input."""
_NO_VALUES: Final = ReferenceValues()

_log = structlog.get_logger(__name__)


class RequestResult(Protocol):
    """What a request came to."""

    @property
    def status(self) -> TaskStatus:
        """How the attempt ended."""
        ...

    @property
    def output(self) -> JsonObject:
        """What the task puts out."""
        ...

    @property
    def reason(self) -> str:
        """Why it did not succeed, "" if it did."""
        ...


class RequestWorker(Protocol):
    """Makes one request and never raises for what the other side does."""

    async def run(self, task_input: JsonObject, *, attempt_id: str) -> RequestResult:
        """Make the request that the input describes; `attempt_id` lets the other side recognise a repetition."""
        ...


class BuiltInRequests:
    """Runs requests until cancelled."""

    def __init__(
        self, worker: RequestWorker, commands: CommandOutlet, references: ReferenceValues = _NO_VALUES
    ) -> None:
        """Make requests with `worker`, report through `commands`; `references` knows what inputs only name."""
        self._worker = worker
        self._commands = commands
        self._references = references
        self._under_way: set[TaskId] = set()
        self._waiting: asyncio.Queue[tuple[TaskId, TaskScheduled]] = asyncio.Queue()
        """Never more than the open HTTP tasks of this node's workflows: their states hold the same inputs already."""

    def begin(self, attempt: TaskId, task: OpenTask) -> None:
        """Queue a request, unless it is under way."""
        if attempt not in self._under_way:
            self._under_way.add(attempt)
            self._waiting.put_nowait((attempt, task.spec))

    async def run(self) -> None:
        """Make requests, a bounded number at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS_MAX):
                group.create_task(self._serve(), name=f"request-{number}")

    async def _serve(self) -> None:
        while True:
            attempt, spec = await self._waiting.get()
            try:
                await report(self._commands, await self._result(attempt, spec))
            finally:
                self._under_way.discard(attempt)

    async def _result(self, attempt: TaskId, spec: TaskScheduled) -> ReportTaskResult:
        try:
            whole = self._references.made_whole(spec.input, spec.deferred)
        except ReferenceUnresolved as error:
            return failed(attempt, str(error))
        try:
            result = await self._worker.run(whole.input, attempt_id=attempt)
        except Exception as error:  # noqa: BLE001 - one request must not end the node, nor leave its task open for ever
            # A traceback may quote the request: where secrets are in it, the kind of the error has to do.
            _log.error("request_broke", task_id=attempt, error=type(error).__name__, exc_info=not whole.secrets)
            return failed(attempt, whole.masked(f"the request could not be made: {type(error).__name__}: {error}"))
        # What the other side answers is the task's output, whatever it is. What went wrong is said by this process.
        is_ours = result.status is not TaskStatus.COMPLETED
        return ReportTaskResult(
            workflow_instance_id=workflow_of_attempt(attempt),
            task_id=attempt,
            status=result.status,
            output_data=whole.masked(result.output) if is_ours else result.output,
            reason_for_incompletion=whole.masked(result.reason) or None,
            worker_id=ENGINE_WORKER,
        )


async def report(commands: CommandOutlet, command: ReportTaskResult) -> None:
    """Append a result, however long the log is away. One that the log does not take ends its task all the same."""
    while True:
        try:
            await commands.append(command)
        except StreamsError as error:
            if not error.retriable:
                _log.warning("result_refused", task_id=command.task_id, reason=str(error))
                why = f"the result cannot be stored: {error}"
                # Which pass of a loop it is about must still be said.
                about = {key: value for key, value in (command.output_data or {}).items() if key == "iteration"}
                command = replace(failed(command.task_id, why), output_data=about)
            else:
                await asyncio.sleep(REPORT_AGAIN_AFTER_S)
        else:
            return


def failed(attempt: TaskId, reason: str) -> ReportTaskResult:
    """Return the report of a task for which another attempt would come to the same."""
    return ReportTaskResult(
        workflow_instance_id=workflow_of_attempt(attempt),
        task_id=attempt,
        status=TaskStatus.FAILED_WITH_TERMINAL_ERROR,
        reason_for_incompletion=reason[:REASON_CHARS_MAX],
        worker_id=ENGINE_WORKER,
    )


def workflow_of_attempt(attempt: TaskId) -> WorkflowId:
    """Return the workflow that an attempt's id names."""
    return WorkflowId(attempt.rpartition("~")[0])
