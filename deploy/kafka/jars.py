"""The jars of a Kafka broker: where they are kept, and how they get there.

Holds the look-up of Java and Maven and the copy of the jars that pom.xml names into a cache folder. It must
not start a broker. The invariant: a folder that `broker_jars` returns is complete, whoever else fetches at
the same time and wherever an earlier fetch was interrupted.

The cache is `.cache/kafka` in the repository, or the folder that `PODIUM_KAFKA_CACHE` names. Maven is only
needed to fill it; Java 17 or newer is needed always.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_POM: Final = Path(__file__).with_name("pom.xml")
_REPOSITORY_ROOT: Final = Path(__file__).resolve().parents[2]

# A first fetch brings 55 MB; a slow line needs minutes, a dead one must not hold a test run for ever.
_FETCH_S_MAX: Final = 600


class BrokerUnavailable(Exception):
    """No broker can run on this machine. Install Java (17 or newer) and Maven, or fill the cache of jars."""


def cache_folder() -> Path:
    """Return the folder that holds the jars, whether or not it exists yet."""
    configured = os.environ.get("PODIUM_KAFKA_CACHE")
    return Path(configured) if configured else _REPOSITORY_ROOT / ".cache" / "kafka"


def missing_prerequisite() -> str | None:
    """Return what keeps this machine from running a broker, as a sentence, or None if nothing does."""
    if shutil.which(java_command()) is None:
        return f"Kafka needs Java 17 or newer, and {java_command()} is not there; install it or set JAVA_HOME"
    if not _jar_folder().is_dir() and shutil.which("mvn") is None:
        return f"the Kafka jars are not in {cache_folder()} and mvn, which would fetch them, is not on PATH"
    return None


def java_command() -> str:
    """Return the Java program to run: that of JAVA_HOME if set, else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def broker_jars() -> Path:
    """Return the folder of jars, fetching them first if this version of pom.xml was never fetched.

    Safe from many processes at once: one fetches, the others wait for it.

    Raises:
        BrokerUnavailable: Java or Maven is missing, or Maven could not fetch.
    """
    reason = missing_prerequisite()
    if reason is not None:
        raise BrokerUnavailable(reason)
    folder = _jar_folder()
    if folder.is_dir():
        return folder
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _jar_folder() -> Path:
    # Named for the content of the pom: a new version is a new folder, and nothing has to be thrown away.
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    return cache_folder() / f"jars-{digest}"


def _fetch(folder: Path) -> None:
    # The rename is what makes the folder complete: a fetch that dies leaves only a temporary folder behind.
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="fetching-") as partial:
        target = Path(partial) / "jars"
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(_POM),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={target}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S_MAX, check=False)
        if done.returncode != 0:
            raise BrokerUnavailable(
                f"mvn could not fetch the Kafka jars (exit {done.returncode}):\n{done.stdout[-2000:]}"
            )
        target.rename(folder)
