"""The start and the end of a process, without holding up the server.

Holds calls of the system, of which `spawn` and `wait_exit` block and are for threads of their own. Must not know what
the program does. Keeps the invariant that neither of the two holds the interpreter's lock while it waits.

Why not `subprocess`: it starts a program with vfork while it holds the interpreter's lock, so the whole server stands
still until the new process has been scheduled and has loaded its program: 100 ms on a machine with five busy processes
per core (measured), where everything else of a start is done by the new process itself.
"""

import contextlib
import ctypes
import os
from collections.abc import Sequence
from typing import Final

_ACTIONS_BYTES: Final = 1_024
"""For a `posix_spawn_file_actions_t`: 80 bytes with the GNU library, less with musl."""
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
# Calls through `CDLL` let go of the interpreter's lock.
_system: Final = ctypes.CDLL(None)


def spawn(arguments: Sequence[str], *, conversation: int, errors: int) -> int:
    """Start a program with an empty environment and return its process id.

    It has three descriptors: `conversation` to read and write, nothing to print to, `errors` for what goes wrong.
    Descriptors that Python made are closed in it; a library's may stay open until the program closes them.

    Raises:
        OSError: there is no such program, or no room for it.
    """
    actions = ctypes.create_string_buffer(_ACTIONS_BYTES)
    words = [os.fsencode(argument) for argument in arguments]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    environment = (ctypes.c_char_p * 1)(None)
    pid = ctypes.c_int(0)
    _succeeded(_system.posix_spawn_file_actions_init(actions))
    try:
        _succeeded(_system.posix_spawn_file_actions_adddup2(actions, conversation, _INPUT))
        _succeeded(_system.posix_spawn_file_actions_adddup2(actions, errors, _ERRORS))
        _succeeded(_system.posix_spawn_file_actions_addopen(actions, _OUTPUT, os.fsencode(os.devnull), os.O_WRONLY, 0))
        _succeeded(_system.posix_spawn(ctypes.byref(pid), words[0], actions, None, argv, environment))
    finally:
        _system.posix_spawn_file_actions_destroy(actions)
    return pid.value


def wait_exit(pid: int) -> int | None:
    """Wait until a process has ended; return its exit code, negative for a signal, None if somebody else took it.

    Its number is not given away yet: that is for `collect`, so that nobody kills a stranger in between.
    """
    with contextlib.suppress(ChildProcessError):
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    return None


def collect(pid: int) -> None:
    """Let the system forget a process that has ended. Does not wait."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _succeeded(error: int) -> None:
    """Raise for the error code that these functions return instead of setting errno."""
    if error:
        raise OSError(error, f"a script process could not be started: {os.strerror(error)}")
