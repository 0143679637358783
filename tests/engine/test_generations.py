"""Claims about workflows that run together, and about replays in other processes.

`python -m tests.engine.test_generations FIRST COUNT` runs so many more seeds by hand and says what it found;
`python -m tests.engine.test_generations replay FILE` folds what `recorded` wrote and prints the hashes.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from engine.applier import fold
from engine.codec import pack
from engine.events import Event
from tests.engine.generations import Generations

RUNS = 120
BATCHES = 4
REPLAYED = 25


class Recorded(msgspec.Struct):
    """The events of one workflow, as the log has them."""

    name: str
    events: list[Event]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_workflows_that_run_together_keep_every_invariant_and_all_end(batch: int) -> None:
    """Three generations, each a state of its own: late and repeated commands between them leave nobody waiting."""
    for seed in range(batch, RUNS, BATCHES):
        try:
            Generations(Random(seed)).run()
        except Exception as error:
            error.add_note(f"seed {seed}: Generations(Random({seed})).run()")
            raise


def test_generations_are_what_they_are_for() -> None:
    """Most runs have children, many grandchildren, and much is delivered twice."""
    sizes = []
    for seed in range(30):
        generations = Generations(Random(seed))
        generations.run()
        sizes.append(len(generations.members))
    assert sum(size > 1 for size in sizes) >= 28
    assert sum(size > 3 for size in sizes) >= 15


def recorded(path: Path, seeds: range) -> str:
    """Run seeds, write all events to a file and return the hash of the states that they led to."""
    with path.open("wb") as file:
        digest = hashlib.blake2b(digest_size=16)
        for seed in seeds:
            generations = Generations(Random(seed))
            generations.run()
            for name, member in sorted(generations.members.items()):
                scenario = member.scenario
                file.write(msgspec.json.encode(Recorded(name=f"{seed}/{name}", events=scenario.events)) + b"\n")
                digest.update(pack(scenario.state))
    return digest.hexdigest()


def replayed(path: Path) -> str:
    """Fold the events in a file and return the hash of the states."""
    digest = hashlib.blake2b(digest_size=16)
    for line in path.read_bytes().splitlines():
        state = fold(msgspec.json.decode(line, type=Recorded).events)
        assert state is not None
        digest.update(pack(state))
    return digest.hexdigest()


def _elsewhere(hash_seed: str, *arguments: str) -> str:
    """Run this module in a process whose hashes are others."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "tests.engine.test_generations", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_replay_in_another_process_gives_the_same_bytes(tmp_path: Path, hash_seed: str) -> None:
    """Under other hashes of texts, the fold of what was decided here is packed to the very same bytes."""
    path = tmp_path / "events"
    assert recorded(path, range(REPLAYED)) == _elsewhere(hash_seed, "replay", str(path))


def test_run_in_another_process_decides_the_same(tmp_path: Path) -> None:
    """Not only the fold: the same seed gives the same decisions, byte for byte in the log."""
    assert recorded(tmp_path / "here", range(10)) == _elsewhere("77", "record", str(tmp_path / "there"), "10")
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def _by_hand(first: int, count: int) -> None:
    found = 0
    for seed in range(first, first + count):
        try:
            Generations(Random(seed)).run()
        except Exception as error:  # noqa: BLE001 - every kind of failure is counted and shown
            found += 1
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}\n")
    sys.stdout.write(f"{count} families, {found} failures\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["replay", file]:
            sys.stdout.write(replayed(Path(file)))
        case ["record", file, count]:
            sys.stdout.write(recorded(Path(file), range(int(count))))
        case [first, count]:
            _by_hand(int(first), int(count))
        case _:
            sys.stdout.write(f"{__doc__}\n")
