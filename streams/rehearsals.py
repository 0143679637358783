"""Rehearsals on a running node: prepared answers, skipped time, real scripts.

Holds the loop around `engine.rehearsal`. Must not touch the log. Keeps the invariants that a rehearsal never holds up
the other work of the node for longer than a slice, and that no more than a few run at once.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from engine.commands import StartWorkflow
from engine.context import DefinitionSource
from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.ids import DefinitionHash
from engine.mocks import Mocks
from engine.rehearsal import AskedScript, Rehearsal
from engine.schemas import SchemaValidator
from engine.shelf import Shelf
from streams.errors import StreamsError
from streams.instants import epoch_ms
from streams.script_tasks import BuiltInScripts
from streams.scripts.jobs import ScriptResult, ScriptValue
from streams.workflows import new_workflow_id

AT_ONCE_MAX: Final = 4
"""Each may hold 20,000 attempts in memory."""
WAITING_MAX: Final = 32
SLICE_DECISIONS: Final = 20
"""Decisions between two breaths of the event loop: a few milliseconds."""

_log = structlog.get_logger(__name__)


class TooManyRehearsals(StreamsError):
    """So many workflows are being rehearsed on this node that the next one is refused. Ask again in a moment."""

    retriable = True
    code = "TOO_MANY_REHEARSALS"


class NodeRehearsals:
    """The `Rehearsals` of this process."""

    def __init__(self, definitions: DefinitionSource, scripts: BuiltInScripts, schemas: SchemaValidator) -> None:
        """Rehearse what is registered in `definitions`."""
        self._definitions = definitions
        self._scripts = scripts
        self._schemas = schemas
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._present = 0

    async def run(self, command: StartWorkflow, *, mocks: Mocks, definitions: Sequence[WorkflowDef] = ()) -> Rehearsal:
        """Run a workflow as far as it goes. See `Rehearsals`."""
        if self._present >= AT_ONCE_MAX + WAITING_MAX:
            raise TooManyRehearsals(f"{self._present} workflows are being rehearsed here; ask again in a moment")
        self._present += 1
        try:
            async with self._turns:
                return await self._run(command, mocks, definitions)
        finally:
            self._present -= 1

    async def _run(self, command: StartWorkflow, mocks: Mocks, definitions: Sequence[WorkflowDef]) -> Rehearsal:
        overlaid = _Overlaid(self._definitions, definitions)
        rehearsal = Rehearsal(overlaid, now_ms=epoch_ms(), mocks=mocks, schemas=self._schemas)
        rehearsal.start(command, workflow_id=new_workflow_id())
        while True:
            if rehearsal.advance(SLICE_DECISIONS):
                await asyncio.sleep(0)
                continue
            scripts = rehearsal.scripts()
            if not scripts:
                break
            results = await asyncio.gather(*(self._scripts.compute(asked.attempt, asked.request) for asked in scripts))
            for asked, result in zip(scripts, results, strict=True):
                _answer(rehearsal, asked, result)
        _log.info("workflow_rehearsed", workflow=command.name, decisions=rehearsal.decisions)
        return rehearsal


def _answer(rehearsal: Rehearsal, asked: AskedScript, result: ScriptResult) -> None:
    if isinstance(result, ScriptValue):
        rehearsal.answer(asked, result.value)
    else:
        rehearsal.answer(asked, failure=str(result))


class _Overlaid:
    """A `DefinitionSource`: some definitions of one's own before those that are registered."""

    def __init__(self, registered: DefinitionSource, own: Sequence[WorkflowDef]) -> None:
        self._registered = registered
        self._own = Shelf()
        self._own.add(*own)

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        return self._own.find_workflow(name, version) or self._registered.find_workflow(name, version)

    def workflow_at(self, definition_hash: DefinitionHash) -> WorkflowDef | None:
        return self._own.workflow_at(definition_hash) or self._registered.workflow_at(definition_hash)

    def find_task(self, name: str) -> tuple[DefinitionHash, TaskDef] | None:
        return self._registered.find_task(name)

    def task_at(self, definition_hash: DefinitionHash) -> TaskDef | None:
        return self._registered.task_at(definition_hash)

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        return self._registered.find_schema(name, version)
