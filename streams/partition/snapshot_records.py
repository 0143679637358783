"""The records of the `snapshots` topic.

Holds their shapes and encoding. Must not read or write a log. Keeps two invariants: a record that was damaged is
noticed, and a state that comes in parts is there as a whole or not at all.

Keys and values:
- the id of a workflow, or of a limiter: a header, with the packed state in it;
- `<id>~<sequence>~<number>`: a part of a state too large for one record; the header, which comes behind its parts,
  names their sequence and count. `~` is in no workflow id;
- `~marker`: up to where all workflows before it reach;
- `~fence~<epoch>`: an owner begins to write, and up to which offset it has read. Its key is never used again, so it
  keeps its place: what stands behind it and carries an older epoch was written by somebody who had lost the partition
  without knowing; and so may be what stands before it and was not read.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.codec import pack
from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.partition.chain import ChainPosition
from streams.ports import NewRecord

MARKER_KEY: Final = b"~marker"
FENCE_PREFIX: Final = b"~fence~"
PART_BYTES_MAX: Final = 800_000
"""Of a packed state in one record: below a broker's limit of 1 MB, with room for key, header and frame."""
_DIGEST_BYTES: Final = 8


class SnapshotDamaged(ValueError):
    """A record cannot be what was written. The snapshots are not used; the log has everything."""


class Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the topic says of a workflow.

    `sequence`: the last decision that the state reflects. `due_at_ms`: its first timer, 0 for none. `ended`: it has
    left memory, and there is no state; `is_named`: its id must be remembered then. `is_waiting`: some task of it is to
    be handed out, or is a request under way, so it cannot just be left packed. `is_over`: it has ended, and waits for
    leaving memory. `epoch`: of the writer. `parts`: how many records hold the packed state, 0 if the header does.
    """

    sequence: int
    due_at_ms: int
    ended: bool
    packed: bytes
    is_waiting: bool = False
    is_named: bool = True
    is_over: bool = False
    epoch: int = -1
    parts: int = 0
    digest: bytes = b""


_encoder: Final = msgspec.msgpack.Encoder()
_header_decoder: Final = msgspec.msgpack.Decoder(Header)
_position_decoder: Final = msgspec.msgpack.Decoder(ChainPosition)


def state_records(
    state: WorkflowState,
    *,
    sequence: int,
    epoch: int,
    packed: bytes | None = None,
    due_at_ms: int = 0,
    is_waiting: bool = False,
) -> list[NewRecord]:
    """Return the records of a workflow that is in memory."""
    return packed_records(
        state.workflow_id,
        pack(state) if packed is None else packed,
        sequence=sequence,
        epoch=epoch,
        due_at_ms=due_at_ms,
        is_waiting=is_waiting,
        is_over=state.is_terminal,
    )


def packed_records(
    workflow_id: WorkflowId,
    content: bytes,
    *,
    sequence: int,
    epoch: int,
    due_at_ms: int = 0,
    is_waiting: bool = False,
    is_over: bool = False,
) -> list[NewRecord]:
    """Return the records of something that is in memory: its header alone, or parts and then the header."""
    pieces = [content[start : start + PART_BYTES_MAX] for start in range(0, len(content), PART_BYTES_MAX)]
    is_whole = len(pieces) == 1
    header = Header(
        sequence=sequence,
        due_at_ms=due_at_ms,
        ended=False,
        packed=content if is_whole else b"",
        is_waiting=is_waiting,
        is_over=is_over,
        epoch=epoch,
        parts=0 if is_whole else len(pieces),
        digest=_digest(content),
    )
    records = [
        NewRecord(key=_part_key(workflow_id, sequence, number), value=piece)
        for number, piece in enumerate([] if is_whole else pieces, start=1)
    ]
    return [*records, NewRecord(key=workflow_id.encode(), value=_encoder.encode(header))]


def left_header(workflow_id: WorkflowId, *, sequence: int, epoch: int, is_named: bool) -> NewRecord:
    """Return the record of a workflow that has left memory; `sequence`: no earlier decision about it counts."""
    header = Header(sequence=sequence, due_at_ms=0, ended=True, packed=b"", is_named=is_named, epoch=epoch)
    return NewRecord(key=workflow_id.encode(), value=_encoder.encode(header))


def marker(position: ChainPosition) -> NewRecord:
    """Return the marker of a complete cycle."""
    return NewRecord(key=MARKER_KEY, value=_encoder.encode(position))


def fence(epoch: int, *, read_up_to: int) -> NewRecord:
    """Return the record with which an owner begins to write; it knows what is in the topic before `read_up_to`."""
    return NewRecord(key=FENCE_PREFIX + str(epoch).encode(), value=str(read_up_to).encode())


def part_keys(records: Sequence[NewRecord], workflow_id: WorkflowId) -> list[bytes]:
    """Return the keys of those records that are parts of a workflow's state."""
    prefix = f"{workflow_id}~".encode()
    return [record.key for record in records if record.key is not None and record.key.startswith(prefix)]


def keys_of_parts(workflow_id: WorkflowId, header: Header) -> list[bytes]:
    """Return the keys of the parts that a header names, in order."""
    return [_part_key(workflow_id, header.sequence, number) for number in range(1, header.parts + 1)]


def read_marker(value: bytes) -> ChainPosition:
    """Return the position that a marker names.

    Raises:
        SnapshotDamaged: it is not one of ours.
    """
    try:
        return _position_decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise SnapshotDamaged(f"the marker cannot be read: {error}") from error


def read_header(workflow_id: WorkflowId, value: bytes) -> Header:
    """Return what a record says of a workflow.

    Raises:
        SnapshotDamaged: it is not one of ours.
    """
    try:
        return _header_decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise SnapshotDamaged(f"the record of workflow {workflow_id} cannot be read: {error}") from error


def packed_state(workflow_id: WorkflowId, header: Header, parts: Mapping[bytes, bytes]) -> bytes:
    """Return the packed state that a header stands for.

    Raises:
        SnapshotDamaged: a part is missing, or it is not what was packed.
    """
    content = header.packed
    if header.parts:
        keys = keys_of_parts(workflow_id, header)
        missing = [key.decode() for key in keys if key not in parts]
        if missing:
            raise SnapshotDamaged(f"parts of workflow {workflow_id} are missing: {', '.join(missing)}")
        content = b"".join(parts[key] for key in keys)
    if header.digest and _digest(content) != header.digest:
        raise SnapshotDamaged(f"the state of workflow {workflow_id} is not what was packed")
    return content


def _part_key(workflow_id: WorkflowId, sequence: int, number: int) -> bytes:
    return f"{workflow_id}~{sequence}~{number}".encode()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
