"""Claims about the harness as a whole: each benchmark runs, with tiny numbers, and says what it measured.

Must not compare times: figures of tiny runs are no figures.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.budgets import BUDGETS
from benchmarks.cold import run_cold_start
from benchmarks.definitions import sequence
from benchmarks.ladder import Shape, run_ladder
from benchmarks.load.run import Load, Workers, run_load
from benchmarks.load.starts import run_rest_starts
from benchmarks.machine import REPOSITORY_ROOT
from benchmarks.micro.engine_cost import run_decide, run_fold
from benchmarks.rest import Rest, check_completed
from benchmarks.results import BenchmarkFailed, Result
from benchmarks.stage import Log, Stage
from benchmarks.timers import run_timers

pytestmark = pytest.mark.slow


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _budgeted(case: str) -> set[str]:
    return {budget.figure for budget in BUDGETS if budget.case == case}


def test_load_prints_json_of_every_figure() -> None:
    """Standard output is one JSON document: machine, revision, and the figures that were asked for."""
    done = _benchmarks("load", "--workflows", "30", "--in-flight", "64")
    assert done.returncode == 0, done.stderr

    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    (result,) = report["results"]
    figures = result["figures"]

    assert result["case"] == "3 tasks, http workers, embedded log, 64 in flight"
    assert report["machine"]["cores"] >= 1
    assert _budgeted(result["case"]) <= set(figures)
    assert {"p50_ms", "p99_ms", "server_rss_after_mb", "server_cpu_ms_per_workflow"} <= set(figures)
    assert (figures["workflows"], figures["checked_workflows"]) == (30, 30)


def test_load_can_sample_the_server(tmp_path: Path) -> None:
    """The report of a sampled server names its packages and its threads."""
    done = _benchmarks("load", "--workflows", "100", "--profile", str(tmp_path / "profile.txt"))
    assert done.returncode == 0, done.stderr

    report = (tmp_path / "profile.txt").read_text()
    assert "by package, own time" in report
    assert "MainThread" in report


def test_kafka_workers_need_a_kafka_log() -> None:
    """A combination that cannot be is called wrong before anything is started."""
    done = _benchmarks("load", "--workers", "kafka")
    assert done.returncode == 2
    assert "--log kafka" in done.stderr


@pytest.mark.parametrize(
    "load",
    [
        Load(in_flight=1, workflows=10),
        Load(in_flight=8, workflows=40, chain=True),
        Load(workflows=20, rate_per_s=100, worker_processes=2),
    ],
    ids=["alone", "update-v2", "open loop"],
)
def test_every_way_of_loading_completes_what_it_starts(load: Load) -> None:
    """Closed and open loop, results by either route, one worker process or two."""
    with Stage(Log.EMBEDDED) as stage:
        figures = run_load(stage, load).figures
    assert figures["workflows"] == load.workflows


def test_starts_ladder_and_timers_run_on_one_server() -> None:
    """The benchmarks of parts find their figures, and no timer is early."""
    with Stage(Log.EMBEDDED) as stage:
        starts = run_rest_starts(stage, workflows=50, idle_s=0.2)
        rungs = run_ladder(stage, Shape.SEQUENCE, [10, 30])
        forks = run_ladder(stage, Shape.FORK, [10, 30])
        timers = run_timers(stage, timers=20, wait_s=2)

    assert _budgeted(starts.case) <= set(starts.figures)
    assert "growth_of_server_cpu" in rungs.figures
    assert "growth_of_server_cpu" in forks.figures
    assert timers.figures["early"] == 0


def test_timers_that_would_be_due_before_all_have_started_are_refused_at_once() -> None:
    """A wait that cannot do is told with what would, not found out by waiting in vain."""
    with Stage(Log.EMBEDDED) as stage, pytest.raises(BenchmarkFailed, match="--wait-s"):
        run_timers(stage, timers=10_000, wait_s=2, in_one_second=True)


def test_cold_start_with_open_workflows_is_timed() -> None:
    """A server comes back with what it held."""
    result = run_cold_start(starts=1, open_workflows=20)
    assert result.case == "cold start, embedded log, 20 open workflows"
    assert result.figures["p50_s"] > 0


@pytest.mark.parametrize("run", [run_decide, run_fold])
def test_micro_benchmarks_run_the_real_machine(run: Callable[..., Result]) -> None:
    """Their figures are those of the budgets."""
    result = run(workflows=100)
    assert _budgeted(result.case) <= set(result.figures)


def test_a_workflow_that_did_not_complete_fails_the_run() -> None:
    """The harness does not take its own word for it."""
    with Stage(Log.EMBEDDED) as stage:
        stage.register(sequence(1), [])
        with Rest(stage.server.port) as rest:
            workflow_id = rest.start("bench_sequence_1", number=1)
        with pytest.raises(BenchmarkFailed, match="should be COMPLETED"):
            check_completed(stage.server.port, [workflow_id])


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka_available")
def test_kafka_workers_complete_what_the_client_starts() -> None:
    """Client and workers speak to the server through Kafka alone."""
    with Stage(Log.KAFKA) as stage:
        figures = run_load(stage, Load(workers=Workers.KAFKA, in_flight=4, workflows=20)).figures
    assert figures["workflows"] == 20
    assert figures["broker_cpu_ms_per_workflow"] > 0
