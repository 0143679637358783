"""Which workflow a command is for, when the command itself does not say.

Holds the rule for starts that come without an id. Must not draw a random number: a command that is read twice starts
the same workflow twice, which is once. Keeps the invariant that a derived id belongs into the partition that the
command was found in.
"""

import itertools

import msgspec

from engine.commands import Command, StartWorkflow
from engine.ids import WorkflowId, derived_workflow_id
from streams.ports import LogRecord
from streams.topics import partition_of


def addressed(command: Command, source: LogRecord, *, partition: int, partitions: int) -> Command:
    """Return a command with its workflow's id: its own, the record's key, or one derived from its place in the log.

    A start with an idempotency key is left as it is: the key's owner gives the id.

    Raises:
        UnicodeDecodeError: the key should be the id and is not text.
    """
    if not isinstance(command, StartWorkflow) or command.workflow_id is not None or command.idempotency_key:
        return command
    if source.key:
        return msgspec.structs.replace(command, workflow_id=WorkflowId(source.key.decode()))
    candidates = (
        derived_workflow_id(f"command\0{partition}\0{source.offset}\0{attempt}") for attempt in itertools.count()
    )
    workflow_id = next(
        candidate for candidate in candidates if partition_of(candidate.encode(), partitions) == partition
    )
    return msgspec.structs.replace(command, workflow_id=workflow_id, generated_id=True)
