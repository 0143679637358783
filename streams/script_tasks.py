"""The tasks whose results a script computes: INLINE, LAMBDA, jq, and the JavaScript of SWITCH, DECISION and DO_WHILE.

Holds the scripts under way in this process and reports what they came to as commands. Must not decide what a result
means, nor run a script itself: the pool does. Keeps the invariants that a script is asked for at most once at a time,
each pass of a loop being another, and that every one ends in a report, whatever it does.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

import msgspec
import structlog
from msgspec.structs import replace

from engine.commands import ReportTaskResult
from engine.deferral import Deferral
from engine.graph import Graph
from engine.ids import TaskId, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, WorkflowState
from engine.scheduling import ENGINE_WORKER
from engine.scripts import ScriptRequest, script_of
from engine.status import TaskStatus
from streams.command_outlet import CommandOutlet
from streams.errors import StreamsError
from streams.references import ReferenceUnresolved, ReferenceValues
from streams.requests import REASON_CHARS_MAX, failed, report, workflow_of_attempt
from streams.scripts.jobs import Form, Language, ScriptJob, ScriptResult, ScriptValue

REPORTS_MAX: Final = 64
"""Scripts and reports under way at once. The pool runs fewer; the others wait for the log to take their results."""
ASK_AGAIN_AFTER_S: Final = 1.0
"""When the pool can run nothing now."""
_NO_VALUES: Final = ReferenceValues()

Deferrals: TypeAlias = tuple[Deferral, ...]

_log = structlog.get_logger(__name__)


class Scripts(Protocol):
    """Runs scripts, and tells of every one what it came to."""

    async def run(self, job: ScriptJob) -> ScriptResult:
        """Run a script.

        Raises:
            ScriptsUnavailable: not now.
        """
        ...


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A script to run. `result` is set for somebody who waits for it; otherwise it is reported as a command."""

    attempt: TaskId
    request: ScriptRequest
    deferred: Deferrals = ()
    result: asyncio.Future[ScriptResult] | None = None


class BuiltInScripts:
    """Runs scripts until cancelled. The pool is opened when the first script comes: many nodes never need one."""

    def __init__(
        self,
        open_pool: Callable[[], AbstractAsyncContextManager[Scripts]],
        commands: CommandOutlet,
        graph_of: Callable[[WorkflowState], Graph],
        references: ReferenceValues = _NO_VALUES,
    ) -> None:
        """Run scripts in the pool that `open_pool` opens, report through `commands`.

        `references` knows what inputs only name.
        """
        self._references = references
        self._open_pool = open_pool
        self._commands = commands
        self._graph_of = graph_of
        self._under_way: set[tuple[TaskId, int]] = set()
        self._waiting: asyncio.Queue[_Wanted] = asyncio.Queue()
        """Never more than the open tasks of this node's workflows that wait for a script, and those who `compute`."""

    def begin(self, state: WorkflowState, task: OpenTask) -> None:
        """Queue the script that a task waits for, unless it is under way."""
        attempt = task_id(state.workflow_id, task.spec.seq)
        request = script_of(state, task, self._graph_of(state))
        if (attempt, request.iteration) not in self._under_way:
            self._under_way.add((attempt, request.iteration))
            self._waiting.put_nowait(_Wanted(attempt=attempt, request=request, deferred=task.spec.deferred))

    async def compute(self, attempt: TaskId, request: ScriptRequest) -> ScriptResult:
        """Run a script of no task of this node's workflows and return what it came to."""
        result: asyncio.Future[ScriptResult] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Wanted(attempt=attempt, request=request, result=result))
        return await result

    async def run(self) -> None:
        """Run scripts, a bounded number at once."""
        first = await self._waiting.get()
        async with self._open_pool() as pool, asyncio.TaskGroup() as group:
            self._waiting.put_nowait(first)
            for number in range(REPORTS_MAX):
                group.create_task(self._serve(pool), name=f"script-{number}")

    async def _serve(self, pool: Scripts) -> None:
        while True:
            wanted = await self._waiting.get()
            if wanted.result is not None:
                await _tell(pool, wanted, wanted.result)
                continue
            attempt, request, deferred = wanted.attempt, wanted.request, wanted.deferred
            try:
                await report(self._commands, await self._outcome(pool, attempt, request, deferred))
            finally:
                self._under_way.discard((attempt, request.iteration))

    async def _outcome(
        self, pool: Scripts, attempt: TaskId, request: ScriptRequest, deferred: Deferrals
    ) -> ReportTaskResult:
        try:
            whole = self._references.made_whole(request.document, deferred)
        except ReferenceUnresolved as error:
            return failed(attempt, str(error))
        result = await _result_of(pool, attempt, replace(request, document=whole.input))
        told = _report(attempt, request, result)
        return replace(told, reason_for_incompletion=whole.masked(told.reason_for_incompletion))


async def _tell(pool: Scripts, wanted: "_Wanted", result: asyncio.Future[ScriptResult]) -> None:
    """Run a script for somebody who waits for it, unless he has gone."""
    if result.done():
        return
    found = await _result_of(pool, wanted.attempt, wanted.request)
    if not result.done():
        result.set_result(found)


async def _result_of(pool: Scripts, attempt: TaskId, request: ScriptRequest) -> ScriptResult:
    job = ScriptJob(
        language=Language(request.language),
        form=Form(request.form),
        source=request.source,
        document=request.document,
        now_ms=request.now_ms,
        seed=f"{attempt}/{request.iteration}",
    )
    while True:
        try:
            return await pool.run(job)
        except StreamsError as error:
            _log.warning("script_not_run", task_id=attempt, reason=str(error), again_after_s=ASK_AGAIN_AFTER_S)
            await asyncio.sleep(ASK_AGAIN_AFTER_S)


def _report(attempt: TaskId, request: ScriptRequest, result: ScriptResult) -> ReportTaskResult:
    output: JsonObject = {"iteration": request.iteration} if request.iteration else {}
    succeeded = isinstance(result, ScriptValue)
    if isinstance(result, ScriptValue):
        output["result"] = result.value
    return ReportTaskResult(
        workflow_instance_id=workflow_of_attempt(attempt),
        task_id=attempt,
        status=TaskStatus.COMPLETED if succeeded else TaskStatus.FAILED,
        output_data=output,
        reason_for_incompletion=None if succeeded else str(result)[:REASON_CHARS_MAX],
        worker_id=ENGINE_WORKER,
    )
