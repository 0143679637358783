"""The tables of the history, as numbered migrations, and the columns that rows are inserted by.

Holds SQL and column lists only. Must not run anything: `migrating` does. Keeps three invariants. A row's key (order
and partition) is fixed by the first event of its workflow and never moves, because a replacing table only replaces
within one partition. A newer row of a key has a higher event number, and the same number means the same row, so
writing a batch twice changes nothing. An applied migration is never edited: its checksum is stored, and a further
change is a further migration.

Times are `DateTime64(3, 'UTC')` throughout, the epoch itself meaning "has not happened"; JSON is text, because the
engine's own JSON type loses nulls and empty objects and refuses some documents.
"""

import hashlib
from typing import Final

import msgspec

EXECUTIONS: Final = "workflow_executions"
TASKS: Final = "task_executions"
EVENTS: Final = "workflow_events"
OFFSETS: Final = "projection_offsets"
MIGRATIONS_TABLE: Final = "schema_migrations"


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the schema. Each statement may run twice: a crash can come between it and its record."""

    number: int
    statements: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """What the migration's text hashes to."""
        return hashlib.blake2b("\n;\n".join(self.statements).encode(), digest_size=16).hexdigest()


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table in the order in which rows are made, with their types."""

    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self.columns]

    @property
    def types(self) -> list[str]:
        """The types of the columns."""
        return [kind for _, kind in self.columns]


_TIME: Final = "DateTime64(3, 'UTC')"
_WORD: Final = "LowCardinality(String)"

EXECUTION_COLUMNS: Final = Table(
    name=EXECUTIONS,
    columns=(
        ("created_at", _TIME),
        ("workflow_id", "String"),
        ("event_version", "UInt32"),
        ("position", "UInt64"),
        ("log_partition", "UInt32"),
        ("workflow_type", _WORD),
        ("workflow_version", "Int64"),
        ("status", _WORD),
        ("correlation_id", "String"),
        ("started_at", _TIME),
        ("updated_at", _TIME),
        ("ended_at", _TIME),
        ("duration_ms", "Int64"),
        ("reason", "String"),
        ("failed_refs", "Array(String)"),
        ("failed_names", "Array(String)"),
        ("parent_workflow_id", "String"),
        ("created_by", _WORD),
        ("trigger", _WORD),
        ("priority", "Int64"),
        ("idempotency_key", "String"),
        ("task_to_domain", "String"),
        ("input", "String"),
        ("output", "String"),
    ),
)

TASK_COLUMNS: Final = Table(
    name=TASKS,
    columns=(
        ("created_at", _TIME),
        ("workflow_id", "String"),
        ("seq", "UInt32"),
        ("event_version", "UInt32"),
        ("task_id", "String"),
        ("workflow_type", _WORD),
        ("correlation_id", "String"),
        ("priority", "Int64"),
        ("ref", "String"),
        ("task_name", _WORD),
        ("task_type", _WORD),
        ("status", _WORD),
        ("attempt", "UInt32"),
        ("iteration", "UInt32"),
        ("retried", "Bool"),
        ("retry_of", "UInt32"),
        ("scheduled_at", _TIME),
        ("started_at", _TIME),
        ("updated_at", _TIME),
        ("ended_at", _TIME),
        ("queue_ms", "Int64"),
        ("duration_ms", "Int64"),
        ("worker_id", _WORD),
        ("domain", _WORD),
        ("poll_count", "UInt32"),
        ("reason", "String"),
        ("child_workflow_id", "String"),
        ("input", "String"),
        ("output", "String"),
    ),
)

EVENT_COLUMNS: Final = Table(
    name=EVENTS,
    columns=(
        ("created_at", _TIME),
        ("workflow_id", "String"),
        ("version", "UInt32"),
        ("position", "UInt64"),
        ("log_partition", "UInt32"),
        ("at", _TIME),
        ("event", _WORD),
        ("task_seq", "UInt32"),
        ("cause", _WORD),
        ("body", "String"),
    ),
)

OFFSET_COLUMNS: Final = Table(
    name=OFFSETS,
    columns=(
        ("log_partition", "UInt32"),
        ("next_offset", "UInt64"),
        ("chain", "String"),
        ("written_at", _TIME),
    ),
)

# Rows must be on disk before the position that says so, also when the machine loses power.
_DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"

CREATE_MIGRATIONS_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {MIGRATIONS_TABLE} (
    number UInt32,
    checksum String,
    applied_at {_TIME} DEFAULT now64(3)
) ENGINE = ReplacingMergeTree(applied_at) ORDER BY number
"""

