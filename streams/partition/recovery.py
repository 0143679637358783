"""Taking over a partition: everything before its first decision.

Holds the steps in their order: 1. restore snapshots, 2. claim, 3. replay up to the claim, 4. fetch again what is needed
to repeat the last effects. Must not send anything. Keeps the invariant that a machine which comes out of here stands
exactly where the log stood at its claim; where that cannot be, the log is not to be trusted, and that is said.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from streams.errors import LogCorrupt, OffsetOutOfRange, SnapshotUnfit
from streams.partition.machine import PartitionMachine
from streams.partition.restoring import Restored, restore
from streams.partition.snapshot_records import MARKER_KEY
from streams.partition.turn import Outbox
from streams.ports import Log, NewRecord
from streams.records import OwnerClaimed, encode
from streams.topics import COMMANDS, EVENTS

REPLAY_RECORDS_MAX: Final = 5_000
READ_WAIT_MS: Final = 1_000

_log = structlog.get_logger(__name__)


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery found. `outbox`: what may not have been done; `backlog`: the newest command there was then."""

    outbox: Outbox
    restored: Restored
    backlog: int


async def recover(log: Log, partition: int, machine: PartitionMachine, claim: OwnerClaimed) -> Recovered:
    """Bring a machine that knows nothing to where the log stands, and own the partition from there on.

    Raises:
        LogUnavailable, StoreFull: the partition may or may not be claimed; begin anew.
        LogCorrupt: the log is not what it should be; names the place.
    """
    restored = await restore(log, partition, machine)
    position = machine.acknowledged_position.next_offset
    claimed_at = await log.append(EVENTS, partition, [NewRecord(key=None, value=encode(claim))])
    if claimed_at < position:
        message = (
            f"events partition {partition}: the log ended at offset {claimed_at}, before {position}, up to which a "
            f"snapshot has seen it: records are missing at its end; restore the log from a good copy"
        )
        raise LogCorrupt(message)
    try:
        await _replay(log, partition, machine, from_offset=position, claimed_at=claimed_at)
    except SnapshotUnfit as error:
        _log.error("snapshots_not_trusted", partition=partition, reason=str(error))
        machine.begin_anew()
        stale = [workflow_id.encode() for workflow_id in restored.ids]
        stale += [key for keys in restored.parts.values() for key in keys]
        restored = Restored(left_over=[MARKER_KEY, *stale, *restored.left_over], read_up_to=restored.read_up_to)
        await _replay(log, partition, machine, from_offset=0, claimed_at=claimed_at)
    outbox = machine.recovered()
    await _reread(log, partition, outbox)
    backlog = (await log.offsets(COMMANDS, partition)).next - 1
    _log.info(
        "partition_recovered",
        partition=partition,
        epoch=claimed_at,
        sequence=machine.chain.sequence,
        workflows=len(machine.table),
        from_snapshot=len(restored.ids),
        backlog=backlog - machine.chain.command_offset,
    )
    return Recovered(outbox=outbox, restored=restored, backlog=backlog)


async def _replay(log: Log, partition: int, machine: PartitionMachine, *, from_offset: int, claimed_at: int) -> None:
    reader = log.reader(EVENTS, partition, from_offset=from_offset)
    try:
        next_offset = from_offset
        while next_offset <= claimed_at:
            for record in await reader.read(records_max=REPLAY_RECORDS_MAX, wait_ms=READ_WAIT_MS):
                next_offset = record.offset + 1
                if record.offset > claimed_at:
                    break
                machine.replay(record)
            await asyncio.sleep(0)
    except OffsetOutOfRange as error:
        message = (
            f"events partition {partition} is needed from offset {from_offset}, and the log does not hold it any more "
            f"({error}): check that no retention applies to the topic, and restore the log from a good copy"
        )
        raise LogCorrupt(message) from error
    finally:
        await reader.close()
    if machine.chain.epoch != claimed_at:
        message = f"events partition {partition}: the claim at offset {claimed_at} was not read back"
        raise LogCorrupt(message)


async def _reread(log: Log, partition: int, outbox: Outbox) -> None:
    """Fetch the bytes of commands that were forwarded or parked just before the crash."""
    for decision in outbox.rereads:
        offset = decision.command_offset
        reader = log.reader(COMMANDS, partition, from_offset=offset)
        try:
            records = await reader.read(records_max=1, wait_ms=READ_WAIT_MS)
        except OffsetOutOfRange:
            records = ()
        finally:
            await reader.close()
        if not records or records[0].offset != offset:
            _log.error("command_gone", partition=partition, offset=offset, parked=decision.parked)
        elif decision.forwarded is not None:
            outbox.forwards.append((decision.forwarded, records[0]))
        else:
            outbox.dead_letters.append((records[0], decision.parked))
