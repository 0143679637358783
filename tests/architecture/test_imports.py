"""Claims about imports: the contracts of pyproject.toml hold, and are contracts that can break.

Must not repeat the contracts. They name which package may know which, and where each client library lives.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, REPOSITORY_ROOT

# One import per contract that breaks it: (module to write, its text, words of the contract's name).
VIOLATIONS = [
    ("engine/broken.py", "import streams\n", "never back"),
    ("engine/broken.py", "import time\n", "engine is pure"),
    ("streams/broken.py", "import aiokafka\n", "aiokafka"),
    ("api/broken.py", "import clickhouse_connect\n", "ClickHouse"),
    ("streams/broken.py", "import faust\n", "Faust"),
    ("api/broken.py", "import sqlite3\n", "SQLite"),
    ("api/broken.py", "import jsonschema_rs\n", "jsonschema-rs"),
]


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_import_contracts_hold() -> None:
    """Layers point down, and each client library is known in one folder."""
    checked = _lint_imports(REPOSITORY_ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("path", "text", "contract"), VIOLATIONS)
def test_import_contract_breaks_when_it_should(path: str, text: str, contract: str, tmp_path: Path) -> None:
    """A forbidden import is found: the contract names packages that exist and reads this tree."""
    shutil.copy(REPOSITORY_ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / path).write_text(text)

    checked = _lint_imports(tmp_path)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert [line for line in checked.stdout.splitlines() if line.endswith("BROKEN") and contract in line]
