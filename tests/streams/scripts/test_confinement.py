"""Claims about what a confined process can do: compute, and nothing else.

Must not confine the process of the tests: a process of its own does the attempts and reports.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
SECRET = "nobody-may-read-this"


class Probe:
    """What the probe reported: its protections, what came of each attempt, and how it ended."""

    def __init__(self, folder: Path, *, landlock: bool) -> None:
        folder.chmod(0o755)
        (folder / "secret.json").write_text(json.dumps(SECRET))
        (folder / "secret.json").chmod(0o644)
        probed = subprocess.run(
            [sys.executable, "-m", "tests.streams.scripts.probe", str(folder), "landlock" if landlock else "limits"],
            cwd=REPOSITORY_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert probed.stdout, probed.stderr
        report: dict[str, Any] = json.loads(probed.stdout)
        self.protections: list[str] = report["protections"]
        self.found: dict[str, str] = report["found"]
        self.exit_code = probed.returncode


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A process confined with all that this kernel has."""
    return Probe(tmp_path_factory.mktemp("probe"), landlock=True)


@pytest.fixture(scope="module")
def bare_probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A process confined without Landlock."""
    return Probe(tmp_path_factory.mktemp("bare-probe"), landlock=False)


@pytest.mark.parametrize(
    "attempt",
    [
        "jq import",
        "open file",
        "write file",
        "list folder",
        "open null device",
        "socket",
        "pipe",
        "become root",
        "raise descriptors",
    ],
)
def test_confined_process_cannot(attempt: str, probe: Probe, bare_probe: Probe) -> None:
    """What reaches outside fails, on a kernel with Landlock and on one without: the limits alone are enough."""
    for confined in (probe, bare_probe):
        assert not confined.found[attempt].startswith("done"), confined.found[attempt]
        assert SECRET not in confined.found[attempt]


def test_jq_sees_an_empty_environment(probe: Probe) -> None:
    """Even a program that no scan has refused finds nothing there."""
    assert probe.found["jq environment"] == "done: [{}]"


def test_memory_above_the_limit_is_not_given(probe: Probe) -> None:
    """The process itself goes on, and can tell."""
    assert probe.found["memory"] == "MemoryError"


def test_no_privilege_comes_back_and_death_follows_the_servers(probe: Probe) -> None:
    """No new privileges, and SIGKILL when the parent dies, also after the change of user."""
    assert probe.found["privileges"] == "1"
    assert probe.found["dies with"] == str(int(signal.SIGKILL))


def test_processor_time_above_the_limit_ends_the_process(probe: Probe) -> None:
    """The kernel ends what the server did not: its last attempt is to run for ever."""
    assert probe.exit_code in {-signal.SIGXCPU, -signal.SIGKILL}


def test_no_other_program_can_be_started(probe: Probe) -> None:
    """Landlock forbids to execute; the limit on processes forbids to fork, for everybody but root."""
    if any(line.startswith("Landlock") for line in probe.protections):
        assert not probe.found["execute"].startswith("done")
    if "no new processes" in probe.protections:
        assert not probe.found["fork"].startswith("done"), probe.found["fork"]


def test_protections_are_reported_as_they_are(probe: Probe, bare_probe: Probe) -> None:
    """What the kernel does not have is not claimed, and what everybody has is there."""
    always = {"ends with the server", "no new privileges", "no new file descriptors", "no file writes"}

    assert always <= set(probe.protections)
    assert always <= set(bare_probe.protections)
    assert [line for line in bare_probe.protections if line.startswith("Landlock")] == []
    assert ("unprivileged user" in probe.protections) <= (os.geteuid() == 0)
