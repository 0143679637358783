"""Bringing a store's tables to the present schema.

Holds the steps. Must not know what the tables are for. Keeps the invariant that a store is only used when every
migration it has seen is one that this version knows, with the same text.
"""

import re
from collections.abc import Sequence
from typing import Final, Protocol

from streams.history.errors import SchemaMismatch
from streams.history.schema import CREATE_MIGRATIONS_TABLE, MIGRATIONS, MIGRATIONS_TABLE, Migration

_DATABASE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class Statements(Protocol):
    """What migrating needs of a client."""

    def execute(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        ...

    def rows(self, query: str) -> Sequence[Sequence[object]]:
        """Run a query and return its rows."""
        ...


def refuse_unfit_database(name: str) -> None:
    """Refuse a database name that cannot stand in SQL as it is.

    Raises:
        ValueError: the name has other characters than letters, digits and `_`, begins with a digit, or is too long.
    """
    if _DATABASE_NAME.fullmatch(name) is None:
        message = (
            f"a history database is named by up to 63 letters, digits and _, not beginning with a digit; got {name!r}"
        )
        raise ValueError(message)


def migrate(client: Statements, *, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Apply the migrations that the client's database has not seen, in order; return how many those were.

    Safe to run again after a crash at any point, and by two processes at once: every statement may run twice.

    Raises:
        SchemaMismatch: the store has a migration that is unknown here, or one whose text was another.
    """
    # 1. The table that says what was applied, and what it says.
    client.execute(CREATE_MIGRATIONS_TABLE)
    applied = {
        int(str(number)): str(checksum)
        for number, checksum in client.rows(
            f"SELECT number, argMax(checksum, applied_at) FROM {MIGRATIONS_TABLE} GROUP BY number"  # noqa: S608 (a constant)
        )
    }
    # 2. Refuse what this version does not understand before anything is changed.
    known = {migration.number: migration for migration in migrations}
    for number, checksum in sorted(applied.items()):
        if number not in known:
            raise SchemaMismatch(
                f"the history has migration {number}, and this version of Podium knows up to {max(known, default=0)}: "
                "a newer version has used it"
            )
        if known[number].checksum != checksum:
            raise SchemaMismatch(
                f"migration {number} of the history was applied with checksum {checksum}, and this version has "
                f"{known[number].checksum}"
            )
    # 3. Apply the rest, each recorded after its last statement.
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements:
            client.execute(statement)
        client.execute(
            f"INSERT INTO {MIGRATIONS_TABLE} (number, checksum) SELECT {migration.number}, '{migration.checksum}'"
        )
    return len(missing)
