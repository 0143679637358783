"""Claims about every workflow: random definitions, driven by random commands at random moments.

`python -m tests.engine.test_properties FIRST COUNT` runs so many more seeds by hand and says what it found.
"""

import sys
from collections import Counter
from random import Random
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.events import Event
from tests.engine.driver import Driver
from tests.engine.generator import generate

RUNS = 320
BATCHES = 8
"""Each batch is one test, so that several workers share them."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_workflow_keeps_every_invariant_and_ends(batch: int) -> None:
    """After every decision the state is the fold of its events and all counts are true; in the end nothing is stuck."""
    for seed in range(batch, RUNS, BATCHES):
        driver = Driver(Random(seed))
        try:
            driver.run()
        except Exception as error:
            error.add_note(f"seed {seed}: Driver(Random({seed})).run()")
            raise


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.randoms(use_true_random=False))
def test_workflow_of_hypothesis_keeps_every_invariant_and_ends(random: Random) -> None:
    """The same, with choices that can be made smaller until only what matters is left."""
    Driver(random).run()


def test_random_runs_reach_what_they_are_for() -> None:
    """The generator is worth its name: every type, every status and both outcomes of commands occur."""
    seen: Counter[str] = Counter()
    for seed in range(160):
        driver = Driver(Random(seed))
        scenario = driver.run()
        seen["refused"] += driver.refused
        seen["taken"] += driver.commands - driver.refused
        seen[scenario.status] += 1
        seen.update(scenario.statuses().values())
        seen.update(task.spec.type for task in scenario.state.tasks.values())
        seen.update(type(event).__name__ for event in scenario.events)
    wanted = {kind.__name__ for kind in get_args(Event)} - {"WorkflowRemoved"}  # nothing comes after that
    wanted |= {"FORK", "JOIN", "SWITCH", "DECISION", "HTTP", "SUB_WORKFLOW", "WAIT", "HUMAN", "NOOP", "SET_VARIABLE"}
    wanted |= {"DO_WHILE", "START_WORKFLOW", "EXCLUSIVE_JOIN", "YIELD"}
    wanted |= {"EVENT", "KAFKA_PUBLISH", "PULL_WORKFLOW_MESSAGES"}
    wanted |= {"INLINE", "LAMBDA", "JSON_JQ_TRANSFORM"}
    wanted |= {"TERMINATE", "COMPLETED", "FAILED", "TERMINATED", "TIMED_OUT", "CANCELED", "SKIPPED", "refused", "taken"}
    assert wanted - set(seen) == set()


def test_generator_makes_the_same_of_the_same_seed() -> None:
    """A seed in a report of a failure is enough to see it again."""
    assert generate(Random(7)) == generate(Random(7))


def _by_hand(first: int, count: int) -> None:
    found = 0
    for seed in range(first, first + count):
        try:
            Driver(Random(seed)).run()
        except Exception as error:  # noqa: BLE001 - every kind of failure is counted and shown
            found += 1
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}\n")
    sys.stdout.write(f"{count} workflows, {found} failures\n")


if __name__ == "__main__":
    _by_hand(int(sys.argv[1]), int(sys.argv[2]))
