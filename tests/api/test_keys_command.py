"""Claims about `podium keys`."""

import os
import subprocess
import sys
from pathlib import Path

from api.access.keys import KeyRing


def podium(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "api.cli", "keys", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_a_key_is_made_shown_and_taken_away(tmp_path: Path) -> None:
    """The secret is shown once; what is printed proves the key to a server."""
    path = tmp_path / "keys.json"
    made = podium("add", "encoder", "--key-file", str(path), "--role", "worker", "--task-type", "encode_*")
    assert made.returncode == 0, made.stderr
    words = dict(line.split(maxsplit=2)[1:] for line in made.stdout.splitlines()[:2])
    key = KeyRing(path).proven(words["id"], words["secret"], now_ms=0)
    assert key is not None
    assert (key.name, key.task_types, key.expires_at_ms) == ("encoder", ("encode_*",), 0)
    shown = podium("list", "--key-file", str(path)).stdout
    assert "encoder" in shown
    assert words["secret"] not in shown
    assert podium("remove", words["id"], "--key-file", str(path)).returncode == 0
    assert KeyRing(path).find(words["id"], now_ms=0) is None


def test_what_is_no_role_no_limit_and_no_key_is_told(tmp_path: Path) -> None:
    """In one sentence, and nothing is written."""
    path = tmp_path / "keys.json"
    emperor = podium("add", "a", "--key-file", str(path), "--role", "emperor")
    assert (emperor.returncode, "worker, reader" in emperor.stderr) == (2, True)
    odd = podium("add", "a", "--key-file", str(path), "--role", "worker", "--task-type", "a*b")
    assert (odd.returncode, "a*b" in odd.stderr) == (2, True)
    assert not path.exists()
    assert podium("list", "--key-file", str(path)).returncode == 1
    podium("add", "a", "--key-file", str(path), "--role", "worker")
    assert podium("remove", "nobody", "--key-file", str(path)).returncode == 1
