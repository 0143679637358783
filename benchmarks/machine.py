"""The machine and the revision that figures belong to.

Must not measure anything itself. Keeps the invariant that a figure without these is not comparable, so every report
carries them, the load by others included.
"""

import os
import platform
import subprocess
import tempfile
from pathlib import Path

import msgspec
import psutil

REPOSITORY_ROOT = Path(__file__).resolve().parents[1]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and on what a run took place. `load_average` is that of the last minute before it."""

    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    file_system: str
    load_average: float
    revision: str


def describe_machine() -> Machine:
    """Return what this machine is now. To be called before the first process is started."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        file_system=_file_system(Path(tempfile.gettempdir())),
        load_average=round(os.getloadavg()[0], 2),
        revision=_revision(),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Return the kind of file system under the servers' data: what a durable commit costs depends on it."""
    mounted = {partition.mountpoint: partition.fstype for partition in psutil.disk_partitions(all=True)}
    return next((mounted[str(path)] for path in (folder, *folder.parents) if str(path) in mounted), "unknown")


def _revision() -> str:
    """Return the commit, with a + if the working tree differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"{commit}+" if _git("status", "--porcelain", "--", "engine", "streams", "api") else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607 (whichever git the developer uses)
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
