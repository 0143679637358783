"""The errors of the shell.

    StreamsError
    ├── LogUnavailable      the log cannot be reached, or did not say whether it took a batch
    ├── RecordTooLarge      a record is above what the log takes
    ├── TopicMismatch       a topic exists with other properties than declared
    ├── OffsetOutOfRange    the log no longer holds an offset that is needed
    ├── Fenced              another owner has claimed the partition
    ├── OwnershipLost       the partition left this process while somebody waited for it
    ├── SnapshotUnfit       a snapshot does not lead to the log behind it
    ├── LogCorrupt          the partition's chain of records is broken
    ├── StoreLocked         another process uses the data directory
    ├── StoreFull           the disk is full
    ├── HistoryUnavailable  the history store cannot answer
    └── ScriptsUnavailable  no script can be run now

Holds the classes only. Must not hold handling: each caller decides by `retriable`. Keeps one class per situation that
somebody handles differently.
"""

from typing import ClassVar


class StreamsError(Exception):
    """Something in the shell around the engine went wrong."""

    retriable: ClassVar[bool] = False
    code: ClassVar[str] = "STREAMS_ERROR"


class LogUnavailable(StreamsError):
    """The log cannot be reached. Check that the broker (or the disk) is there; work goes on by itself when it is."""

    retriable = True
    code = "LOG_UNAVAILABLE"


class RecordTooLarge(StreamsError):
    """A record is larger than the log takes. Send large payloads by reference."""

    code = "RECORD_TOO_LARGE"


class TopicMismatch(StreamsError):
    """A topic exists with other properties than Podium declares. Use another prefix, or migrate the topic."""

    code = "TOPIC_MISMATCH"


class OffsetOutOfRange(StreamsError):
    """The log no longer holds an offset that is needed. Check the retention settings of the topic."""

    code = "OFFSET_OUT_OF_RANGE"


class Fenced(StreamsError):
    """Another owner has claimed the partition. This process stops deciding for it; no action is needed."""

    retriable = True
    code = "FENCED"


class OwnershipLost(StreamsError):
    """The partition left this process while somebody waited for it. Ask again: its new owner will answer."""

    retriable = True
    code = "OWNERSHIP_LOST"


class SnapshotUnfit(StreamsError):
    """A snapshot does not fit the log behind it. The whole log is replayed instead; no action is needed."""

    retriable = True
    code = "SNAPSHOT_UNFIT"


class LogCorrupt(StreamsError):
    """The partition's chain of records is broken. The partition is halted; restore the log from a good copy."""

    code = "LOG_CORRUPT"


class StoreLocked(StreamsError):
    """Another process uses the data directory. Stop it, or give this one another directory with --data."""

    code = "STORE_LOCKED"


class StoreFull(StreamsError):
    """The disk is full. Nothing was stored; free some space and the work goes on by itself."""

    retriable = True
    code = "STORE_FULL"


class HistoryUnavailable(StreamsError):
    """The history store cannot answer now. Decisions go on; ask again later."""

    retriable = True
    code = "HISTORY_UNAVAILABLE"


class ScriptsUnavailable(StreamsError):
    """No script can be run now. Ask again later; if too many are waiting, give the node more script processes."""

    retriable = True
    code = "SCRIPTS_UNAVAILABLE"