# The key begins with the time, because lists and statistics ask for a span of time; an id alone is found through the
# filter. Position and version grow with time, so their differences are small numbers.
_CREATE_EXECUTIONS: Final = f"""
CREATE TABLE IF NOT EXISTS {EXECUTIONS} (
    created_at {_TIME} CODEC(Delta, ZSTD(1)),
    workflow_id String CODEC(ZSTD(1)),
    event_version UInt32 CODEC(T64, ZSTD(1)),
    position UInt64 CODEC(Delta, ZSTD(1)),
    log_partition UInt32 CODEC(ZSTD(1)),
    workflow_type {_WORD},
    workflow_version Int64 CODEC(T64, ZSTD(1)),
    status {_WORD},
    correlation_id String CODEC(ZSTD(1)),
    started_at {_TIME} CODEC(Delta, ZSTD(1)),
    updated_at {_TIME} CODEC(Delta, ZSTD(1)),
    ended_at {_TIME} CODEC(Delta, ZSTD(1)),
    duration_ms Int64 CODEC(T64, ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    failed_refs Array(String) CODEC(ZSTD(1)),
    failed_names Array(String) CODEC(ZSTD(1)),
    parent_workflow_id String CODEC(ZSTD(1)),
    created_by {_WORD},
    trigger {_WORD},
    priority Int64 CODEC(T64, ZSTD(1)),
    idempotency_key String CODEC(ZSTD(1)),
    task_to_domain String CODEC(ZSTD(1)),
    input String CODEC(ZSTD(1)),
    output String CODEC(ZSTD(1)),
    INDEX by_workflow_id workflow_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_correlation_id correlation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_parent parent_workflow_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_started_at started_at TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree(event_version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, workflow_id)
{_DURABLE}
"""

_CREATE_TASKS: Final = f"""
CREATE TABLE IF NOT EXISTS {TASKS} (
    created_at {_TIME} CODEC(Delta, ZSTD(1)),
    workflow_id String CODEC(ZSTD(1)),
    seq UInt32 CODEC(T64, ZSTD(1)),
    event_version UInt32 CODEC(T64, ZSTD(1)),
    task_id String CODEC(ZSTD(1)),
    workflow_type {_WORD},
    correlation_id String CODEC(ZSTD(1)),
    priority Int64 CODEC(T64, ZSTD(1)),
    ref String CODEC(ZSTD(1)),
    task_name {_WORD},
    task_type {_WORD},
    status {_WORD},
    attempt UInt32 CODEC(T64, ZSTD(1)),
    iteration UInt32 CODEC(T64, ZSTD(1)),
    retried Bool,
    retry_of UInt32 CODEC(T64, ZSTD(1)),
    scheduled_at {_TIME} CODEC(Delta, ZSTD(1)),
    started_at {_TIME} CODEC(Delta, ZSTD(1)),
    updated_at {_TIME} CODEC(Delta, ZSTD(1)),
    ended_at {_TIME} CODEC(Delta, ZSTD(1)),
    queue_ms Int64 CODEC(T64, ZSTD(1)),
    duration_ms Int64 CODEC(T64, ZSTD(1)),
    worker_id {_WORD},
    domain {_WORD},
    poll_count UInt32 CODEC(T64, ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    child_workflow_id String CODEC(ZSTD(1)),
    input String CODEC(ZSTD(1)),
    output String CODEC(ZSTD(1)),
    INDEX by_workflow_id workflow_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_child child_workflow_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_scheduled_at scheduled_at TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree(event_version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, workflow_id, seq)
{_DURABLE}
"""

# Events are asked for by workflow, never by time: the id leads, and a whole workflow lies together.
_CREATE_EVENTS: Final = f"""
CREATE TABLE IF NOT EXISTS {EVENTS} (
    created_at {_TIME} CODEC(Delta, ZSTD(1)),
    workflow_id String CODEC(ZSTD(1)),
    version UInt32 CODEC(Delta, ZSTD(1)),
    position UInt64 CODEC(Delta, ZSTD(1)),
    log_partition UInt32 CODEC(ZSTD(1)),
    at {_TIME} CODEC(Delta, ZSTD(1)),
    event {_WORD},
    task_seq UInt32 CODEC(T64, ZSTD(1)),
    cause {_WORD},
    body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(position)
PARTITION BY toYYYYMM(created_at)
ORDER BY (workflow_id, version)
{_DURABLE}
"""

_CREATE_OFFSETS: Final = f"""
CREATE TABLE IF NOT EXISTS {OFFSETS} (
    log_partition UInt32,
    next_offset UInt64,
    chain String,
    written_at {_TIME}
) ENGINE = ReplacingMergeTree(next_offset) ORDER BY log_partition
{_DURABLE}
"""

MIGRATIONS: Final = (
    Migration(number=1, statements=(_CREATE_EXECUTIONS, _CREATE_TASKS, _CREATE_EVENTS, _CREATE_OFFSETS)),
)
