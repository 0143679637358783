"""A process that confines itself like a script process and then tries everything it should no longer be able to do.

Holds the attempts; prints as a JSON object what came of each. Started by `test_confinement.py`. Must not import
anything after the confinement, as that would be one of the attempts.
"""

import ctypes
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jq

from streams.scripts.confinement import AddressSpace, allow, bound_memory, confine

MEGABYTE = 1024 * 1024


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        return f"done: {attempt()}"
    except MemoryError:
        return "MemoryError"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _fork() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def main(folder: str, *, landlock: bool) -> None:
    """Confine this process and report. Without `landlock` the limits are on their own."""
    os.closerange(3, 1_000)
    os.environ.clear()
    base_bytes = AddressSpace().bytes_now()
    system = ctypes.CDLL(None, use_errno=True)
    protections = confine(server=os.getppid(), landlock=landlock)
    bound_memory(base_bytes)
    allow(time_limit_ms=1_000, memory_bytes=8 * MEGABYTE, base_bytes=base_bytes)
    attempts: dict[str, Callable[[], object]] = {
        "jq import": lambda: jq.compile(f'import "secret" as $d {{"search": "{folder}"}}; $d').input_text("1").all(),
        "jq environment": lambda: jq.compile("env").input_text("1").all(),
        "open file": lambda: Path(folder, "secret.json").read_text(),
        "write file": lambda: Path(folder, "written").write_text("x"),
        "list folder": lambda: os.listdir(folder),  # noqa: PTH208  # the system call is the attempt
        "open null device": lambda: os.open(os.devnull, os.O_RDONLY),
        "socket": socket.socket,
        "pipe": os.pipe,
        "fork": _fork,
        "become root": lambda: os.setuid(0),
        "raise descriptors": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
        "signal the server": lambda: os.kill(os.getppid(), 0),
        "memory": lambda: len(bytearray(200 * MEGABYTE)),
    }
    if landlock:
        # Without it this would succeed, and be the end of the probe (of which nothing could load a library).
        attempts["execute"] = lambda: os.execv("/bin/true", ["true"])  # noqa: S606  # that it fails is the claim
    found = {name: _outcome(attempt) for name, attempt in attempts.items()}
    found["privileges"] = str(system.prctl(39, 0, 0, 0, 0))
    found["dies with"] = str(_death_signal(system))
    sys.stdout.write(json.dumps({"protections": protections, "found": found}))
    sys.stdout.flush()
    if landlock:
        while True:
            time.process_time()


def _death_signal(system: ctypes.CDLL) -> int:
    number = ctypes.c_int(0)
    system.prctl(2, ctypes.byref(number), 0, 0, 0)
    return number.value


if __name__ == "__main__":
    main(sys.argv[1], landlock=sys.argv[2] == "landlock")
