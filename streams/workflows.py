"""Commands and reads of one node: routed to the owner, answered when the log says so.

Holds the port that the surfaces use (`streams.service.Workflows`). Must not decide. Keeps the invariants that a caller
who was answered sees its own write in every later read on this node, and that nothing is appended for a workflow that
lives in another process unless the caller asked for just that (`append`).
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.commands import Command, StartWorkflow, workflow_of
from engine.ids import WorkflowId
from engine.model import WorkflowState
from engine.rejections import RejectionCode
from streams.command_outlet import CommandOutlet
from streams.errors import OwnershipLost
from streams.ownership import OwnedPartitions
from streams.partition.processor import PartitionProcessor
from streams.replies import Replies
from streams.service import Answer, History, NotOwner

OWNER_WAIT_MS: Final = 5_000
"""How long a call waits for a partition that is being recovered here."""

_FORGOTTEN: Final = frozenset({RejectionCode.WORKFLOW_NOT_FOUND, RejectionCode.TASK_NOT_FOUND})


class NodeWorkflows:
    """The `Workflows` of this process."""

    def __init__(
        self,
        *,
        commands: CommandOutlet,
        replies: Replies,
        owned: OwnedPartitions,
        history: History | None,
        owner_url: Callable[[int], str | None],
        taken_back: Callable[[WorkflowState], None],
    ) -> None:
        """`owner_url` tells where a partition of another process answers; `taken_back` is told of an ended workflow that is back in memory."""
        self._commands = commands
        self._replies = replies
        self._owned = owned
        self._history = history
        self._owner_url = owner_url
        self._taken_back = taken_back

    async def submit(self, command: Command, *, wait_ms: int = 10_000) -> Answer:
        """Append a command, wait for its decision and return it. See `streams.service.Workflows`."""
        if isinstance(command, StartWorkflow) and command.workflow_id is None:
            command = msgspec.structs.replace(command, workflow_id=self._fresh_id(), generated_id=True)
        workflow_id = workflow_of(command) or WorkflowId("")
        processor = await self._processor_of(workflow_id)
        answer = await self._ask(command, processor.partition, wait_ms)
        forgotten = answer.rejected is not None and answer.rejected.code in _FORGOTTEN and answer.state is None
        if forgotten and self._history is not None and not isinstance(command, StartWorkflow):
            ended = await processor.take_back(workflow_id, self._history.state)
            if ended is not None:
                self._taken_back(ended)
                answer = await self._ask(command, processor.partition, wait_ms)
        return answer

    async def append(self, command: Command) -> None:
        """Append a command from any node and return when it is durable."""
        await self._commands.append(command)

    async def state(self, workflow_id: WorkflowId) -> WorkflowState | None:
        """Return a workflow's state, not older than any command that this node has taken for it."""
        while True:
            processor = await self._processor_of(workflow_id)
            try:
                offset = await self._commands.flushed(processor.partition)
                if offset is not None:
                    await processor.wait_decided(offset)
                return await processor.state(workflow_id)
            except OwnershipLost:
                continue  # its next owner answers, here or elsewhere; each round waits for one, within a bound

    async def open_states(self) -> Sequence[WorkflowState]:
        """Return the workflows in memory of this node's partitions."""
        return [state for processor in self._owned.deciding() for state in processor.machine.table.states()]

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


def new_workflow_id() -> WorkflowId:
    """Return a fresh, time-ordered id: version 7 of RFC 9562."""
    millis = time.time_ns() // 1_000_000
    number = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    number = (number & ~(0xF << 76)) | (0x7 << 76)
    number = (number & ~(0x3 << 62)) | (0x2 << 62)
    text = f"{number:032x}"
    return WorkflowId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
