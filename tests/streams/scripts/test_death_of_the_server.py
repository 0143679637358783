"""No script process outlives its server, however that ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_script_processes_die_with_the_server(how: signal.Signals) -> None:
    """Killed without a word, the server takes idle and endlessly busy script processes with it."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.streams.scripts.serving"],
        cwd=REPOSITORY_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        line = next(line for line in server.stdout if line.startswith("["))
        processes = [psutil.Process(pid) for pid in json.loads(line)]
        server.send_signal(how)
        server.wait(timeout=10)

    assert len(processes) == 3
    _, left = psutil.wait_procs(processes, timeout=10)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
