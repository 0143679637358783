"""The outputs that tasks with a `cacheConfig` keep for others, in the memory of one process.

Holds a bounded map. Must not decide what is kept: effects say so, and they leave only when the decision behind them is
in the log, so nothing is served that did not happen. Keeps the invariants that what is found has the very name and key,
and that nothing is found from the instant on at which its time is over.

It is a cache: a restart, or another owner of the partition, forgets it, and then a task is done again.
"""

from typing import Final

import msgspec

from engine.effects import KeepOutput
from engine.json_value import JsonObject

OUTPUTS_MAX: Final = 20_000
BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all outputs, as JSON; what was kept first goes first."""
OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""A larger output is not kept: a few of them would push out everything else."""

_encode: Final = msgspec.json.Encoder().encode


class _Kept(msgspec.Struct, frozen=True):
    output: JsonObject
    until_ms: int
    size_bytes: int


class KeptOutputs:
    """An `engine.context.OutputCache` that is told what to keep. Shared by the partitions of a process."""

    def __init__(self, *, outputs_max: int = OUTPUTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Begin empty."""
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._outputs_max = outputs_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, task_name: str, key: str, now_ms: int) -> JsonObject | None:
        """Return the output that is kept under this name and key at this instant, if there is one."""
        kept = self._kept.get((task_name, key))
        if kept is None:
            return None
        if kept.until_ms <= now_ms:
            self._drop((task_name, key))
            return None
        return kept.output

    def keep(self, told: KeepOutput) -> None:
        """Keep an output, in place of an older one. The same twice is once."""
        named = (told.task_name, told.key)
        before = self._kept.get(named)
        if before is not None and before.until_ms > told.until_ms:
            return
        self._drop(named)
        size_bytes = len(_encode(told.output))
        if size_bytes > OUTPUT_BYTES_MAX:
            return
        self._kept[named] = _Kept(told.output, told.until_ms, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._bytes_max or len(self._kept) > self._outputs_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, named: tuple[str, str]) -> None:
        kept = self._kept.pop(named, None)
        if kept is not None:
            self._bytes -= kept.size_bytes
