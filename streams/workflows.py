"""Commands and reads of one node: routed to the owner, answered when the log says so.

Holds the port that the surfaces use (`streams.service.Workflows`). Must not decide. Keeps the invariants that a caller
who was answered sees its own write in every later read on this node, and that nothing is appended for a workflow that
lives in another process unless the caller asked for just that (`append`).
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from engine.commands import Command, StartWorkflow, workflow_of
from engine.ids import WorkflowId
from engine.model import WorkflowState
from engine.rejections import RejectionCode
from streams.command_outlet import CommandOutlet
from streams.errors import OwnershipLost, StreamsError
from streams.ownership import OwnedPartitions
from streams.partition.processor import PartitionProcessor
from streams.ports import LogRecord
from streams.replies import Replies
from streams.service import Answer, DecisionTimeout, History, NotOwner
from streams.watches import Watching

OWNER_WAIT_MS: Final = 5_000
"""How long a call waits for a partition that is being recovered here."""
STATE_WAIT_MS: Final = 10_000
"""How long a read waits, in all, for what this node has taken for the workflow to be decided."""
RETURNS_MAX: Final = 3
"""How often an ended workflow is taken back for one command: where the log is slow, it may leave again before that."""
STATES_AT_ONCE: Final = 500
"""Of a scan over all workflows in memory, before others get a turn: up to 10 ms of work."""

BRING_BACK_WAIT_MS: Final = 2_000
"""How long decisions of a partition wait for the history because one workflow speaks to another that has ended."""


class _Addressee(msgspec.Struct, rename="camel"):
    """What of a command says for whom it is."""

    workflow_id: WorkflowId


_addressee_decoder: Final = msgspec.json.Decoder(_Addressee)
_log = structlog.get_logger(__name__)

_FORGOTTEN: Final = frozenset({RejectionCode.WORKFLOW_NOT_FOUND, RejectionCode.TASK_NOT_FOUND})


class NodeWorkflows:
    """The `Workflows` of this process."""

    def __init__(
        self,
        *,
        commands: CommandOutlet,
        replies: Replies,
        owned: OwnedPartitions,
        history: History,
        owner_url: Callable[[int], str | None],
        taken_back: Callable[[WorkflowState], None],
    ) -> None:
        """`owner_url` tells where a partition of another process answers.

        `taken_back` is told of ended workflows that are in memory again.
        """
        self._commands = commands
        self._replies = replies
        self._owned = owned
        self._history = history
        self._owner_url = owner_url
        self._taken_back = taken_back

    async def submit(self, command: Command, *, wait_ms: int = 10_000) -> Answer:
        """Append a command, wait for its decision and return it. See `streams.service.Workflows`."""
        is_keyed = isinstance(command, StartWorkflow) and command.workflow_id is None and command.idempotency_key
        if isinstance(command, StartWorkflow) and command.workflow_id is None and not is_keyed:
            command = msgspec.structs.replace(command, workflow_id=self._fresh_id(), generated_id=True)
        workflow_id = workflow_of(command) or WorkflowId("")
        processor = await self._processor_of(workflow_id)
        answer = await self._ask(command, processor.partition, wait_ms)
        for _ in range(RETURNS_MAX):
            if not _is_forgotten(answer) or isinstance(command, StartWorkflow) or not await self._return(workflow_id):
                break
            answer = await self._ask(command, processor.partition, wait_ms)
        if is_keyed and answer.rejected is None and answer.state is None:
            # Its key stands for a workflow that has left memory.
            return msgspec.structs.replace(answer, state=await self._history.state(answer.workflow_id))
        return answer

    async def append(self, command: Command) -> None:
        """Append a command from any node and return when it is durable."""
        await self._commands.append(command)

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state, not older than any command that this node has taken for it."""
        try:
            async with asyncio.timeout(STATE_WAIT_MS / 1000):
                return await self._state(workflow_id)
        except TimeoutError:
            message = (
                f"what was asked of workflow {workflow_id} before was not decided within {STATE_WAIT_MS} ms; "
                f"ask for its state again in a moment"
            )
            raise DecisionTimeout(message) from None

    def watching(self) -> Watching:
        """Return a watch over workflows of this process."""
        return Watching(self._processor_of)

    async def bring_back(self, record: LogRecord) -> None:
        """Hold the ended workflow that a command is for, if it is not in memory and the history has it.

        Where the history cannot answer in time the command is decided without it, and refused: whoever sent it is told.
        """
        try:
            workflow_id = _addressee_decoder.decode(record.value or b"").workflow_id
        except (msgspec.DecodeError, msgspec.ValidationError):
            return
        processor = self._owned.processor(record.partition)
        if processor is None or workflow_id in processor.machine.table:
            return
        try:
            async with asyncio.timeout(BRING_BACK_WAIT_MS / 1000):
                await self._return(workflow_id)
        except (TimeoutError, StreamsError) as error:
            _log.warning("workflow_not_brought_back", workflow_id=workflow_id, error=str(error))

    async def open_states(self) -> Sequence[WorkflowState]:
        """Return the workflows in memory of this node's partitions. Costs as much as there are."""
        found: list[WorkflowState] = []
        for processor in self._owned.deciding():
            table = processor.machine.table
            for number, workflow_id in enumerate(table.ids(), start=1):
                state = table.peek(workflow_id)
                if state is not None:
                    found.append(state)
                if number % STATES_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return found

    async def _state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        while True:
            processor = await self._processor_of(workflow_id)
            try:
                offset = await self._commands.flushed(processor.partition)
                if offset is not None:
                    await processor.wait_decided(offset)
                return await processor.state(workflow_id)
            except OwnershipLost:
                continue  # its next owner answers, here or elsewhere; each round waits for one, within a bound

    async def _return(self, workflow_id: WorkflowId) -> bool:
        """Take an ended workflow back from the history; tell whether it is in memory now.

        Raises:
            HistoryUnavailable: it cannot answer.
            NotOwner: the partition has left meanwhile, or is being recovered.
        """
        processor = await self._processor_of(workflow_id)
        try:
            returned = await processor.take_back(workflow_id, self._history.state)
        except OwnershipLost:
            partition = processor.partition
            raise NotOwner(workflow_id, self._owner_url(partition)) from None
        if returned is not None:
            self._taken_back(returned)
        return workflow_id in processor.machine.table

    def _fresh_id(self) -> WorkflowId:
        """Return a new id in a partition that decides here, if one does: a start then needs no second hop."""
        here = {processor.partition for processor in self._owned.deciding()} or self._owned.assigned
        while True:
            workflow_id = new_workflow_id()
            if not here or self._commands.partition_of(workflow_id) in here:
                return workflow_id

    async def _ask(self, command: Command, partition: int, wait_ms: int) -> Answer:
        request_id = self._replies.expect(partition)
        try:
            await self._commands.append(msgspec.structs.replace(command, request_id=request_id))
            return await self._replies.wait(request_id, workflow_of(command) or WorkflowId(""), timeout_ms=wait_ms)
        finally:
            self._replies.forget(request_id)

    async def _processor_of(self, workflow_id: WorkflowId) -> PartitionProcessor:
        partition = self._commands.partition_of(workflow_id)
        processor = self._owned.processor(partition)
        if processor is None and partition in self._owned.assigned:
            processor = await self._owned.wait_deciding(partition, timeout_ms=OWNER_WAIT_MS)
        if processor is None:
            raise NotOwner(workflow_id, self._owner_url(partition))
        return processor


def _is_forgotten(answer: Answer) -> bool:
    return answer.state is None and answer.rejected is not None and answer.rejected.code in _FORGOTTEN


def new_workflow_id() -> WorkflowId:
    """Return a fresh, time-ordered id: version 7 of RFC 9562."""
    millis = time.time_ns() // 1_000_000
    number = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    number = (number & ~(0xF << 76)) | (0x7 << 76)
    number = (number & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{number:032x}"
    return WorkflowId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
