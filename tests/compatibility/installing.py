"""The SDKs that cannot live in the environment of the tests: installed once, from locks, under `.cache/`.

Holds the installation of the older Python SDK and of the JavaScript SDK. Must not install anything that a lock does not
name with its hash. Keeps the invariant that a test which needs one is skipped only with the reason, and never where
`PODIUM_REQUIRE_KAFKA=1` says that nothing may be left out.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NoReturn

import pytest

HERE: Final = Path(__file__).parent
CACHE: Final = HERE.parents[1] / ".cache" / "compatibility"
INSTALL_WITHIN_S: Final = 90
_DONE: Final = ".installed"


def older_python() -> Path:
    """Return the interpreter of an environment with the 1.1 line of the Python SDK."""
    lock = HERE / "older" / "requirements.lock"
    folder = CACHE / f"python-{_digest(lock)}"
    python = folder / "bin" / "python"
    if not (folder / _DONE).exists():
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        _install([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", str(lock)], folder)
    return python


def javascript() -> Path:
    """Return a folder in which node finds the JavaScript SDK."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        _leave_out(f"{' and '.join(missing)} not on PATH")
    sources = [HERE / "javascript" / name for name in ("package.json", "package-lock.json", ".npmrc")]
    folder = CACHE / f"javascript-{_digest(*sources)}"
    if not (folder / _DONE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, folder)
        _install(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"], folder)
    return folder


def _install(command: list[str], folder: Path) -> None:
    """Run an installer in a folder, and note there that it has come to its end."""
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=True)
    except subprocess.TimeoutExpired:
        _leave_out(f"{_tool(command)} did not install within {INSTALL_WITHIN_S} s")
    except subprocess.CalledProcessError as error:
        _leave_out(f"{_tool(command)} cannot install: {error.stderr.strip()[-400:]}")
    (folder / _DONE).touch()


def _tool(command: list[str]) -> str:
    return "npm" if command[0] == "npm" else "pip"


def _digest(*files: Path) -> str:
    """Return a name for what the files install: another lock, or another Python, gets a folder of its own."""
    content = b"".join(file.read_bytes() for file in files) + f"{sys.version_info[:2]}".encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _leave_out(reason: str) -> NoReturn:
    if os.environ.get("PODIUM_REQUIRE_KAFKA") == "1":
        pytest.fail(f"PODIUM_REQUIRE_KAFKA=1, but {reason}")
    pytest.skip(reason)
