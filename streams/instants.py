"""The clock of a process.

Holds the one reading of it that the shell's parts share. Must not be imported by the engine. Keeps the invariant that
an instant is an integer of epoch milliseconds.
"""

import time


def epoch_ms() -> int:
    """Return the time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
