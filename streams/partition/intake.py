"""Commands as they come in: from the bytes of a record to a command that names its workflow.

Holds the decoding. Must not decide, nor look at any state: the same record gives the same command to every owner. Keeps
the invariant that no bytes whatever stop a partition: what is no command is `Unreadable`, with a reason.
"""

from typing import Final

import msgspec

from engine.commands import Command
from streams.partition.addressing import addressed
from streams.ports import LogRecord
from streams.records import DEPTH_MAX, nests_too_deep


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that holds no command. `reason` says why."""

    reason: str


_decoder: Final = msgspec.json.Decoder(Command, strict=False)


def read_command(source: LogRecord, *, partition: int, partitions: int) -> Command | Unreadable:
    """Return the command that a record holds. A start without an id is given one."""
    value = source.value or b""
    if nests_too_deep(value):
        return Unreadable(reason=f"not a command: it nests deeper than {DEPTH_MAX} objects and lists")
    try:
        return addressed(_decoder.decode(value), source, partition=partition, partitions=partitions)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        return Unreadable(reason=f"not a command: {error}")
