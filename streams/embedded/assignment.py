"""The assignment of a process that is alone.

Holds the one step there is: this process owns every partition. Must not be used where two processes share a
log. Keeps the order of
the port: told to own, then, at the end, told to stop.
"""

import asyncio

from streams.ports import PartitionOwner


class EmbeddedAssignment:
    """Assigns all partitions of `commands` at once, and takes them back when cancelled."""

    def __init__(self, *, partitions: int) -> None:
        """Assign the partitions 0 to `partitions - 1`."""
        self._partitions = frozenset(range(partitions))

    async def run(self, owner: PartitionOwner) -> None:
        """See `Assignment`."""
        try:
            await owner.on_assigned(self._partitions)
            # Nothing ever changes here: wait for the cancellation.
            await asyncio.get_running_loop().create_future()
        finally:
            await owner.on_revoked(self._partitions)
