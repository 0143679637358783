"""Connections to the store: the engine in this process, or a ClickHouse server, behind the same few calls.

Everything here blocks and belongs in a thread of the history (`lane`); nothing is imported from the client library
before the first connection is opened, because the engine is a library of 550 MB. Must not know what is asked or
written. Keeps the invariant that a value reaches the engine as a bound parameter or as a column of an insert, never
as text of a statement.
"""

import ctypes
import importlib.util
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams.errors import HistoryUnavailable
from streams.history.migrating import migrate, refuse_unfit_database
from streams.history.schema import Table
from streams.history.settings import HistorySettings

if TYPE_CHECKING:
    # Only for annotations: importing the client when this module loads would cost every cold start.
    from clickhouse_connect.driver.client import Client

_ENGINE_OPTIONS: Final = {
    # The defaults are those of a server with hundreds of gigabytes: caches of 5 GiB each, a thousand threads.
    "mark_cache_size": 32 << 20,
    "index_mark_cache_size": 8 << 20,
    "primary_index_cache_size": 32 << 20,
    "query_condition_cache_size": 8 << 20,
    "background_pool_size": 2,
    "max_thread_pool_size": 200,
}
_READ_SETTINGS: Final = {
    # A row's key never moves to another partition, so each partition can be collapsed by itself.
    "do_not_merge_across_partitions_select_final": "1",
    "max_threads": "2",
}
_WRITE_SETTINGS: Final = {
    # An insert that has returned is stored: the position is written after it.
    "async_insert": "0",
    "max_threads": "1",
    "max_insert_threads": "1",
    "input_format_parallel_parsing": "0",
}
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 30
_RTLD_DEEPBIND: Final = 0x00008


class StoreRefused(HistoryUnavailable):
    """The store answered with an error. `engine_code` is ClickHouse's number for it, None where there is none."""

    def __init__(self, message: str, *, engine_code: int | None) -> None:
        super().__init__(message)
        self.engine_code = engine_code


class StoreClient:
    """One connection. For one thread at a time."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def execute(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement that returns nothing. `{name:Type}` in it stands for a bound parameter."""
        with _translated_errors():
            self._client.command(statement, parameters=dict(parameters) if parameters else None)

    def rows(
        self,
        query: str,
        parameters: Mapping[str, object] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Sequence[Sequence[Any]]:
        """Run a query and return its rows. `{name:Type}` in it stands for a bound parameter."""
        with _translated_errors():
            result = self._client.query(
                query,
                parameters=dict(parameters) if parameters else None,
                settings=dict(settings) if settings else None,
            )
            return result.result_rows

    def insert(self, table: Table, columns: Sequence[Sequence[object]]) -> None:
        """Store one block of rows, given by columns. Times are integers of epoch milliseconds."""
        with _translated_errors():
            self._client.insert(
                table.name,
                columns,
                column_names=table.names,
                column_type_names=table.types,
                column_oriented=True,
            )

    def close(self) -> None:
        """Release the connection; waits for what runs on it. Idempotent."""
        self._client.close()


class Clients:
    """The three connections of a process: one that writes, one for look-ups by id, one for searches.

    They are separate so that a slow search delays neither the projection nor a look-up.
    """

    def __init__(self, writes: StoreClient, lookups: StoreClient, searches: StoreClient) -> None:
        self.writes = writes
        self.lookups = lookups
        self.searches = searches

    def close(self) -> None:
        """Release all three."""
        for client in (self.searches, self.lookups, self.writes):
            client.close()


def open_clients(settings: HistorySettings) -> Clients:
    """Connect, create the database if need be, and bring its tables up to date.

    Raises:
        HistoryUnavailable: the store cannot be reached, or another process uses its directory.
        SchemaMismatch: the tables are not ones that this version knows.
    """
    refuse_unfit_database(settings.database)
    if settings.directory is not None:
        settings.directory.mkdir(parents=True, exist_ok=True)
        _preload_engine()
    opened: list[StoreClient] = []
    try:
        # 1. The database: Atomic, because the engine's default one in process cannot do all that a server's can.
        first = _connect(settings, database=None, session={})
        opened.append(first)
        first.execute(f"CREATE DATABASE IF NOT EXISTS {settings.database} ENGINE = Atomic")
        # 2. The tables.
        for session in (_WRITE_SETTINGS, _READ_SETTINGS, _search_session(settings)):
            client = _connect(settings, database=settings.database, session=session)
            opened.append(client)
        migrate(opened[1])
    except BaseException:
        for client in opened:
            client.close()
        raise
    # 3. The first connection is only closed now: the engine in process stops with its last one.
    first.close()
    return Clients(*opened[1:])


def _search_session(settings: HistorySettings) -> dict[str, str]:
    return {
        **_READ_SETTINGS,
        "max_execution_time": str(settings.search_ms_max / 1_000),
        "timeout_overflow_mode": "throw",
        "max_memory_usage": str(settings.search_bytes_max),
    }


def _connect(settings: HistorySettings, *, database: str | None, session: Mapping[str, str]) -> StoreClient:
    import clickhouse_connect  # noqa: PLC0415 (see the module's docstring)
    from clickhouse_connect.driver import options  # noqa: PLC0415 (likewise)

    # The first insert would look whether it was given a pandas frame, and for that import pandas: 0.2 s in which the
    # interpreter is held, and 40 MB, for nothing. What is known to be absent is not looked for.
    options.__dict__.setdefault("pd", None)
    with _translated_errors():
        if settings.directory is not None:
            return StoreClient(
                clickhouse_connect.get_client(
                    interface="chdb",
                    path=str(settings.directory.absolute()),
                    database=database,
                    settings=dict(session),
                    chdb_options={**_ENGINE_OPTIONS, "max_server_memory_usage": settings.engine_bytes_max},
                )
            )
        return StoreClient(
            clickhouse_connect.get_client(
                dsn=settings.url,
                interface="https" if settings.url.startswith("https:") else "http",
                database=database or "__default__",
                settings=dict(session),
                connect_timeout=_CONNECT_SECONDS,
                send_receive_timeout=_ANSWER_SECONDS,
                autogenerate_session_id=False,
                tz_source="server",
            )
        )


@contextmanager
def _translated_errors() -> Generator[None]:
    # Not above: see the module's docstring.
    from clickhouse_connect.driver.exceptions import ClickHouseError, Error  # noqa: PLC0415

    try:
        yield
    except ClickHouseError as error:
        code = error.code if isinstance(error, Error) else None
        raise StoreRefused(f"the history store refused: {error}", engine_code=code) from error
    except OSError as error:
        raise HistoryUnavailable(f"the history store cannot be reached: {error}") from error


def _preload_engine() -> None:
    """Load the engine's library without the interpreter's lock, which an import would hold meanwhile.

    From a cold disk that is 270 ms (measured) in which no other thread of the process would run, the event loop
    included. It is loaded as the package itself does it, so the import finds it there. Where the file is not found
    nothing is lost but time.
    """
    if sys.platform != "linux" or "chdb" in sys.modules:
        return
    spec = importlib.util.find_spec("chdb")
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        library = Path(folder) / "_chdb.abi3.so"
        if library.exists():
            # A foreign call releases the lock; the constructor of `CDLL` would not.
            load = ctypes.CDLL(None).dlopen
            load.restype = ctypes.c_void_p
            load.argtypes = (ctypes.c_char_p, ctypes.c_int)
            load(str(library).encode(), sys.getdlopenflags() | _RTLD_DEEPBIND)
            return
