"""The pool of script processes: user scripts run here, a bounded number at once.

Holds the queue, the processes and the spare ones. Must not know workflows or tasks. Keeps the invariants that a script
is ended at its time limit whatever it does, that this does not touch its neighbours, and that no process outlives the
pool.

Life of a process: started (`_raise`) → idle → runs one job → says that it is ready → idle again; or it is killed, and
one that is idle already takes its place while the next is started.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog

from streams.errors import ScriptsUnavailable
from streams.scripts import limits
from streams.scripts.exchange import crash_of, message_of, result_of, timeout_of
from streams.scripts.jobs import Form, Language, ScriptFailure, ScriptJob, ScriptResult
from streams.scripts.process import START_MS_MAX, ProcessLost, ScriptProcess

STARTERS: Final = 2
"""Processes that are started at the same time: as many as the smallest machine has cores."""
_START_AGAIN_AFTER_S: Final = 0.1
_START_AGAIN_AFTER_S_MAX: Final = 5.0

_log = structlog.get_logger(__name__)


class ScriptSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many scripts run, and how many wait."""

    processes: int = 2
    """Scripts at once. They only compute: more than there are cores brings nothing."""
    spares: int = 1
    """Processes that wait to take the place of a killed one."""
    waiting_max: int = 1_000
    """Scripts that wait for a turn; the next one is refused."""
    wait_ms_max: int = 30_000
    """For a turn."""


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A job in the queue. `check`: only its syntax is asked for. `patience` ends the waiting, until its turn comes."""

    job: ScriptJob
    check: bool
    result: asyncio.Future[ScriptResult]
    patience: asyncio.TimerHandle


_DEFAULT_SETTINGS: Final = ScriptSettings()


class ScriptPool:
    """Runs scripts. An async context manager: entered once, by the composition root."""

    def __init__(self, settings: ScriptSettings = _DEFAULT_SETTINGS) -> None:
        """Nothing is started yet."""
        self._settings = settings
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(settings.waiting_max)
        # Last in, first out: the process that ran last is the one whose memory is still in the caches.
        self._idle: asyncio.LifoQueue[ScriptProcess] = asyncio.LifoQueue()
        self._missing = asyncio.Semaphore(settings.processes + settings.spares)
        # For starting processes, and for waiting until killed ones are gone: each process in one or the other.
        self._threads = ThreadPoolExecutor(settings.processes + settings.spares, thread_name_prefix="scripts")
        self._protections: list[str] | None = None
        self._protected = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin to start the processes; jobs may be given at once."""
        await self._tasks.__aenter__()
        for number in range(self._settings.processes):
            self._running.append(self._tasks.create_task(self._serve(), name=f"scripts-{number}"))
        for number in range(STARTERS):
            self._running.append(self._tasks.create_task(self._raise(), name=f"scripts-start-{number}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process and wait until it is gone; whoever waits for a result is told."""
        for task in self._running:
            task.cancel()
        # The group is not told of an error in the block: it would wrap it.
        await self._tasks.__aexit__(None, None, None)
        while not self._idle.empty():
            await self._idle.get_nowait().end()
        while not self._waiting.empty():
            self._waiting.get_nowait().result.cancel()
        # Every process is gone, so nothing is left to wait for.
        self._threads.shutdown()

    async def run(self, job: ScriptJob) -> ScriptResult:
        """Run a script and return what it came to, whatever it does.

        Raises:
            ScriptsUnavailable: it could not be run now; nothing is known about the script.
        """
        return await self._result_of(job, check=False)

    async def check_javascript(self, source: str, *, form: Form = Form.COMPLETION) -> str | None:
        """Return what is wrong with the syntax of a source, None if nothing is. The source is not run.

        Raises:
            ScriptsUnavailable: it could not be checked now.
        """
        return await self._complaint(ScriptJob(language=Language.JAVASCRIPT, source=source, form=form, now_ms=0))

    async def check_jq(self, source: str) -> str | None:
        """Return what is wrong with a program, names that reach outside included; None if nothing is.

        Raises:
            ScriptsUnavailable: it could not be checked now.
        """
        return await self._complaint(ScriptJob(language=Language.JQ, source=source, now_ms=0))

    async def describe(self) -> list[str]:
        """Return, in words, which protections the script processes have on this machine.

        Raises:
            ScriptsUnavailable: no process could be started so far.
        """
        try:
            async with asyncio.timeout(START_MS_MAX / 1_000):
                await self._protected.wait()
        except TimeoutError as error:
            raise ScriptsUnavailable("no script process has started yet; the log says why") from error
        return list(self._protections or ())

    async def _complaint(self, job: ScriptJob) -> str | None:
        result = await self._result_of(job, check=True)
        return str(result) if isinstance(result, ScriptFailure) else None

    async def _result_of(self, job: ScriptJob, *, check: bool) -> ScriptResult:
        if self._waiting.full():
            raise ScriptsUnavailable(f"{self._settings.waiting_max} scripts wait for a turn already")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[ScriptResult] = loop.create_future()
        patience = loop.call_later(self._settings.wait_ms_max / 1_000, self._give_up, result)
        self._waiting.put_nowait(_Waiting(job=job, check=check, result=result, patience=patience))
        try:
            # Ends: by patience, or with the turn, which has a limit.
            return await result
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            # Not the caller was cancelled but the result.
            raise ScriptsUnavailable("this node is stopping, and its scripts with it") from None
        finally:
            patience.cancel()

    def _give_up(self, result: asyncio.Future[ScriptResult]) -> None:
        if not result.done():
            result.set_exception(
                ScriptsUnavailable(f"a script waited {self._settings.wait_ms_max} ms for a turn in vain")
            )

    async def _serve(self) -> None:
        """Run one job after the other, until cancelled."""
        while True:
            waiting = await self._waiting.get()
            # Whoever gave up no longer wants the result.
            if not waiting.result.done():
                await self._run(waiting)

    async def _run(self, waiting: _Waiting) -> None:
        message = message_of(waiting.job, check=waiting.check)
        if isinstance(message, ScriptFailure):
            waiting.result.set_result(message)
            return
        try:
            process = await self._living()
        except asyncio.CancelledError:
            waiting.result.cancel()
            raise
        if waiting.result.done():
            self._idle.put_nowait(process)
            return
        waiting.patience.cancel()
        ready = False
        try:
            result = await self._answered(process, waiting.job, *message)
            if not waiting.result.done():
                waiting.result.set_result(result)
            ready = process.alive and await process.wait_ready()
        finally:
            # A result is there unless the pool is closing.
            waiting.result.cancel()
            if ready:
                self._idle.put_nowait(process)
            else:
                self._missing.release()
                await process.end()

    async def _living(self) -> ScriptProcess:
        """Wait for a process that is idle and has not been ended by somebody else."""
        while True:
            process = await self._idle.get()
            if process.alive:
                return process
            self._missing.release()
            await process.end()

    async def _answered(self, process: ScriptProcess, job: ScriptJob, told: bytes, document: bytes) -> ScriptResult:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout((job.time_limit_ms + limits.GRACE_MS) / 1_000):
                tag, body = await process.ask(told, document)
        except TimeoutError:
            process.kill()
            return timeout_of(job, duration_ms=(clock() - began) * 1_000)
        except ProcessLost as lost:
            process.kill()
            return crash_of(job, lost.reason, duration_ms=(clock() - began) * 1_000)
        return result_of(tag, body, duration_ms=(clock() - began) * 1_000)

    async def _raise(self) -> None:
        """Start a process whenever one is missing, until cancelled."""
        while True:
            await self._missing.acquire()
            pause_s = _START_AGAIN_AFTER_S
            process: ScriptProcess | None = None
            while process is None:
                try:
                    process = await ScriptProcess.started(self._threads)
                except (ProcessLost, OSError, ImportError, msgspec.MsgspecError) as error:
                    _log.error("script_process_not_started", reason=str(error), again_after_s=pause_s)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _START_AGAIN_AFTER_S_MAX)
            if self._protections is None:
                self._protections = process.protections
                self._protected.set()
                _log.info("scripts_confined", protections=process.protections)
            self._idle.put_nowait(process)
