"""The log in memory: for tests, for simulation, and as the plainest statement of what a log does.

Holds nothing on disk and must not be used where anything is to survive the process. Keeps the behaviour that
the conformance suite asks of every backend.
"""

from streams.memory.log import MemoryLog
from streams.memory.topics import MemoryTopics

__all__ = ["MemoryLog", "MemoryTopics"]
