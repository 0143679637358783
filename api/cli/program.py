"""The commands, their flags, and how each one ends.

Holds the command line alone: what a command does is in its own module, imported when it runs. Must not
compute. Keeps the invariant that every flag has an environment twin `PODIUM_…`, and that a failure is one
sentence on standard error and an exit code.

Exit codes: 0 it worked; 1 a workflow failed, the server refused, or a log cannot be read; 2 called wrongly; 3
the server cannot be reached.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli.failures import CommandFailed

app = typer.Typer(
    name="podium",
    help="Podium, a workflow engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys = typer.Typer(help="The API keys that a server asks for.", no_args_is_help=True)
app.add_typer(keys, name="keys")
topics = typer.Typer(help="The Kafka topics of a cluster.", no_args_is_help=True)
app.add_typer(topics, name="topics")

ServerOption = Annotated[
    str, typer.Option("--server", envvar="PODIUM_SERVER", metavar="URL", help="The server's address.")
]
DEFAULT_SERVER = "http://127.0.0.1:8080"
DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="PODIUM_DATA", help="Directory of the embedded log."),
]
KafkaOption = Annotated[
    str | None, typer.Option("--kafka", envvar="PODIUM_KAFKA", metavar="HOST:PORT", help="Kafka brokers.")
]
PrefixOption = Annotated[
    str, typer.Option("--topic-prefix", envvar="PODIUM_TOPIC_PREFIX", help="What the topics' names begin with.")
]
DEFAULT_DATA = Path("podium-data")
DEFAULT_PREFIX = "podium."


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except CommandFailed as failure:
        print(f"podium: {failure}", file=sys.stderr)  # noqa: T201 (the command's answer)
        sys.exit(failure.exit_code)


def _setting(name: str, text: str, *flags: str, metavar: str | None = None) -> typer.models.OptionInfo:
    """Return the option of a setting of `serve`: its flag is the parameter's name unless `flags` say otherwise."""
    option: typer.models.OptionInfo = typer.Option(*flags, envvar=f"PODIUM_{name}", help=text, metavar=metavar)
    return option


