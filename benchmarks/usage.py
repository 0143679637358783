"""What processes use: CPU time and memory, theirs and their children's.

Must not start or end a process. Keeps the invariant that CPU time only ever grows: the time of a child that has ended
is in its parent's account.
"""

import time
from collections.abc import Mapping

import psutil

_MB = 1024 * 1024


def cpu_seconds(pid: int) -> float:
    """Return the CPU time (user and system) that a process and its children have used so far; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in family:
        try:
            used = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system + used.children_user + used.children_system
    return total


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process and its children, in MiB."""
    process = psutil.Process(pid)
    return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)]) / _MB


def cpu_percent_over(pid: int, seconds: float) -> float:
    """Return how much of one core a process uses during the next seconds."""
    before, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - begun)


class CpuMeter:
    """CPU time of named processes between two moments."""

    def __init__(self, pids: Mapping[str, list[int]]) -> None:
        """Begin to measure now. Several processes may stand under one name."""
        self._pids = pids
        self._before = self._used()

    def seconds(self) -> dict[str, float]:
        """Return what each name has used since."""
        return {name: used - self._before[name] for name, used in self._used().items()}

    def _used(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}
