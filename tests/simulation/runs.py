"""Runs of many seeds: what each came to, and what to print of one that failed.

Holds the catching of failures and their one-line causes. Must not print. Keeps the promise that a failure names all
that is needed to see it again: seed, commit, faults, step and the command that shows its trace.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from tests.simulation.world import RunOutcome, World

REPOSITORY_ROOT: Final = Path(__file__).resolve().parents[2]
CAUSE_CHARS_MAX: Final = 600


class SeedFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A seed that did not come to a good end. `step` is where, `cause` what was found."""

    seed: int
    mask: str
    step: int
    simulated_ms: int
    cause: str

    def report(self, *, options: str = "") -> str:
        """Return all that is needed to see it again. `options` are those that the run had besides its seeds."""
        return (
            f"seed    {self.seed}\ncommit  {commit()}\nfaults  {self.mask}\nstep    {self.step}, after "
            f"{self.simulated_ms / 1000:.1f} simulated seconds\ncause   {self.cause}\n"
            f"replay  {Path(sys.executable).name} -m tests.simulation --start {self.seed} --seeds 1 --trace{options}\n"
        )


class Total(msgspec.Struct, kw_only=True):
    """The sum of many seeds."""

    seeds: int = 0
    steps: int = 0
    steps_max: int = 0
    simulated_ms: int = 0
    decisions: int = 0
    workflows: int = 0
    counts: dict[str, int] = {}
    failed: list[SeedFailed] = []

    def add(self, result: RunOutcome | SeedFailed) -> None:
        """Count one seed."""
        self.seeds += 1
        self.simulated_ms += result.simulated_ms
        if isinstance(result, SeedFailed):
            self.failed.append(result)
            return
        self.steps += result.steps
        self.steps_max = max(self.steps_max, result.steps)
        self.decisions += result.decisions
        self.workflows += result.workflows
        self.counts = dict(Counter(self.counts) + Counter(result.counts))


def run_seed(seed: int, *, say: Callable[[str], None] | None = None) -> RunOutcome | SeedFailed:
    """Run one seed to its end, good or bad. An exception of the system under test is a failure like any other."""
    world = World(seed, say=say)
    try:
        return world.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the seed found
        cause = f"{type(error).__name__}: {error}"
        return SeedFailed(
            seed=seed,
            mask=world.mask,
            step=world.clock.steps,
            simulated_ms=world.clock.elapsed_ms,
            cause=cause if len(cause) <= CAUSE_CHARS_MAX else f"{cause[:CAUSE_CHARS_MAX]} …",
        )


def run_seeds(seeds: Iterable[int]) -> Total:
    """Run seeds one after the other."""
    total = Total()
    for seed in seeds:
        total.add(run_seed(seed))
    return total


def commit() -> str:
    """Return the commit of the working tree, with a mark if it has changes."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git there is
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