@app.command()
def serve(  # noqa: PLR0913 (one parameter per flag)
    *,
    data: Annotated[Path | None, _setting("DATA", "Directory of log and history. [default: ./podium-data]")] = None,
    host: Annotated[str | None, _setting("HOST", "Address to listen at. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, _setting("PORT", "Port to listen at; 0: any free one. [default: 8080]")] = None,
    kafka: Annotated[str | None, _setting("KAFKA", "Brokers; none: the embedded log.", metavar="HOST:PORT")] = None,
    topic_prefix: Annotated[
        str | None, _setting("TOPIC_PREFIX", "What the topics' names begin with. [default: podium.]")
    ] = None,
    partitions: Annotated[int | None, _setting("PARTITIONS", "Partitions of a log that is made now.")] = None,
    replication: Annotated[int | None, _setting("REPLICATION", "Copies of each topic that is made now.")] = None,
    clickhouse: Annotated[
        str | None, _setting("CLICKHOUSE", "ClickHouse of the history; none: in process.", metavar="URL")
    ] = None,
    history: Annotated[
        bool | None, _setting("HISTORY", "Keep the history. [default: yes]", "--history/--no-history")
    ] = None,
    snapshot_every_ms: Annotated[
        int | None, _setting("SNAPSHOT_EVERY_MS", "Between two snapshots. [default: 30000]")
    ] = None,
    allow_private_targets: Annotated[
        bool | None,
        _setting("ALLOW_PRIVATE_TARGETS", "Let HTTP tasks call private addresses.", "--allow-private-targets"),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        _setting("ALLOWED_HOSTS", "A private host that HTTP tasks may call; repeatable.", "--allowed-host"),
    ] = None,
    secrets_dir: Annotated[Path | None, _setting("SECRETS_DIR", "Directory with one file per secret.")] = None,
    secret_env_prefix: Annotated[
        str | None, _setting("SECRET_ENV_PREFIX", "What variables that hold secrets begin with.")
    ] = None,
    env_names: Annotated[
        list[str] | None, _setting("ENV_NAMES", "A variable that workflows may name; repeatable.", "--env-name")
    ] = None,
    event_kafka: Annotated[
        str | None, _setting("EVENT_KAFKA", "Brokers that workflows publish to.", metavar="HOST:PORT")
    ] = None,
    publish_servers: Annotated[
        list[str] | None,
        _setting("PUBLISH_SERVERS", "Brokers that a KAFKA_PUBLISH may name; repeatable.", "--publish-server"),
    ] = None,
    workflow_status_sink: Annotated[
        str | None, _setting("WORKFLOW_STATUS_SINK", "Where workflows that enable it tell their status.")
    ] = None,
    task_status_sink: Annotated[str | None, _setting("TASK_STATUS_SINK", "Where tasks tell their status.")] = None,
    publish_patience_seconds: Annotated[
        float | None, _setting("PUBLISH_PATIENCE_SECONDS", "For a sink that does not answer. [default: 60]")
    ] = None,
    url: Annotated[str | None, _setting("URL", "Where other processes reach this one.")] = None,
    insecure: Annotated[
        bool | None, _setting("INSECURE", "Listen beyond this machine without credentials.", "--insecure")
    ] = None,
    key_file: Annotated[Path | None, _setting("KEY_FILE", "API keys that callers need; none: no keys.")] = None,
    oidc_issuer: Annotated[
        str | None, _setting("OIDC_ISSUER", "OpenID Connect issuer whose tokens are accepted.", metavar="URL")
    ] = None,
    oidc_audience: Annotated[
        str | None, _setting("OIDC_AUDIENCE", "Audience that its tokens must be for. [default: podium]")
    ] = None,
    oidc_jwks_url: Annotated[
        str | None, _setting("OIDC_JWKS_URL", "Where its keys are; none: as its discovery says.", metavar="URL")
    ] = None,
    body_bytes_max: Annotated[
        int | None, _setting("BODY_BYTES_MAX", "Bytes of a request body. [default: 16777216]")
    ] = None,
    shutdown_seconds: Annotated[
        float | None, _setting("SHUTDOWN_SECONDS", "Time for running requests to end. [default: 8]")
    ] = None,
    log_level: Annotated[str | None, _setting("LOG_LEVEL", "debug, info, warning or error. [default: info]")] = None,
) -> None:
    """Run a server until it is told to stop."""
    given = {name: value for name, value in locals().items() if value is not None}
    from api.cli.serve import serve as run

    run(given)


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="Name of the workflow definition.")],
    *,
    version: Annotated[
        int | None, typer.Option(envvar="PODIUM_WORKFLOW_VERSION", help="Its version. [default: the newest]")
    ] = None,
    workflow_input: Annotated[
        str,
        typer.Option("--input", envvar="PODIUM_INPUT", metavar="JSON|@FILE", help="The input; @- is standard input."),
    ] = "{}",
    correlation_id: Annotated[
        str | None, typer.Option(envvar="PODIUM_CORRELATION_ID", help="A name of your own to find it by.")
    ] = None,
    priority: Annotated[int, typer.Option(envvar="PODIUM_PRIORITY", min=0, max=99, help="Higher goes first.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", envvar="PODIUM_WAIT", help="Wait for the end and print the output.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Start a workflow and print its id."""
    from api.cli.server import Server
    from api.cli.start import start as run

    run(
        Server(server),
        name,
        version=version,
        workflow_input=workflow_input,
        correlation_id=correlation_id,
        priority=priority,
        wait=wait,
    )


@app.command()
def describe(
    workflow_id: Annotated[str, typer.Argument(help="Id of the workflow.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", envvar="PODIUM_JSON", help="Print what the server says.")] = False,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Show where a workflow stands, and how it came there."""
    from api.cli.describe import describe as run
    from api.cli.server import Server

    run(Server(server), workflow_id, as_json=as_json)


@app.command()
def replay(
    workflow_id: Annotated[str, typer.Argument(help="Id of the workflow.")],
    *,
    data: DataOption = DEFAULT_DATA,
    kafka: KafkaOption = None,
    topic_prefix: PrefixOption = DEFAULT_PREFIX,
) -> None:
    """Print every event of a workflow from the log, and the state that they lead to.

    The embedded log can be read while no server uses its directory.
    """
    from api.cli.replay import replay as run
    from streams.settings import NodeSettings

    run(NodeSettings(data_dir=data, url="", kafka=kafka, topic_prefix=topic_prefix), workflow_id)


@app.command()
def worker(
    function: Annotated[str, typer.Argument(help="The function that does the work: module:function.")],
    *,
    kafka: Annotated[str, typer.Option(envvar="PODIUM_KAFKA", metavar="HOST:PORT", help="Kafka brokers.")],
    topic_prefix: PrefixOption = DEFAULT_PREFIX,
    task_type: Annotated[
        str | None, typer.Option(envvar="PODIUM_TASK_TYPE", help="Whose tasks. [default: the function's name]")
    ] = None,
    domain: Annotated[str, typer.Option(envvar="PODIUM_DOMAIN", help="The domain of the tasks.")] = "",
    worker_id: Annotated[
        str, typer.Option(envvar="PODIUM_WORKER_ID", help="Shown as the doer. [default: host and pid]")
    ] = "",
    concurrency: Annotated[
        int, typer.Option(envvar="PODIUM_CONCURRENCY", min=1, max=1_000, help="Functions that run at once.")
    ] = 10,
) -> None:
    """Do tasks from Kafka with a Python function, until told to stop."""
    from api.cli.worker import run_worker as run

    run(
        function,
        kafka=kafka,
        topic_prefix=topic_prefix,
        task_type=task_type,
        domain=domain,
        worker_id=worker_id,
        concurrency=concurrency,
    )


KeyFileArgument = Annotated[Path, typer.Option("--key-file", envvar="PODIUM_KEY_FILE", help="The file of the keys.")]


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; records say that it did what the key was used for.")],
    *,
    key_file: KeyFileArgument,
    role: Annotated[
        list[str],
        typer.Option(envvar="PODIUM_KEY_ROLE", help="worker, reader, operator, author or admin; repeatable."),
    ],
    workflow: Annotated[
        list[str] | None,
        typer.Option(envvar="PODIUM_KEY_WORKFLOW", help="Workflows it is limited to: a name, or NAME*; repeatable."),
    ] = None,
    task_type: Annotated[
        list[str] | None,
        typer.Option(envvar="PODIUM_KEY_TASK_TYPE", help="Task types it is limited to: a name, or NAME*; repeatable."),
    ] = None,
    expires_days: Annotated[
        int | None, typer.Option(envvar="PODIUM_KEY_EXPIRES_DAYS", min=1, help="Days that it is valid. [default: ever]")
    ] = None,
) -> None:
    """Make a key, and the file if there is none. Prints id and secret; the secret is nowhere else."""
    from api.cli.keys import add_key as run

    run(key_file, name, roles=role, workflows=workflow, task_types=task_type, expires_days=expires_days)


@keys.command("list")
def list_keys(*, key_file: KeyFileArgument) -> None:
    """Show the keys: whose they are, what they may do and how long."""
    from api.cli.keys import list_keys as run

    run(key_file)


@keys.command("remove")
def remove_key(
    key_id: Annotated[str, typer.Argument(help="Id of the key.")],
    *,
    key_file: KeyFileArgument,
) -> None:
    """Take a key away. Servers notice within a second; its tokens end with it."""
    from api.cli.keys import remove_key as run

    run(key_file, key_id)


@topics.command("apply")
def apply_topics(
    *,
    kafka: Annotated[str, typer.Option(envvar="PODIUM_KAFKA", metavar="HOST:PORT", help="Kafka brokers.")],
    topic_prefix: PrefixOption = DEFAULT_PREFIX,
    partitions: Annotated[
        int | None, typer.Option(envvar="PODIUM_PARTITIONS", help="Partitions of a log that is made now.")
    ] = None,
    replication: Annotated[
        int | None, typer.Option(envvar="PODIUM_REPLICATION", help="Copies of each topic that is made now.")
    ] = None,
) -> None:
    """Make the topics that are missing. What is there stays as it is."""
    from api.cli.topics import apply_topics as run
    from streams.settings import NodeSettings

    run(
        NodeSettings(
            data_dir=DEFAULT_DATA,
            url="",
            kafka=kafka,
            topic_prefix=topic_prefix,
            partitions=partitions,
            replication=replication,
        )
    )


@topics.command("list")
def list_topics(
    *,
    kafka: Annotated[str, typer.Option(envvar="PODIUM_KAFKA", metavar="HOST:PORT", help="Kafka brokers.")],
    topic_prefix: PrefixOption = DEFAULT_PREFIX,
) -> None:
    """Show the topics, what each keeps and how many records it holds."""
    from api.cli.topics import list_topics as run
    from streams.settings import NodeSettings

    run(NodeSettings(data_dir=DEFAULT_DATA, url="", kafka=kafka, topic_prefix=topic_prefix))


@app.command()
def version() -> None:
    """Print the version."""
    from api.version import version as installed

    print(installed())  # noqa: T201 (the command's output)
