"""The command line of the benchmarks.

Holds the flags. Must not measure: each subcommand calls one function. Keeps the invariant that standard output is JSON
for a single benchmark and the table of budgets for the standard set.

Exit codes: 0 all floors kept (or none asked about); 1 a floor is missed, or a run failed; 2 called wrongly.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from benchmarks.budgets import verdicts
from benchmarks.cold import run_cold_start, run_kill
from benchmarks.ladder import Shape, run_ladder
from benchmarks.load.run import Load, Workers, run_load
from benchmarks.load.starts import run_kafka_starts, run_rest_starts
from benchmarks.machine import Machine, describe_machine
from benchmarks.micro.client_cost import run_client_cost
from benchmarks.micro.engine_cost import run_decide, run_fold
from benchmarks.micro.inline_cost import run_real_inline, run_simple_inline
from benchmarks.micro.recovery import run_recovery
from benchmarks.results import BenchmarkFailed, Report, Result, report_json, report_of
from benchmarks.screen import errors, markdown, progress, show_results, show_verdicts
from benchmarks.searchable import run_searchable
from benchmarks.stage import Log, Stage
from benchmarks.standard import standard_steps
from benchmarks.timers import run_timers

RESULTS_FOLDER = Path(__file__).with_name("results")

app = typer.Typer(
    help="Measure Podium on this machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LogOption = Annotated[Log, typer.Option("--log", help="The log that the server stands on.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write the JSON to this file instead.")]
HistoryOption = Annotated[bool, typer.Option("--history/--no-history", help="Keep the history, as by default.")]


@app.callback(invoke_without_command=True)
def standard(
    context: typer.Context,
    *,
    scale: Annotated[float, typer.Option(min=0.0001, max=1.0, help="Smaller counts, for a look in passing.")] = 1.0,
    only: Annotated[str, typer.Option(help="Only steps whose title contains this.")] = "",
    out: OutOption = None,
) -> None:
    """Run the standard set and compare it with the budgets."""
    if context.invoked_subcommand is not None:
        return
    machine = describe_machine()
    results, failures = _run_steps(scale, only)
    found = verdicts(results)
    show_verdicts(found, scale=scale)
    if out is None and scale == 1.0 and not only:
        RESULTS_FOLDER.mkdir(exist_ok=True)
        out = RESULTS_FOLDER / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
    if out is not None:
        out.write_bytes(report_json(report_of(_command(), machine, results)) + b"\n")
    for title, error in failures:
        errors.print(f"[bold red]{title} failed:[/bold red] {error}", markup=True, highlight=False)
    if failures or any(verdict.is_missed for verdict in found):
        raise typer.Exit(1)


@app.command()
def load(  # noqa: PLR0913 (one parameter per flag)
    *,
    log: LogOption = Log.EMBEDDED,
    workers: Annotated[Workers, typer.Option(help="How workers take tasks.")] = Workers.HTTP,
    in_flight: Annotated[int, typer.Option(min=1, max=10_000, help="Workflows kept going at once.")] = 64,
    workflows: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many in all.")] = 5_000,
    rate: Annotated[float, typer.Option(min=0.0, help="Open loop: starts per second instead.")] = 0.0,
    update_v2: Annotated[bool, typer.Option("--update-v2", help="Workers report by update-v2.")] = False,
    worker_processes: Annotated[int, typer.Option(min=1, max=16)] = 1,
    seconds_max: Annotated[float, typer.Option(min=1.0, max=600.0, help="Start nothing more after this.")] = 30.0,
    history: HistoryOption = True,
    profile: Annotated[
        Path | None, typer.Option(help="Sample the server and write where its CPU time went to this file.")
    ] = None,
    out: OutOption = None,
) -> None:
    """Run workflows of three tasks, through and through."""
    case = Load(
        workers=workers,
        in_flight=in_flight,
        workflows=workflows,
        rate_per_s=rate,
        chain=update_v2,
        worker_processes=worker_processes,
        seconds_max=seconds_max,
    )
    if workers is Workers.KAFKA and log is not Log.KAFKA:
        raise typer.BadParameter("Kafka workers need --log kafka")

    def run() -> list[Result]:
        with Stage(log, *_history(kept=history), profile_to=profile) as stage:
            return [run_load(stage, case)]

    _tell(run, out)


@app.command()
def starts(
    *,
    log: LogOption = Log.EMBEDDED,
    by_kafka: Annotated[bool, typer.Option("--by-kafka", help="Produce start commands instead.")] = False,
    workflows: Annotated[int, typer.Option("--open", min=1, max=1_000_000, help="Workflows left open.")] = 10_000,
    history: HistoryOption = True,
    profile: Annotated[Path | None, typer.Option(help="As for load.")] = None,
    out: OutOption = None,
) -> None:
    """Start workflows that stay open; then look at the idle server."""
    if by_kafka and log is not Log.KAFKA:
        raise typer.BadParameter("--by-kafka needs --log kafka")

    def run() -> list[Result]:
        with Stage(log, *_history(kept=history), profile_to=profile) as stage:
            start = run_kafka_starts if by_kafka else run_rest_starts
            return [start(stage, workflows=workflows)]

    _tell(run, out)


@app.command()
def ladder(
    *,
    log: LogOption = Log.EMBEDDED,
    shape: Annotated[Shape, typer.Option(help="How the tasks of a workflow lie.")] = Shape.SEQUENCE,
    sizes: Annotated[str, typer.Option(help="Numbers of tasks, with commas; the usual ones if none.")] = "",
    profile: Annotated[Path | None, typer.Option(help="As for load.")] = None,
    out: OutOption = None,
) -> None:
    """Run single workflows of growing size."""

    def run() -> list[Result]:
        with Stage(log, profile_to=profile) as stage:
            return [run_ladder(stage, shape, [int(size) for size in sizes.split(",") if size])]

    _tell(run, out)


@app.command()
def timers(
    *,
    log: LogOption = Log.EMBEDDED,
    count: Annotated[int, typer.Option(min=1, max=100_000)] = 1_000,
    wait_s: Annotated[int, typer.Option(min=1, max=120, help="How long each waits.")] = 2,
    in_one_second: Annotated[
        bool, typer.Option("--in-one-second", help="All due in one second, that long after the first start.")
    ] = False,
    out: OutOption = None,
) -> None:
    """Run many WAIT tasks and tell how late they fire."""

    def run() -> list[Result]:
        with Stage(log) as stage:
            return [run_timers(stage, timers=count, wait_s=wait_s, in_one_second=in_one_second)]

    _tell(run, out)


@app.command()
def cold(
    *,
    workflows: Annotated[int, typer.Option("--open", min=0, max=1_000_000, help="Workflows left open.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=100, help="Starts of the server.")] = 5,
    history: HistoryOption = True,
    out: OutOption = None,
) -> None:
    """Start a server again and again."""
    _tell(lambda: [run_cold_start(*_history(kept=history), starts=count, open_workflows=workflows)], out)


@app.command()
def kill(*, log: LogOption = Log.EMBEDDED, out: OutOption = None) -> None:
    """Kill the server under load and tell when it completes workflows again."""
    _tell(lambda: [run_kill(log=log)], out)


@app.command()
def searchable(
    *,
    log: LogOption = Log.EMBEDDED,
    workflows: Annotated[int, typer.Option(min=1, max=10_000)] = 40,
    out: OutOption = None,
) -> None:
    """Tell how long it takes until a search finds a new workflow."""

    def run() -> list[Result]:
        with Stage(log) as stage:
            return [run_searchable(stage, workflows=workflows)]

    _tell(run, out)


@app.command()
def micro(*, out: OutOption = None) -> None:
    """Measure deciding, folding, INLINE tasks, and what the harness's own client costs."""
    _tell(lambda: [run_decide(), run_fold(), run_simple_inline(), run_real_inline(), run_client_cost()], out)


