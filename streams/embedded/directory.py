"""The data directory and its lock.

Holds the lock that keeps a second process out. Must not touch what is in the directory besides the lock file.
Keeps the invariant that at most one process is between `acquire` and `release`: the kernel's lock ends with
the process, however it ends.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from streams.errors import LogUnavailable, StoreLocked

_LOCK_NAME: Final = "lock"
_PID_BYTES_MAX: Final = 32


class LockedDirectory:
    """A directory that one process at a time may use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def path(self) -> Path:
        """The directory itself."""
        return self._path

    def acquire(self) -> None:
        """Make the directory if it is missing, and lock it for this process.

        Raises:
            StoreLocked: another process (or another log of this one) holds it; the message says which, if it
                can be known.
            LogUnavailable: the directory cannot be made or written.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogUnavailable(f"the data directory {self._path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(descriptor, _PID_BYTES_MAX, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                # A full disk cannot take the process id; the caller learns it as what it is.
                raise LogUnavailable(f"{self._path}/{_LOCK_NAME} cannot be written: {error.strerror}") from error
            by = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreLocked(
                f"the data directory {self._path} is in use by {by}; stop it, or give this process another directory"
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock. Idempotent. The file stays: if it went, two processes could lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
