"""A server that samples itself: where its CPU time goes.

Holds the sampler and the report. Must not change what the server does. Keeps the invariant that samples are taken per
CPU time, not per wall time: a loop that waits costs nothing and is not counted.

Run as `python -m benchmarks.profiled_server FILE serve …`: FILE gets the report when the server ends.

Sampling begins at SIGUSR1 and ends at SIGUSR2, so that neither the start nor the check afterwards is in it.

A signal per 2 ms of the process's CPU time (`ITIMER_PROF`) interrupts the main thread between two instructions, so time
inside a C function counts for the line that called it. While the main thread waits, the time belongs to other threads:
they are told apart by the kernel's own account.
"""

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final, TypeAlias

from api.cli import main as podium

SAMPLE_EVERY_S: Final = 0.002
_SHOWN: Final = 80
_THREADS_EVERY: Final = 100
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

Place: TypeAlias = tuple[str, str, int]
"""File, function, first line of the function."""
_Threads: TypeAlias = dict[int, tuple[str, int]]
"""Name of a thread and the ticks of CPU time it has used, by its id."""


class Sampler:
    """Counts where the main thread is, once per interval of CPU time."""

    def __init__(self) -> None:
        """Sample nothing yet."""
        self.samples = 0
        self.own: Counter[Place] = Counter()
        self.lines: Counter[Place] = Counter()
        self.within: Counter[Place] = Counter()
        self._threads: _Threads = {}
        self._threads_before: _Threads = {}

    def listen(self) -> None:
        """Begin and end when told. Only in the main thread."""
        signal.signal(signal.SIGUSR1, self._start)
        signal.signal(signal.SIGUSR2, self._stop)
        signal.signal(signal.SIGPROF, self._sample)
        # System calls go on after a sample instead of being interrupted by it.
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 (positional only)

    def _start(self, number: int, frame: FrameType | None) -> None:
        self._note_threads(self._threads_before)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY_S, SAMPLE_EVERY_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._note_threads(self._threads)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self.samples += 1
        if self.samples % _THREADS_EVERY == 0:
            self._note_threads(self._threads)
        if frame is None:
            return
        self.own[_place(frame)] += 1
        self.lines[(frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)] += 1
        seen: set[Place] = set()
        walked: FrameType | None = frame
        while walked is not None:
            seen.add(_place(walked))
            walked = walked.f_back
        self.within.update(seen)

    def _note_threads(self, noted: _Threads) -> None:
        """Take note of the CPU time of every thread: one that has ended is no longer in the kernel's account."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        for task in Path("/proc/self/task").iterdir():
            try:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            name = names.get(int(task.name)) or noted.get(int(task.name), ("native", 0))[0]
            noted[int(task.name)] = (name, int(fields[11]) + int(fields[12]))

    def report(self) -> str:
        """Return the counters as text: shares of all samples, greatest first."""
        parts = [f"{self.samples} samples, one per {SAMPLE_EVERY_S * 1000:g} ms of CPU time of the process"]
        parts.append(_table("by package, own time", _by_package(self.own), self.samples))
        parts.append(_table("by function, own time", self.own, self.samples))
        parts.append(_table("by line, own time", self.lines, self.samples))
        # What is in every sample is the way into the loop.
        within = Counter({place: count for place, count in self.within.items() if count < 0.99 * self.samples})
        parts.append(_table("by function, with what it calls", within, self.samples))
        parts.append(_by_thread(self._threads_before, self._threads))
        return "\n\n".join(parts) + "\n"


def _place(frame: FrameType) -> Place:
    code = frame.f_code
    return (code.co_filename, code.co_name, code.co_firstlineno)


def _table(title: str, counts: Counter[Place], samples: int) -> str:
    rows = [
        f"{100 * count / samples:6.1f} %  {_short(place[0])}:{place[2]} {place[1]}"
        for place, count in counts.most_common(_SHOWN)
    ]
    return "\n".join([title, *rows])


def _by_package(own: Counter[Place]) -> Counter[Place]:
    counts: Counter[Place] = Counter()
    for (file, _, _), count in own.items():
        parts = _short(file).split("/")
        depth = 2 if parts[0] in {"engine", "streams", "api"} else 1
        counts[("/".join(parts[:depth]), "", 0)] += count
    return counts


def _short(file: str) -> str:
    """Return a path as it is imported: without the folders of the environment."""
    for mark in ("/site-packages/", "/lib/python3.11/"):
        if mark in file:
            return file.rpartition(mark)[2]
    root = str(Path(__file__).resolve().parents[1])
    return file.removeprefix(root + "/")


def _by_thread(before: _Threads, after: _Threads) -> str:
    used: Counter[str] = Counter()
    for thread, (name, ticks) in after.items():
        used[name] += ticks - before.get(thread, ("", 0))[1]
    rows = [f"{ticks / _TICKS_PER_S:8.2f} s  {name}" for name, ticks in used.most_common()]
    return "\n".join(["by thread, CPU time", *rows])


def main() -> None:
    """Run the server under the sampler."""
    target = Path(sys.argv[1])
    sys.argv = ["podium", *sys.argv[2:]]
    sampler = Sampler()
    sampler.listen()
    try:
        podium()
    finally:
        target.write_text(sampler.report())


if __name__ == "__main__":
    main()