@app.command()
def recovery(
    *,
    workflows: Annotated[int, typer.Option("--open", min=1, max=2_000_000, help="Open workflows.")] = 100_000,
    out: OutOption = None,
) -> None:
    """Start a server on a log with very many open workflows."""
    _tell(lambda: [run_recovery(workflows=workflows)], out)


@app.command("markdown")
def as_markdown(report: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What --out wrote.")]) -> None:
    """Print the budgets of a report as Markdown. Measures nothing."""
    read = msgspec.json.decode(report.read_bytes(), type=Report)
    print(markdown(read, verdicts(read.results)))


def main() -> None:
    """Run the command line and exit."""
    app(prog_name="python -m benchmarks")


def _run_steps(scale: float, only: str) -> tuple[list[Result], list[tuple[str, BenchmarkFailed]]]:
    results: list[Result] = []
    failures: list[tuple[str, BenchmarkFailed]] = []
    steps = [step for step in standard_steps(scale=scale) if only in step.title]
    with progress() as line:
        shown = line.add_task("", total=len(steps))
        for number, step in enumerate(steps, start=1):
            line.update(shown, description=f"{number}/{len(steps)} {step.title}")
            try:
                done = step.run()
            except BenchmarkFailed as error:
                failures.append((step.title, error))
                continue
            results += done
            show_results(done)
    return results, failures


def _tell(run: Callable[[], Sequence[Result]], out: Path | None) -> None:
    """Run one benchmark; write its report as JSON, and show it if somebody looks."""
    machine: Machine = describe_machine()
    try:
        with progress() as line:
            line.add_task("measuring", total=None)
            results = list(run())
    except BenchmarkFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    report = report_json(report_of(_command(), machine, results))
    if out is None:
        print(report.decode())
    else:
        out.write_bytes(report + b"\n")
        show_results(results)


def _history(*, kept: bool) -> list[str]:
    return [] if kept else ["--no-history"]


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
