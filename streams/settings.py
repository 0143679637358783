"""What a node is told when it starts.

Holds plain values, made by the composition root from its own settings. Must not read an environment or a file. Keeps
the invariant that a node never looks anywhere else for how it is to behave.
"""

from pathlib import Path
from typing import Final

import msgspec

from streams.references import ReferenceValues

EMBEDDED_PARTITIONS: Final = 1
"""One process decides for all of them anyway; more partitions would only make more, smaller batches."""
KAFKA_PARTITIONS: Final = 12
"""So that up to twelve nodes share the work evenly by 1, 2, 3, 4, 6 or 12."""

NO_VALUES: Final = ReferenceValues()


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one node runs. `kafka=None`: the embedded log in `data_dir`.

    `url` is where other nodes reach this one. `partitions` is what the log was made with, for ever: a node that is told
    another number, or nothing where it was not the default, is refused (`TopicMismatch`). `references` knows the
    secrets and the environment variables that workflows may name: an object, so that no value is printed with these.
    `event_kafka` are the brokers of the topics that workflows publish to, those of the log if there are none;
    `publish_servers` are others that a KAFKA_PUBLISH may name.
    """

    data_dir: Path
    url: str
    kafka: str | None = None
    topic_prefix: str = "podium."
    partitions: int | None = None
    clickhouse: str | None = None
    history: bool = True
    allow_private_targets: bool = False
    allowed_hosts: tuple[str, ...] = ()
    snapshot_every_ms: int = 30_000
    replication: int | None = None
    references: ReferenceValues = NO_VALUES
    event_kafka: str | None = None
    publish_servers: tuple[str, ...] = ()
    workflow_status_sink: str = ""
    task_status_sink: str = ""
    publish_patience_seconds: float = 60.0
