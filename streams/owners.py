"""Who owns which partition, and where to reach them.

Holds this node's copy of the `owners` topic: one small record per partition, its newest owner's url. Must not be
trusted for safety: it only shortens the way of a call, and a stale entry costs one hop that is refused. Keeps the
invariant that an older claim never hides a newer one: entries carry the claim's epoch.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from streams.errors import StreamsError
from streams.ports import Log, NewRecord
from streams.topics import OWNERS

READ_WAIT_MS: Final = 1_000
AGAIN_AFTER_S: Final = 1.0

_log = structlog.get_logger(__name__)


class _Owner(msgspec.Struct, frozen=True, kw_only=True):
    partition: int
    url: str
    epoch: int


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Owner)


class OwnerDirectory:
    """Reads and writes `owners`."""

    def __init__(self, log: Log) -> None:
        """Begin knowing nobody."""
        self._log = log
        self._owners: dict[int, _Owner] = {}
        self._announced: dict[int, _Owner] = {}

    def url(self, partition: int) -> str | None:
        """Return where a partition's owner answers, as far as this node knows."""
        owner = self._owners.get(partition)
        return None if owner is None else owner.url

    def urls(self) -> frozenset[str]:
        """Return the addresses of all nodes that own a partition, as far as this node knows."""
        return frozenset(owner.url for owner in self._owners.values())

    async def announce(self, partition: int, url: str, epoch: int) -> None:
        """Say that this process owns a partition.

        Raises:
            LogUnavailable: nobody may have heard it.
        """
        owner = _Owner(partition=partition, url=url, epoch=epoch)
        self._announced[partition] = owner
        await self._write(owner)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        position = 0
        while True:
            try:
                position = max(position, (await self._log.offsets(OWNERS, 0)).earliest)
                reader = self._log.reader(OWNERS, 0, from_offset=position)
                try:
                    while True:
                        for record in await reader.read(records_max=1_000, wait_ms=READ_WAIT_MS):
                            position = record.offset + 1
                            await self._learn(record.value)
                finally:
                    await reader.close()
            except StreamsError as error:
                _log.debug("owners_unreadable", reason=str(error))
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _learn(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            owner = _decoder.decode(value)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            _log.warning("owner_unreadable", reason=str(error))
            return
        known = self._owners.get(owner.partition)
        if known is None or known.epoch <= owner.epoch:
            self._owners[owner.partition] = owner
        elif known == self._announced.get(owner.partition):
            # A former owner has spoken late, and the topic keeps the last word only: who reads it next must find ours.
            await self._write(known)

    async def _write(self, owner: _Owner) -> None:
        record = NewRecord(key=str(owner.partition).encode(), value=_encoder.encode(owner))
        await self._log.append(OWNERS, 0, [record])
