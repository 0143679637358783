"""API keys: a file that holds who they belong to and what proves them, but no key.

Holds the file's form, the making of keys and the look-up. Must not write while a server runs from it: `podium keys`
does, and the server reads the file again when it has changed, so that a key that was taken away ends at once.
Keeps the invariant that nothing in the file lets anybody in: of each key's secret it has a SHA-256 only, which is
enough because the secret is 256 random bits and cannot be guessed from it (a slow hash protects what people choose).
The file also holds the secret that signs this cluster's tokens; so it must be readable by its owner alone.
"""

import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from api.access.permissions import ANY_NAME, Principal, Role

LOOK_EVERY_S: Final = 1.0
"""At the file, for a change."""
SECRET_BYTES: Final = 32
ID_BYTES: Final = 6
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_log = structlog.get_logger(__name__)


class KeyFileInvalid(Exception):
    """The key file cannot be used. The message says why and what to do."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One key. `secret_sha256` is in hexadecimal; `expires_at_ms` is 0 for one that never expires."""

    id: str
    name: str
    roles: tuple[Role, ...]
    secret_sha256: str
    workflows: tuple[str, ...] = ANY_NAME
    task_types: tuple[str, ...] = ANY_NAME
    created_at_ms: int = 0
    expires_at_ms: int = 0

    def principal(self) -> Principal:
        """Return who calls with this key."""
        return Principal(subject=self.name, roles=self.roles, workflows=self.workflows, task_types=self.task_types)


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the file holds. `token_secret` signs tokens; a new one ends all that were given out."""

    token_secret: str
    keys: tuple[ApiKey, ...] = ()


def new_key_file() -> KeyFile:
    """Return a file without keys."""
    return KeyFile(token_secret=secrets.token_urlsafe(SECRET_BYTES))


def new_key(
    name: str,
    roles: Sequence[Role],
    *,
    workflows: Sequence[str] = ANY_NAME,
    task_types: Sequence[str] = ANY_NAME,
    expires_at_ms: int = 0,
    now_ms: int,
) -> tuple[ApiKey, str]:
    """Return a new key and its secret, which is in no other place."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey(
        id=secrets.token_hex(ID_BYTES),
        name=name,
        roles=tuple(roles),
        secret_sha256=_sha256(secret),
        workflows=tuple(workflows),
        task_types=tuple(task_types),
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    return key, secret


def read_key_file(path: Path) -> KeyFile:
    """Read a key file.

    Raises:
        KeyFileInvalid: it is not there, others can read it, or it is no key file.
    """
    try:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            message = f"{path} can be read by others (mode {stat.S_IMODE(mode):o}): chmod 600 {path}"
            raise KeyFileInvalid(message)
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}; make one with `podium keys add`"
        raise KeyFileInvalid(message) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{path} is no key file: {error}"
        raise KeyFileInvalid(message) from error


def write_key_file(path: Path, content: KeyFile) -> None:
    """Write a key file whole, readable by its owner alone, or leave it as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    body = msgspec.json.format(msgspec.json.encode(content), indent=2)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


class KeyRing:
    """The keys of a running server: those that the file holds now."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeyFileInvalid: it cannot be used.
        """
        self._path = path
        self._take(read_key_file(path))
        self._seen = _version_of(path)
        self._looked_at_s = time.monotonic()

    @property
    def token_secret(self) -> str:
        """What signs tokens."""
        self._refresh()
        return self._token_secret

    def find(self, key_id: str, *, now_ms: int) -> ApiKey | None:
        """Return a key that exists and has not expired."""
        self._refresh()
        key = self._keys.get(key_id)
        if key is None or (key.expires_at_ms and key.expires_at_ms <= now_ms):
            return None
        return key

    def proven(self, key_id: str, secret: str, *, now_ms: int) -> ApiKey | None:
        """Return a key whose secret this is. Takes as long for an unknown key as for a wrong secret."""
        key = self.find(key_id, now_ms=now_ms)
        expected = key.secret_sha256 if key is not None else _sha256("")
        is_right = hmac.compare_digest(_sha256(secret), expected)
        return key if is_right and key is not None else None

    def _refresh(self) -> None:
        """Read the file again if it has changed.

        One that cannot be read changes nothing: half a file is no reason to lock everybody out, nor to let anybody in.
        """
        now_s = time.monotonic()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        version = _version_of(self._path)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._take(read_key_file(self._path))
        except KeyFileInvalid as error:
            _log.error("key_file_not_read", reason=str(error), note="the keys that were read before stay in force")
        else:
            _log.info("key_file_read", keys=len(self._keys))

    def _take(self, content: KeyFile) -> None:
        self._token_secret = content.token_secret
        self._keys = {key.id: key for key in content.keys}


def _version_of(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
