"""`podium keys`: make, show and take away API keys.

Must not show a secret but the one time that it is made. Keeps the invariant that the file is replaced whole, so that a
server which reads it at the same time sees the keys of before or those of after.
"""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from api.access.keys import KeyFile, KeyFileInvalid, new_key, new_key_file, read_key_file, write_key_file
from api.access.permissions import ANY_NAME, Role
from api.cli.failures import CalledWrongly, CommandFailed

DAY_MS: Final = 86_400_000
_PATTERN: Final = re.compile(r"[^*]+\*?|\*")


def add_key(
    path: Path,
    name: str,
    *,
    roles: Sequence[str],
    workflows: Sequence[str] | None,
    task_types: Sequence[str] | None,
    expires_days: int | None,
) -> None:
    """Add a key to a file, which is made if there is none, and print how it is used.

    Raises:
        CalledWrongly: a role or a pattern is none.
        CommandFailed: the file cannot be read.
    """
    known = {role.value: role for role in Role}
    for role in roles:
        if role not in known:
            message = f"--role must be one of {', '.join(known)}, but is {role!r}"
            raise CalledWrongly(message)
    for pattern in (*(workflows or ()), *(task_types or ())):
        if not _PATTERN.fullmatch(pattern):
            message = f"a limit must be a name, or the beginning of a name with * behind, but is {pattern!r}"
            raise CalledWrongly(message)
    content = _read(path) if path.exists() else new_key_file()
    now_ms = time.time_ns() // 1_000_000
    key, secret = new_key(
        name,
        [known[role] for role in roles],
        workflows=workflows or ANY_NAME,
        task_types=task_types or ANY_NAME,
        expires_at_ms=now_ms + expires_days * DAY_MS if expires_days else 0,
        now_ms=now_ms,
    )
    write_key_file(path, replace(content, keys=(*content.keys, key)))
    console = Console(highlight=False)
    console.print(f"Key id      [bold]{key.id}[/]")
    console.print(f"Key secret  [bold]{secret}[/]")
    console.print(f"Keep the secret now: {path} does not hold it. Ways to use the key:", style="dim", soft_wrap=True)
    console.print(f"  CONDUCTOR_AUTH_KEY={key.id} CONDUCTOR_AUTH_SECRET={secret}", soft_wrap=True)
    console.print(f"  PODIUM_KEY={key.id}:{secret}", soft_wrap=True)
    console.print(f"  curl -u {key.id}:{secret} http://127.0.0.1:8080/api/token/userInfo", soft_wrap=True)


def list_keys(path: Path) -> None:
    """Print the keys of a file.

    Raises:
        CommandFailed: it cannot be read.
    """
    table = Table("id", "name", "roles", "workflows", "task types", "expires")
    for key in _read(path).keys:
        limits = (" ".join(key.workflows), " ".join(key.task_types))
        table.add_row(key.id, key.name, " ".join(key.roles), *limits, _day(key.expires_at_ms))
    Console().print(table)


def remove_key(path: Path, key_id: str) -> None:
    """Take a key out of a file.

    Raises:
        CommandFailed: the file cannot be read, or has no such key.
    """
    content = _read(path)
    kept = tuple(key for key in content.keys if key.id != key_id)
    if len(kept) == len(content.keys):
        message = f"{path} has no key {key_id!r}; `podium keys list` shows those it has"
        raise CommandFailed(message)
    write_key_file(path, replace(content, keys=kept))


def _read(path: Path) -> KeyFile:
    try:
        return read_key_file(path)
    except KeyFileInvalid as error:
        raise CommandFailed(str(error)) from error


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).date().isoformat() if at_ms else "never"
