"""Whole worlds, seed by seed: nothing that must never happen happens, and everything ends.

Must not look inside: a seed is run, and its audit and verdict say what they found. Keeps the same seeds for
everybody, so that what fails for one fails for all.
"""

import os
import subprocess
import sys

import pytest

from tests.simulation.runs import REPOSITORY_ROOT, SeedFailed, run_seed, run_seeds
from tests.simulation.world import RunOutcome

SEEDS = 2_000
SEEDS_PER_TEST = 50
"""About one second: so the tests of one run spread over the cores."""


@pytest.mark.parametrize("start", range(0, SEEDS, SEEDS_PER_TEST))
def test_seeds_hold_every_invariant_and_finish(start: int) -> None:
    """Crashes, zombies, lost appends, duplicates, poison, bad clocks: the log stays one truth and work ends."""
    total = run_seeds(range(start, start + SEEDS_PER_TEST))
    assert [failed.report() for failed in total.failed] == []


def test_the_seeds_contain_every_kind_of_fault() -> None:
    """A fault that is never drawn is never survived."""
    total = run_seeds(range(60))
    expected = {
        "adopted", "claims", "crashes", "fenced", "given_up", "misrouted", "operations", "pauses", "poison",
        "rebalances", "records_not_believed", "snapshots", "unregistered", "workers_lost",
    }  # fmt: skip
    assert expected - total.counts.keys() == set()


@pytest.mark.parametrize("seed", [3, 8, 17])
def test_the_same_seed_gives_the_same_log(seed: int) -> None:
    """Record by record, in this process and in a fresh one that hashes strings differently."""
    first, second = run_seed(seed), run_seed(seed)
    assert isinstance(first, RunOutcome)
    assert first == second
    assert _log_hash_elsewhere(seed, hash_seed="1") == first.log_hash
    assert _log_hash_elsewhere(seed, hash_seed="4711") == first.log_hash


def test_a_trace_does_not_change_the_run() -> None:
    """Looking at a seed shows the seed, not another one; and it shows each believed decision."""
    lines: list[str] = []
    traced = run_seed(8, say=lines.append)
    assert traced == run_seed(8)
    assert isinstance(traced, RunOutcome)
    assert sum("believed" in line for line in lines) == traced.decisions


def test_different_seeds_give_different_worlds() -> None:
    """Two hundred seeds are two hundred runs."""
    outcomes = [run_seed(seed) for seed in range(200)]
    assert len({outcome.log_hash for outcome in outcomes if isinstance(outcome, RunOutcome)}) == 200


def test_a_failure_names_all_that_is_needed_to_see_it_again() -> None:
    """Seed, commit, faults, step, cause and the command that replays it with a trace."""
    failed = SeedFailed(seed=12, mask="crashes=2", step=345, simulated_ms=6_000, cause="Violation: I5")
    report = failed.report()
    for wanted in (
        "12",
        "crashes=2",
        "345",
        "6.0",
        "Violation: I5",
        "-m tests.simulation --start 12 --seeds 1 --trace",
    ):
        assert wanted in report


def _log_hash_elsewhere(seed: int, *, hash_seed: str) -> str:
    program = f"from tests.simulation.runs import run_seed; print(run_seed({seed}).log_hash)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.strip()
