"""Questions to the store that name a workflow or a partition.

Holds the queries; each blocks and belongs in the lane of the client it is given. Must not write. Keeps the invariant
that a state returned here is the fold of events, never a row that somebody wrote as a state.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec

from engine.applier import fold
from engine.events import Event
from engine.ids import WorkflowId
from engine.model import WorkflowState
from streams.history.clients import StoreClient
from streams.history.schema import EVENTS, EXECUTIONS, OFFSETS
from streams.partition.chain import ChainPosition

FOLDED_AT_ONCE_MAX: Final = 200
"""Workflows per query: their events are held in memory together."""

REMOVED: Final = "workflow_removed"
"""The event that is left of a workflow whose history has been removed."""

_event_decoder: Final = msgspec.json.Decoder(Event)
_chain_decoder: Final = msgspec.json.Decoder(ChainPosition)


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a workflow. `version` counts the workflow's events, `offset` is that of its record in the log."""

    version: int
    at_ms: int
    cause: str
    partition: int
    offset: int
    event: Event


def read_chain(client: StoreClient, partition: int) -> ChainPosition:
    """Return where the projection of a partition goes on."""
    found = client.rows(
        f"SELECT chain FROM {OFFSETS} FINAL WHERE log_partition = {{partition:UInt32}}",  # noqa: S608 (a constant)
        {"partition": partition},
    )
    return _chain_decoder.decode(found[0][0]) if found else ChainPosition()


def read_folds(
    client: StoreClient, workflow_ids: Sequence[WorkflowId], *, before_offset: int
) -> dict[WorkflowId, tuple[int, WorkflowState] | None]:
    """Return, per workflow that has events before an offset of its partition, its first instant and its state there.

    None stands for one that has been removed, whatever is still stored of it.
    """
    found: dict[WorkflowId, tuple[int, WorkflowState] | None] = {}
    for start in range(0, len(workflow_ids), FOLDED_AT_ONCE_MAX):
        rows = client.rows(
            "SELECT workflow_id, toUnixTimestamp64Milli(created_at), event, body "  # noqa: S608 (a constant)
            f"FROM {EVENTS} FINAL "
            f"WHERE workflow_id IN {{ids:Array(String)}} AND (position < {{before:UInt64}} OR event = '{REMOVED}') "
            "ORDER BY workflow_id, version",
            {"ids": list(workflow_ids[start : start + FOLDED_AT_ONCE_MAX]), "before": before_offset},
        )
        for workflow_id, events in groupby(rows, key=itemgetter(0)):
            listed = list(events)
            if listed[-1][2] == REMOVED:
                found[WorkflowId(workflow_id)] = None
                continue
            state = fold(_events(row[3] for row in listed))
            if state is not None:
                found[WorkflowId(workflow_id)] = (listed[0][1], state)
    return found


def read_state(client: StoreClient, workflow_id: WorkflowId, *, version: int | None) -> WorkflowState | None:
    """Return a workflow after its event number `version` (None: the newest), or None if it has none, or is removed."""
    rows = client.rows(
        f"SELECT event, body FROM {EVENTS} FINAL "  # noqa: S608 (a constant)
        "WHERE workflow_id = {id:String} AND version <= {version:UInt32} ORDER BY version",
        {"id": workflow_id, "version": 0xFFFF_FFFF if version is None else version},
    )
    return None if rows and rows[-1][0] == REMOVED else fold(_events(row[1] for row in rows))


def read_events(client: StoreClient, workflow_id: WorkflowId, *, start: int, count: int) -> list[RecordedEvent]:
    """Return up to `count` events of a workflow, from its event number `start` on (the first is 1)."""
    rows = client.rows(
        "SELECT version, toUnixTimestamp64Milli(at), cause, log_partition, position, body "  # noqa: S608 (a constant)
        f"FROM {EVENTS} FINAL "
        f"WHERE workflow_id = {{id:String}} AND version >= {{start:UInt32}} AND event != '{REMOVED}' "
        "ORDER BY version LIMIT {count:UInt32}",
        {"id": workflow_id, "start": start, "count": count},
    )
    return [
        RecordedEvent(
            version=version,
            at_ms=at_ms,
            cause=cause,
            partition=partition,
            offset=offset,
            event=_event_decoder.decode(body),
        )
        for version, at_ms, cause, partition, offset, body in rows
    ]


def read_version(client: StoreClient, workflow_id: WorkflowId) -> int:
    """Return up to which event number everything is written that the store keeps of a workflow, 0 if nothing is.

    Its row among the executions tells, because that is written after the events and the tasks. Of a workflow that was
    removed only the last event is left, once that row has gone.
    """
    rows = client.rows(
        "SELECT if(count() = 0, "  # noqa: S608 (constants)
        f"(SELECT max(version) FROM {EVENTS} WHERE workflow_id = {{id:String}} AND event = '{REMOVED}'), "
        f"max(event_version)) FROM {EXECUTIONS} WHERE workflow_id = {{id:String}}",
        {"id": workflow_id},
    )
    return int(rows[0][0]) if rows else 0


def _events(bodies: Iterable[str]) -> Iterable[Event]:
    return map(_event_decoder.decode, bodies)
