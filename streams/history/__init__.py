"""The history of executions in ClickHouse: in this process (chDB) or on a server, behind the same store.

It reads `events`, writes rows, and answers questions about executions that ended or run. It must not decide, and no
decision waits for it. The invariant: the history is the log told again; it may be thrown away and projected anew.
"""

from streams.history.errors import SchemaMismatch, SearchTooCostly
from streams.history.projector import Lag, Projector
from streams.history.reading import RecordedEvent
from streams.history.settings import HistorySettings
from streams.history.store import HistoryStore

__all__ = [
    "HistorySettings",
    "HistoryStore",
    "Lag",
    "Projector",
    "RecordedEvent",
    "SchemaMismatch",
    "SearchTooCostly",
]
