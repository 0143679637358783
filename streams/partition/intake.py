"""Commands as they come in: from the bytes of a record to a command that names its workflow.

Holds the decoding and the addressing. Must not decide, nor look at any state: the same record gives the same command to
every owner. Keeps the invariant that no bytes whatever stop a partition: what is no command is `Unreadable`, with a
reason.
"""

import itertools
from typing import Final

import msgspec

from engine.commands import Command, StartWorkflow
from engine.ids import WorkflowId, derived_workflow_id
from streams.ports import LogRecord
from streams.records import DEPTH_MAX, nests_too_deep
from streams.topics import partition_of


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that holds no command. `reason` says why."""

    reason: str


_decoder: Final = msgspec.json.Decoder(Command, strict=False)


def read_command(source: LogRecord, *, partitions: int) -> Command | Unreadable:
    """Return the command that a record holds. A start without an id is given one."""
    value = source.value or b""
    if nests_too_deep(value):
        return Unreadable(reason=f"not a command: it nests deeper than {DEPTH_MAX} objects and lists")
    try:
        return _addressed(_decoder.decode(value), source, partitions)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        return Unreadable(reason=f"not a command: {error}")


def _addressed(command: Command, source: LogRecord, partitions: int) -> Command:
    """Give a start its id: its own, else the record's key, else one derived from the record's place in the log."""
    if not isinstance(command, StartWorkflow) or command.workflow_id is not None:
        return command
    if source.key:
        return msgspec.structs.replace(command, workflow_id=WorkflowId(source.key.decode()))
    return msgspec.structs.replace(command, workflow_id=_derived_id(source, partitions), generated_id=True)


def _derived_id(source: LogRecord, partitions: int) -> WorkflowId:
    """Return an id that belongs into the record's partition and that no other command derives."""
    candidates = (
        derived_workflow_id(f"command\0{source.partition}\0{source.offset}\0{attempt}") for attempt in itertools.count()
    )
    return next(
        candidate for candidate in candidates if partition_of(candidate.encode(), partitions) == source.partition
    )
