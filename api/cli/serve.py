"""`podium serve`: one server process.

Holds the composition: settings, log, node, HTTP, signals. Must not hold logic of its own. Keeps two orders.
At the start: the port is bound first, so that a port in use is told before anything is opened and the url
that other processes are given is known; the node is opened next; requests that have come meanwhile are
answered then. At the end: no new connections, then the running requests, then the node.
"""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web
from pydantic import ValidationError

from api.access.gate import Gate
from api.app import build_app
from api.cli.failures import CalledWrongly, CommandFailed, failure_of
from api.cli.logs import configure_logs
from api.settings import ServeSettings
from api.version import version
from streams.errors import StreamsError
from streams.node import RunningNode, open_node
from streams.references import DirectorySecrets, EnvironmentSecrets, ReferenceValues, SecretSource
from streams.settings import NodeSettings

COLLECTOR_THRESHOLDS: Final = (10_000, 10, 1_000)
"""Allocations before the youngest objects are looked at, and rounds before older ones are; Python's: 700, 10, 10. Each
object is looked at about twice, then hardly ever again; larger steps cost as much in all, and make longer pauses."""
BACKLOG: Final = 1_024
"""Connections that the kernel keeps while the node opens, or the loop is busy."""

_log = structlog.get_logger(__name__)


def serve(given: Mapping[str, object]) -> None:
    """Run a server until SIGTERM or SIGINT.

    Raises:
        CalledWrongly: a setting is wrong, or the key file cannot be used.
        CommandFailed: the port is taken, the data directory is in use, or the log cannot be opened.
    """
    settings = read_settings(given)
    configure_logs(settings.log_level)
    gate = _gate(settings)
    _spare_the_collector()  # before the node is opened: a recovery makes millions of objects that stay
    try:
        asyncio.run(_run(settings, gate))
    except (StreamsError, BaseExceptionGroup) as error:
        raise failure_of(error) from error


def read_settings(given: Mapping[str, object]) -> ServeSettings:
    """Return the settings: those given, then the environment, then the defaults.

    Raises:
        CalledWrongly: with every setting that is wrong.
    """
    try:
        return ServeSettings(**given)  # type: ignore[arg-type]  # the class itself checks what it is given
    except ValidationError as error:
        lines = []
        for found in error.errors(include_url=False):
            flag = "--" + str(found["loc"][0]).replace("_", "-") + ": " if found["loc"] else ""
            lines.append(flag + found["msg"].removeprefix("Value error, "))
        raise CalledWrongly("; ".join(lines)) from None


def _gate(settings: ServeSettings) -> Gate:
    """Return what asks callers for credentials, if the settings name any."""
    if not settings.asks_for_credentials:
        return Gate()
    from api.access.credentials import CredentialGate
    from api.access.keys import KeyFileInvalid, KeyRing
    from api.access.oidc import ForeignTokens, OidcSettings

    try:
        ring = None if settings.key_file is None else KeyRing(settings.key_file)
    except KeyFileInvalid as error:
        message = f"--key-file: {error}"
        raise CalledWrongly(message) from error
    if settings.oidc_issuer is None:
        return CredentialGate(keys=ring)
    foreign = OidcSettings(
        issuer=settings.oidc_issuer, audience=settings.oidc_audience, jwks_url=settings.oidc_jwks_url or ""
    )
    return CredentialGate(keys=ring, foreign=ForeignTokens(foreign))


async def _run(settings: ServeSettings, gate: Gate) -> None:
    begun = time.perf_counter()
    with _bound(settings) as listener:
        url = settings.url or _url(settings.host, listener.getsockname()[1])
        async with open_node(_node_settings(settings, url)) as node:
            runner = web.AppRunner(
                build_app(node, gate=gate, body_bytes_max=settings.body_bytes_max),
                access_log=None,
                # A poll whose client has gone must not claim a task for nobody.
                handler_cancellation=True,
                shutdown_timeout=settings.shutdown_seconds,
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listener, backlog=BACKLOG).start()
                _log.info("listening", url=url, version=version(), pid=os.getpid(), ms=_ms_since(begun))
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(_say_when_up(node, begun), name="say-when-up")
                    await _wait_told_to_stop()
                    waiting.cancel()
                _log.info("stopping")
            finally:
                await runner.cleanup()


def _node_settings(settings: ServeSettings, url: str) -> NodeSettings:
    return NodeSettings(
        data_dir=settings.data.absolute(),
        url=url,
        kafka=settings.kafka,
        topic_prefix=settings.topic_prefix,
        partitions=settings.partitions,
        replication=settings.replication,
        clickhouse=settings.clickhouse,
        history=settings.history,
        snapshot_every_ms=settings.snapshot_every_ms,
        allow_private_targets=settings.allow_private_targets,
        allowed_hosts=settings.allowed_hosts,
        references=_references(settings),
        event_kafka=settings.event_kafka,
        publish_servers=settings.publish_servers,
        workflow_status_sink=settings.workflow_status_sink,
        task_status_sink=settings.task_status_sink,
        publish_patience_seconds=settings.publish_patience_seconds,
    )


def _references(settings: ServeSettings) -> ReferenceValues:
    sources: list[SecretSource] = []
    if settings.secrets_dir is not None:
        sources.append(DirectorySecrets(settings.secrets_dir.absolute()))
    if settings.secret_env_prefix is not None:
        sources.append(EnvironmentSecrets(settings.secret_env_prefix, os.environ))
    declared = {name: os.environ[name] for name in settings.env_names if name in os.environ}
    return ReferenceValues(sources, declared)


async def _say_when_up(node: RunningNode, begun: float) -> None:
    await node.wait_up()
    gc.freeze()  # nor is what was recovered; a collection now would walk all of it, for nothing
    _log.info("serving", ms=_ms_since(begun))


def _spare_the_collector() -> None:
    """Let the garbage collector look at the long-lived heap rarely.

    Open workflows are many small values without cycles, which reference counts free; walking all of them again and
    again cost 40 % of the CPU of a busy server, and a walk with 10,000 of them open is a pause of 100 ms and more. What
    is there now, the imported code above all, is never walked again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _ms_since(begun: float) -> int:
    return round((time.perf_counter() - begun) * 1000)


def _bound(settings: ServeSettings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        message = (
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror or error}. "
            "Stop what listens there, or give another --port"
        )
        raise CommandFailed(message) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _wait_told_to_stop() -> None:
    """Wait for SIGTERM or SIGINT, without a bound: a server runs until it is told to stop."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
