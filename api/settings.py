"""The settings of `podium serve`.

Holds one frozen class. Must be read by the composition root alone, which passes plain values on. Keeps the
invariant that every setting has a unit, a default and bounds, and that flags win over the environment, which
wins over the defaults.
"""

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, DirectoryPath, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.sinks import full_name


def _sink(text: str) -> str:
    return text and full_name(text, workflow="server", owner="status", webhooks=True) and text


class LogLevel(StrEnum):
    """How much the server says. At `debug`, also every poll and every result."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ServeSettings(BaseSettings):
    """What `podium serve` can be told. Each field is a flag and the environment variable `PODIUM_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="PODIUM_", frozen=True, extra="ignore")

    data: Annotated[
        Path, Field(description="Directory of the embedded log and of the history. One process at a time may use it.")
    ] = Path("podium-data")
    host: Annotated[str, Field(min_length=1, description="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="TCP port to listen at; 0 takes any that is free.")] = 8080
    kafka: Annotated[
        str | None,
        Field(
            pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$", description="Kafka brokers, HOST:PORT[,…]; none: the embedded log."
        ),
    ] = None
    topic_prefix: Annotated[
        str,
        Field(
            max_length=60, pattern=r"^[a-zA-Z0-9._-]*$", description="What the names of all Kafka topics begin with."
        ),
    ] = "podium."
    partitions: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_024,
            description="Workflow partitions of a log that is made now; later the same number must be said.",
        ),
    ] = None
    replication: Annotated[
        int | None,
        Field(ge=1, le=7, description="Copies of each Kafka topic that is made now; none: the cluster's default."),
    ] = None
    clickhouse: Annotated[
        str | None,
        Field(pattern=r"^https?://\S+$", description="ClickHouse server of the history; none: in process, in --data."),
    ] = None
    history: Annotated[
        bool, Field(description="Keep the history. Without it, workflows that have ended cannot be found.")
    ] = True
    snapshot_every_ms: Annotated[
        int, Field(ge=100, le=86_400_000, description="Milliseconds between two snapshots of a partition.")
    ] = 30_000
    allow_private_targets: Annotated[bool, Field(description="Let HTTP tasks call private and loopback addresses.")] = (
        False
    )
    allowed_hosts: Annotated[
        tuple[str, ...], Field(description="Host names that HTTP tasks may call although their addresses are private.")
    ] = ()
    secrets_dir: Annotated[
        DirectoryPath | None,
        Field(description="Directory with one file per secret, for ${workflow.secrets.NAME}; none: no such files."),
    ] = None
    secret_env_prefix: Annotated[
        str | None,
        Field(
            min_length=1,
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="What the environment variables that hold secrets begin with; none: there are none.",
        ),
    ] = None
    env_names: Annotated[
        tuple[str, ...], Field(description="Environment variables that workflows may name: ${workflow.env.NAME}.")
    ] = ()
    event_kafka: Annotated[
        str | None,
        Field(
            pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$",
            description="Kafka brokers that workflows publish to, HOST:PORT[,…]; none: those of --kafka.",
        ),
    ] = None
    publish_servers: Annotated[
        tuple[str, ...],
        Field(
            description="Other Kafka brokers, HOST:PORT[,…] each, that a KAFKA_PUBLISH may name as bootStrapServers."
        ),
    ] = ()
    workflow_status_sink: Annotated[
        str,
        AfterValidator(_sink),
        Field(
            description="Where changes of workflows' status are told if their definition enables it but names no sink."
        ),
    ] = ""
    task_status_sink: Annotated[
        str,
        AfterValidator(_sink),
        Field(description="Where changes of tasks' status are told; none: nowhere."),
    ] = ""
    publish_patience_seconds: Annotated[
        float,
        Field(ge=0, le=86_400, description="Seconds for which a listener's sink is tried before a message is parked."),
    ] = 60.0
    url: Annotated[
        str | None,
        Field(pattern=r"^https?://\S+$", description="Where other processes reach this one; none: http://HOST:PORT."),
    ] = None
    insecure: Annotated[
        bool, Field(description="Listen beyond this machine although anybody who reaches the port may do anything.")
    ] = False
    key_file: Annotated[
        Path | None, Field(description="API keys that callers need, made with `podium keys`; none: nobody needs one.")
    ] = None
    oidc_issuer: Annotated[
        str | None,
        Field(
            pattern=r"^https?://\S+$", description="OpenID Connect issuer whose tokens are accepted; none: no one's."
        ),
    ] = None
    oidc_audience: Annotated[str, Field(min_length=1, description="Audience that the issuer's tokens must be for.")] = (
        "podium"
    )
    oidc_jwks_url: Annotated[
        str | None,
        Field(pattern=r"^https?://\S+$", description="Where the issuer's keys are; none: as its discovery says."),
    ] = None
    body_bytes_max: Annotated[
        int, Field(ge=1_024, le=1_073_741_824, description="Bytes of a request body, decompressed.")
    ] = 16 * 1024 * 1024
    shutdown_seconds: Annotated[
        float, Field(ge=0, le=300, description="Seconds that running requests have to end when the server stops.")
    ] = 8.0
    log_level: Annotated[LogLevel, Field(description="How much the server says.")] = LogLevel.INFO

    @model_validator(mode="after")
    def _stay_on_this_machine(self) -> Self:
        if self.insecure or is_loopback(self.host) or self.asks_for_credentials:
            return self
        message = (
            f"host {self.host} is reachable from other machines, and no credentials are asked for: "
            "whoever reaches the port may start, read and end every workflow. Make keys with `podium keys add` and "
            "give --key-file, or an issuer with --oidc-issuer; or add --insecure if the network is trusted"
        )
        raise ValueError(message)

    @property
    def asks_for_credentials(self) -> bool:
        """Whether callers must say who they are."""
        return self.key_file is not None or self.oidc_issuer is not None


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine alone. Names but `localhost` count as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
