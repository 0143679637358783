"""The registered definitions of one node, kept equal to the topic `definitions`.

Holds the copy in memory and the two directions: reading the topic for ever, appending to it. Must not judge definitions
(`engine.validation` does). Keeps the invariant that a write returns only when this node has read it back, so that what
is found afterwards is what the log says.

A node that has not yet read what another one has written finds out by `refresh`.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

import structlog

from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.ids import DefinitionHash
from streams.definition_table import DefinitionTable, RecordUnreadable, records_of, schema_key, task_key, workflow_key
from streams.errors import LogUnavailable
from streams.ports import Log, LogReader, LogRecord, NewRecord
from streams.topics import DEFINITIONS

READ_RECORDS_MAX: Final = 500
READ_WAIT_MS: Final = 1_000
CAUGHT_UP_WITHIN_MS: Final = 10_000
"""A write, or a refresh, that takes longer than this says that the log is unavailable."""
RETRY_AFTER_S: Final = 0.5
EMPTY_READS_MAX: Final = 5
"""So many reads without a record, while the log answers, are the end of it: compaction took what was behind."""

_PARTITION: Final = 0

_log = structlog.get_logger(__name__)


class Registry:
    """Definitions for the surfaces (`streams.service.Definitions`) and for decisions (`DefinitionSource`).

    An async context manager: entered, it has read everything that was registered by then.
    """

    def __init__(self, log: Log, *, on_change: Callable[[], None] | None = None) -> None:
        """Follow the topic `definitions` of `log`, which exists already; tell of changes once they are found here."""
        self._log = log
        self._on_change = on_change
        self._table = DefinitionTable()
        self._reader: LogReader | None = None
        self._tasks = asyncio.TaskGroup()
        self._following: asyncio.Task[None] | None = None
        self._position = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def __aenter__(self) -> Self:
        """Read what is there, then go on reading in the background.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        offsets = await self._log.offsets(DEFINITIONS, _PARTITION)
        self._position = offsets.earliest
        reader = self._reader = self._log.reader(DEFINITIONS, _PARTITION, from_offset=offsets.earliest)
        try:
            await self._read_to(reader, offsets.next)
        except BaseException:
            await reader.close()
            raise
        await self._tasks.__aenter__()
        self._following = self._tasks.create_task(self._follow(reader), name="registry")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._following is not None:
            self._following.cancel()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            for _, reached in self._waiting:
                reached.cancel()
            if self._reader is not None:
                await self._reader.close()

    async def put_workflow(self, definition: WorkflowDef) -> None:
        """Register a version of a workflow, replacing the same version.

        Raises:
            LogUnavailable, StoreFull: it may or may not be registered; registering again does no harm.
            RecordTooLarge: the definition is larger than a record may be.
        """
        await self._put(workflow_key(definition.name, definition.version), definition)

    async def put_task(self, definition: TaskDef) -> None:
        """Register a task definition, replacing the one of the same name.

        Raises:
            LogUnavailable, StoreFull, RecordTooLarge: see `put_workflow`.
        """
        await self._put(task_key(definition.name), definition)

    async def delete_workflow(self, name: str, version: int) -> bool:
        """Forget a version; tell whether there was one. Workflows that run by it go on.

        Raises:
            LogUnavailable, StoreFull: it may or may not be forgotten.
        """
        if self._table.find_workflow(name, version) is None:
            return False
        await self._delete(workflow_key(name, version))
        return True

    async def delete_task(self, name: str) -> bool:
        """Forget a task definition; tell whether there was one. Workflows that run by it go on.

        Raises:
            LogUnavailable, StoreFull: it may or may not be forgotten.
        """
        if self._table.find_task(name) is None:
            return False
        await self._delete(task_key(name))
        return True

    async def put_schema(self, definition: SchemaDef) -> None:
        """Register a version of a schema, replacing the same version.

        Raises:
            LogUnavailable, StoreFull, RecordTooLarge: see `put_workflow`.
        """
        await self._put(schema_key(definition.name, definition.version), definition)

    async def delete_schema(self, name: str, version: int) -> bool:
        """Forget a version of a schema; tell whether there was one.

        Raises:
            LogUnavailable, StoreFull: it may or may not be forgotten.
        """
        if self._table.find_schema(name, version) is None:
            return False
        await self._delete(schema_key(name, version))
        return True

    async def refresh(self) -> None:
        """Read everything that is in the topic now, so that what another node has written is found.

        Raises:
            LogUnavailable: the log cannot be reached, or did not give the records in time.
        """
        offsets = await self._log.offsets(DEFINITIONS, _PARTITION)
        await self._wait_read(offsets.next)

    def workflow(self, name: str, version: int | None = None) -> WorkflowDef | None:
        """Return a version of a workflow definition, the newest if None."""
        found = self._table.find_workflow(name, version)
        return None if found is None else found[1]

    def workflows(self) -> Sequence[WorkflowDef]:
        """Return all versions of all workflow definitions, by name and version."""
        return self._table.workflows()

    def task(self, name: str) -> TaskDef | None:
        """Return a task definition."""
        found = self._table.find_task(name)
        return None if found is None else found[1]

    def tasks(self) -> Sequence[TaskDef]:
        """Return all task definitions, by name."""
        return self._table.tasks()

    def schemas(self) -> Sequence[SchemaDef]:
        """Return all versions of all schemas, by name and version."""
        return self._table.schemas()

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        """Return a version of a schema, the newest if None."""
        return self._table.find_schema(name, version)

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        """See `DefinitionSource`."""
        return self._table.find_workflow(name, version)

    def workflow_at(self, definition_hash: DefinitionHash) -> WorkflowDef | None:
        """See `DefinitionSource`."""
        return self._table.workflow_at(definition_hash)

    def find_task(self, name: str) -> tuple[DefinitionHash, TaskDef] | None:
        """See `DefinitionSource`."""
        return self._table.find_task(name)

    def task_at(self, definition_hash: DefinitionHash) -> TaskDef | None:
        """See `DefinitionSource`."""
        return self._table.task_at(definition_hash)

    async def _put(self, key: bytes, definition: WorkflowDef | TaskDef | SchemaDef) -> None:
        records = records_of(key, definition)
        first_offset = await self._log.append(DEFINITIONS, _PARTITION, records)
        await self._wait_read(first_offset + len(records))

    async def _delete(self, key: bytes) -> None:
        offset = await self._log.append(DEFINITIONS, _PARTITION, [NewRecord(key=key, value=None)])
        await self._wait_read(offset + 1)

    async def _wait_read(self, position: int) -> None:
        """Wait until every record before `position` has been applied."""
        if self._position >= position:
            return
        waiter = (position, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(CAUGHT_UP_WITHIN_MS / 1_000):
                await waiter[1]
        except TimeoutError:
            raise LogUnavailable(
                f"the topic {DEFINITIONS} was read to offset {self._position} and not to {position} within "
                f"{CAUGHT_UP_WITHIN_MS} ms; try again when the log answers"
            ) from None
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def _read_to(self, reader: LogReader, end: int) -> None:
        """Apply the records before `end`."""
        empty_reads = 0
        while self._position < end:
            records = await reader.read(records_max=READ_RECORDS_MAX, wait_ms=READ_WAIT_MS)
            self._apply(records)
            empty_reads = 0 if records else empty_reads + 1
            if empty_reads >= EMPTY_READS_MAX:
                await self._log.offsets(DEFINITIONS, _PARTITION)  # raises where the log is the reason
                _log.warning("definitions_end_compacted", position=self._position, end=end)
                return

    async def _follow(self, reader: LogReader) -> None:
        """Apply what is appended, until cancelled."""
        while True:
            try:
                records = await reader.read(records_max=READ_RECORDS_MAX, wait_ms=READ_WAIT_MS)
            except LogUnavailable as error:
                _log.warning("definitions_unreachable", reason=str(error))
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                self._apply(records)

    def _apply(self, records: Sequence[LogRecord]) -> None:
        for record in records:
            try:
                self._table.apply(record.key, record.value)
            except RecordUnreadable as error:
                _log.warning("definition_skipped", offset=record.offset, reason=str(error))
            self._position = record.offset + 1
        if records and self._on_change is not None:
            self._on_change()
        for position, reached in self._waiting:
            if position <= self._position and not reached.done():
                reached.set_result(None)
