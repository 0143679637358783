"""What a process must be told to use Kafka.

Holds addresses, limits, waits and security as plain values. Must not read an environment: the composition
root does. Keeps the names of aiokafka's arguments in one place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from aiokafka.helpers import create_ssl_context

BATCH_FRAME_BYTES: Final = 1_024
"""Room for what Kafka adds to the key and value of a batch's only record: 61 bytes of batch, some 30 of record."""

_BUSY_MS_MAX: Final = 24 * 3_600_000
"""How long a member may go without reading. Whether it is alive is what its heartbeats say."""
_JOIN_GRACE_MS: Final = 5_000


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How to prove who one is to the brokers. `protocol` is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""

    protocol: str = "PLAINTEXT"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = None


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster to use, and the limits to keep.

    Attributes:
        bootstrap: `host:port`, several with commas between: where the cluster is asked who its brokers are.
        topic_prefix: Begins the name of every topic, so that several installations share a cluster.
        client_id: What the brokers' logs and quotas call this process.
        record_bytes_max: Key and value together. Topics are made to take it; the broker's own default is just
            above.
        timeout_ms: How long a request, an append or a reader's trouble is borne before it is an error.
        replication_factor: Of topics made here; None makes three copies, or as many as there are brokers.
        security: How to connect.
    """

    bootstrap: str
    topic_prefix: str = ""
    client_id: str = "podium"
    record_bytes_max: int = 1_000_000
    timeout_ms: int = 5_000
    replication_factor: int | None = None
    security: KafkaSecurity = KafkaSecurity()

    @property
    def batch_bytes_max(self) -> int:
        """The largest batch that is sent, with Kafka's frame."""
        return self.record_bytes_max + BATCH_FRAME_BYTES


def client_arguments(settings: KafkaSettings) -> Mapping[str, Any]:
    """Return the arguments that every client of aiokafka takes."""
    return {"bootstrap_servers": settings.bootstrap, **connection_arguments(settings)}


def connection_arguments(settings: KafkaSettings) -> Mapping[str, Any]:
    """Return the arguments that a single connection takes."""
    security = settings.security
    encrypted = security.protocol in ("SSL", "SASL_SSL")
    return {
        "client_id": settings.client_id,
        "request_timeout_ms": settings.timeout_ms,
        "security_protocol": security.protocol,
        "ssl_context": create_ssl_context(
            cafile=security.ca_file, certfile=security.certificate_file, keyfile=security.key_file
        )
        if encrypted
        else None,
        "sasl_mechanism": security.sasl_mechanism,
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": security.sasl_password,
    }


def member_arguments(
    settings: KafkaSettings, *, group: str, session_ms: int, heartbeat_ms: int, assignors: Sequence[object]
) -> dict[str, Any]:
    """Return the arguments of a consumer that is a member of a group and commits by itself or not at all.

    A request to join is answered when all members have joined, so its connection waits longer than a session.
    """
    return {
        **client_arguments(settings),
        "request_timeout_ms": session_ms + _JOIN_GRACE_MS,
        "group_id": group,
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": heartbeat_ms,
        "partition_assignment_strategy": tuple(assignors),
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        # A member whose workers are all busy reads nothing for as long as they take, and is alive all the same.
        "max_poll_interval_ms": _BUSY_MS_MAX,
    }
