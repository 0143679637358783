"""What a script process takes away from itself before it sees a script.

Holds the system calls, each of which may be missing on a machine. Must not be undone later: the process only ever loses
rights. Keeps the invariant that what is reported as active was accepted by the kernel.

The order matters:
1. death with the server, so that nothing below can leave an orphan;
2. another user, where the server runs as root (limits on processes do not hold for root);
3. death with the server again, because changing the user forgets it;
4. no new privileges, which Landlock asks for;
5. Landlock, which needs a descriptor for a moment;
6. the limits, the one on descriptors last;
7. a lower priority than the server's.
"""

import ctypes
import os
import resource
import signal
import struct
import time
from typing import Final

from streams.scripts.limits import MEMORY_BYTES_MAX, OVERHEAD_BYTES

DESCRIPTORS: Final = 3
"""The conversation, the null device and the pipe for errors. With one more jq could read a file (measured)."""
CPU_SPARE_SECONDS: Final = 2
"""Above a script's time limit: for the case that the server cannot end the process."""

NICENESS: Final = 5
"""Endless scripts on every core must not keep the server from its work: its share is three times a script's."""

_STATM_BYTES_MAX: Final = 256
_NOBODY: Final = 65_534
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
# The same numbers on every architecture: Landlock is younger than their unification.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_VERSION: Final = 1
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""By version of Landlock, how many rights on files it knows; from version 5 on there are 16."""
_FILE_RIGHTS_LATEST: Final = 16
_VERSION_WITH_NETWORK: Final = 4
_VERSION_WITH_SCOPES: Final = 6
_BOTH: Final = 0b11
"""Of the network: bind and connect. Of the scopes: abstract sockets and signals."""


def confine(*, server: int, landlock: bool = True) -> list[str]:
    """Give up what a script must not have; return what is active, in words.

    Args:
        server: The process id of the server.
        landlock: False leaves Landlock out, as on a kernel that does not have it.

    Raises:
        ChildProcessError: the server, by its process id, is gone already.
        OSError, ValueError: a limit that every Linux has could not be set.
    """
    system = ctypes.CDLL(None, use_errno=True)
    active = [_dies_with(system, server)]
    if os.geteuid() == 0 and _becomes_nobody():
        active.append("unprivileged user")
        _dies_with(system, server)
    if system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        active.append("no new privileges")
        active += _landlock(system) if landlock else []
    active += _limits()
    os.nice(NICENESS)
    return [*active, "lower priority"]


class AddressSpace:
    """How much address space the process has. Made before `confine`: it keeps the file open that says so."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def bytes_now(self) -> int:
        """Return the bytes at this moment."""
        return int(os.pread(self._statm, _STATM_BYTES_MAX, 0).split()[0]) * resource.getpagesize()


def allow(*, time_limit_ms: int, memory_bytes: int, base_bytes: int) -> None:
    """Set the limits of the next job: processor time from now on, and memory above what the process has at rest."""
    seconds = int(time.process_time()) + -(-time_limit_ms // 1_000) + CPU_SPARE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = base_bytes + memory_bytes + OVERHEAD_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def bound_memory(base_bytes: int) -> None:
    """Set the most that any job of this process may be allowed."""
    most = base_bytes + MEMORY_BYTES_MAX + OVERHEAD_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _dies_with(system: ctypes.CDLL, server: int) -> str:
    system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        raise ChildProcessError(f"the server (process {server}) ended before its script process began")
    return "ends with the server"


def _becomes_nobody() -> bool:
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:
        # In a container that maps one user only there is nobody else to become.
        return False
    return True


def _landlock(system: ctypes.CDLL) -> list[str]:
    """Deny every kind of access that this kernel's Landlock knows, with no exception."""
    version = system.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return []
    words = [(1 << _FILE_RIGHTS.get(version, _FILE_RIGHTS_LATEST)) - 1]
    if version >= _VERSION_WITH_NETWORK:
        words.append(_BOTH)
    if version >= _VERSION_WITH_SCOPES:
        words.append(_BOTH)
    attributes = struct.pack(f"={len(words)}Q", *words)
    ruleset = system.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return []
    restricted = system.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    if not restricted:
        return []
    active = ["Landlock: no files"]
    if version >= _VERSION_WITH_NETWORK:
        active.append("Landlock: no TCP")
    if version >= _VERSION_WITH_SCOPES:
        active.append("Landlock: no signals")
    return active


def _limits() -> list[str]:
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(limit, (most, most))
    active = ["no new file descriptors", "no file writes", "no core dumps", "processor time", "address space"]
    # The kernel counts processes of everybody but root.
    return active if os.geteuid() == 0 else [*active, "no new processes"]
