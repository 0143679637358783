"""The runner: as many seeds as there is time for.

    python -m tests.simulation --seeds 100000 --start 0 --jobs 2
    python -m tests.simulation --start 4711 --seeds 1 --trace
    python -m tests.simulation --bug no-fencing

Prints each failure at once, with the command that shows its trace, and the sum at the end. Exit code 1: a seed failed.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.bugs import BUGS
from tests.simulation.runs import SeedFailed, Total, commit, run_seed
from tests.simulation.world import RunOutcome

SEEDS_AT_ONCE = 20
"""Given to a process at a time: about half a second of work."""


def main() -> int:
    """Run what the command line asks for and return the exit code."""
    asked = _arguments().parse_args()
    seeds = range(asked.start, asked.start + asked.seeds)
    bug = next((bug for bug in BUGS if bug.name == asked.bug), None)
    with bug.put_in() if bug is not None else nullcontext():
        if asked.trace:
            return _trace(seeds)
        began_s = time.monotonic()
        options = "" if bug is None else f" --bug {bug.name}"
        total = _run(seeds, jobs=asked.jobs if bug is None else 1, failures_max=asked.failures, options=options)
    elapsed_s = time.monotonic() - began_s
    sys.stdout.write(_summary(total, elapsed_s))
    if asked.report is not None:
        _note(asked.report, total, seeds, elapsed_s)
    return 1 if total.failed else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run seeds of the simulation.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (1000)")
    parser.add_argument("--start", type=int, default=0, help="the first one (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in (1)")
    parser.add_argument("--failures", type=int, default=10, help="stop after so many failed seeds (10)")
    parser.add_argument("--trace", action="store_true", help="print every step of every seed")
    parser.add_argument("--bug", choices=[bug.name for bug in BUGS], help="put a bug in first")
    parser.add_argument("--report", type=Path, help="append one line of JSON about the run to this file")
    return parser


def _trace(seeds: range) -> int:
    is_failed = False
    for seed in seeds:
        result = run_seed(seed, say=print)
        is_failed |= isinstance(result, SeedFailed)
        print(result.report() if isinstance(result, SeedFailed) else result)  # noqa: T201 - a program for a terminal
    return 1 if is_failed else 0


def _run(seeds: range, *, jobs: int, failures_max: int, options: str) -> Total:
    total = Total()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("seeds", total=len(seeds))
        for result in _results(seeds, jobs):
            total.add(result)
            progress.advance(bar)
            if isinstance(result, SeedFailed):
                console.print(result.report(options=options), markup=False, highlight=False)
                if len(total.failed) >= failures_max:
                    break
    return total


def _results(seeds: range, jobs: int) -> Iterator[RunOutcome | SeedFailed]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=SEEDS_AT_ONCE)


def _summary(total: Total, elapsed_s: float) -> str:
    occurred = ", ".join(f"{name} {count:,}" for name, count in sorted(total.counts.items()))
    return (
        f"{total.seeds:,} seeds, {len(total.failed)} failed, in {elapsed_s:.1f} s "
        f"({total.seeds / elapsed_s * 3600:,.0f} an hour)\n"
        f"{total.steps:,} steps ({total.steps / elapsed_s:,.0f}/s, longest seed {total.steps_max:,}), "
        f"{total.decisions:,} decisions about {total.workflows:,} workflows\n"
        f"{total.simulated_ms / 3_600_000:,.1f} simulated hours, {total.simulated_ms / 1000 / elapsed_s:,.0f} times "
        f"real time\n"
        f"{occurred}\n"
    )


def _note(report: Path, total: Total, seeds: range, elapsed_s: float) -> None:
    line = {
        "commit": commit(),
        "start": seeds.start,
        "seeds": total.seeds,
        "steps": total.steps,
        "decisions": total.decisions,
        "simulated_hours": round(total.simulated_ms / 3_600_000, 2),
        "elapsed_s": round(elapsed_s, 1),
        "faults": total.counts,
        "failed": [failed.seed for failed in total.failed],
    }
    with report.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
