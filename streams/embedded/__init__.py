"""The log on one machine: one SQLite file in a data directory that one process at a time uses.

Holds the durable log of `podium serve` without Kafka. Must not be opened by two processes, and refuses to be.
Keeps the invariant that what was acknowledged survives the loss of the process and of the machine's power.
"""

from streams.embedded.assignment import EmbeddedAssignment
from streams.embedded.directory import LockedDirectory
from streams.embedded.log import SqliteLog
from streams.embedded.view import SqliteView

__all__ = ["EmbeddedAssignment", "LockedDirectory", "SqliteLog", "SqliteView"]
