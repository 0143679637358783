"""A workflow's state as bytes, and back.

Holds the packed form for snapshots and for idle workflows in memory. Must not be read by anybody but this module: its
layout is ours to change with `FORMAT`. Keeps the invariants that unpacking what was packed gives an equal state, and
that equal states are packed to the same bytes in every process.

The form is MessagePack. It has no integers beyond 64 bits, JSON has: a state with one in its payloads is packed as
JSON, which begins with `[`, and no packed array of so many fields does.
"""

from typing import Final

import msgspec
from immutables import Map

from engine.errors import EngineError
from engine.events import WorkflowStarted
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.model import EMPTY_INBOX, Attached, Inbox, Scope, Slot, Task, WorkflowState
from engine.status import WorkflowStatus

FORMAT: Final = 3
"""Of the packed bytes. A state in another format is folded anew from the log."""


class FormatUnknown(EngineError):
    """Packed bytes are of another release. Fold the workflow from the log instead."""


class _Packed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    format: int
    started: WorkflowStarted
    status: WorkflowStatus
    tasks: tuple[Task, ...]
    scopes: dict[RefName, Scope]
    missing: dict[TaskSeq, int]
    awaited: dict[RefName, tuple[TaskSeq, ...]]
    loops: dict[TaskSeq, int]
    newest: dict[RefName, TaskSeq]
    variables: JsonObject
    output: JsonObject
    reason: str
    failed_refs: tuple[RefName, ...]
    failed_names: tuple[str, ...]
    failed_seq: TaskSeq | None
    held: tuple[TaskSeq, ...]
    open_count: int
    last_seq: TaskSeq
    version: int
    created_at_ms: int
    updated_at_ms: int
    ended_at_ms: int
    clock_from_ms: int
    last_retried_at_ms: int
    slots: dict[TaskSeq, Slot]
    run: int
    heard: int
    attached: tuple[Attached, ...]
    inbox: Inbox = EMPTY_INBOX


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Packed)
_json_encoder: Final = msgspec.json.Encoder()
_json_decoder: Final = msgspec.json.Decoder(_Packed)
_JSON_MARK: Final = b"["

_SAME: Final = tuple(
    field
    for field in _Packed.__struct_fields__
    if field not in {"format", "tasks", "scopes", "missing", "awaited", "loops", "newest", "slots"}
)


def pack(state: WorkflowState) -> bytes:
    """Return a state as bytes. Costs the length of the workflow."""
    tasks = sorted(state.tasks.values(), key=lambda task: task.spec.seq)
    packed = _Packed(
        format=FORMAT,
        tasks=tuple(tasks),
        # A persistent map's own order follows from its keys' hashes, which differ from process to process.
        scopes=dict(sorted(state.scopes.items())),
        missing=dict(sorted(state.missing.items())),
        awaited=dict(sorted(state.awaited.items())),
        loops=dict(sorted(state.loops.items())),
        newest=dict(sorted(state.newest.items())),
        slots=dict(sorted(state.slots.items())),
        **{field: getattr(state, field) for field in _SAME},
    )
    try:
        return _encoder.encode(packed)
    except OverflowError:
        return _json_encoder.encode(packed)


def unpack(packed: bytes) -> WorkflowState:
    """Return the state that `pack` was given.

    Raises:
        FormatUnknown: the bytes were written by another release.
    """
    try:
        found = (_json_decoder if packed.startswith(_JSON_MARK) else _decoder).decode(packed)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"packed state of {len(packed)} bytes cannot be read: {error}"
        raise FormatUnknown(message) from error
    if found.format != FORMAT:
        message = f"packed state has format {found.format}, this release reads {FORMAT}"
        raise FormatUnknown(message)
    latest: dict[RefName, TaskSeq] = {}
    for task in found.tasks:  # ascending: the newest attempt of a ref is written last
        latest[task.spec.ref] = task.spec.seq
    return WorkflowState(
        tasks=Map({task.spec.seq: task for task in found.tasks}),
        latest=Map(latest),
        newest=Map(found.newest),
        scopes=Map(found.scopes),
        missing=Map(found.missing),
        awaited=Map(found.awaited),
        loops=Map(found.loops),
        slots=Map(found.slots),
        **{field: getattr(found, field) for field in _SAME},
    )
