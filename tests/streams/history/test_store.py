"""Claims about the store itself: how it is opened, brought up to date, shared and closed."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from engine.ids import WorkflowId
from streams.errors import HistoryUnavailable
from streams.history import HistorySettings, HistoryStore, SchemaMismatch
from streams.history.clients import StoreClient, StoreRefused, open_clients
from streams.history.migrating import migrate, refuse_unfit_database
from streams.history.schema import (
    EVENT_COLUMNS,
    EXECUTION_COLUMNS,
    MIGRATIONS,
    OFFSET_COLUMNS,
    TASK_COLUMNS,
    Migration,
)
from streams.service import History
from tests.streams.history.projecting import all_rows, memory_log, projected, wait_written
from tests.streams.history.recorded import Crowd, RecordedPartition

ROOT = Path(__file__).parents[3]


def program(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_history_loads_no_engine() -> None:
    """The engine's library of 550 MB and its client are loaded when a store is opened, in its thread, not before."""
    done = program(
        "import sys, streams.history; print(sorted({'chdb', 'clickhouse_connect', 'pandas'} & set(sys.modules)))"
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_projecting_loads_no_pandas() -> None:
    """The client would import pandas at the first insert only to see that it was given none; it is told so."""
    done = program(
        """
import sys, tempfile
from pathlib import Path
from streams.history.clients import open_clients
from streams.history.schema import OFFSET_COLUMNS
from streams.history.settings import HistorySettings
clients = open_clients(HistorySettings(directory=Path(tempfile.mkdtemp())))
clients.writes.insert(OFFSET_COLUMNS, [[0], [1], ["{}"], [1]])
print("pandas" in sys.modules, clients.lookups.rows("SELECT count() FROM projection_offsets"))
clients.close()
"""
    )
    assert (done.stdout.strip(), done.stderr) == ("False [(1,)]", "")


async def test_entering_does_not_wait_for_the_engine(tmp_path: Path) -> None:
    """The store opens in the background, and whoever asks meanwhile waits for it."""
    async with HistoryStore(HistorySettings(directory=tmp_path)) as store:
        opened_at_once = store.is_open
        assert await store.state(WorkflowId("nobody")) is None
        assert store.is_open

    assert not opened_at_once
    with pytest.raises(HistoryUnavailable, match="closed"):
        await store.state(WorkflowId("nobody"))


async def test_the_store_is_a_history(tmp_path: Path) -> None:
    """What the surfaces may ask of a history, the store answers."""
    async with HistoryStore(HistorySettings(directory=tmp_path)) as store:
        history: History = store
        page = await history.search(query="", free_text="*", start=0, size=10, sort="")
        assert (page.total, list(page.hits)) == (0, [])
        assert not await history.wait_projected(WorkflowId("nobody"), 1, timeout_ms=1)


async def test_a_store_in_use_by_another_process_says_so(tmp_path: Path) -> None:
    """A second process on the same directory is told that it cannot have it, and does not harm the first."""
    settings = HistorySettings(directory=tmp_path)
    async with HistoryStore(settings) as store:
        await store.wait_open()
        done = await asyncio.to_thread(
            program,
            """
import asyncio, sys
from pathlib import Path
from streams.errors import HistoryUnavailable
from streams.history import HistorySettings, HistoryStore
async def main():
    async with HistoryStore(HistorySettings(directory=Path(sys.argv[1]))) as store:
        try:
            await store.wait_open()
        except HistoryUnavailable as error:
            print("refused")
asyncio.run(main())
""",
            str(tmp_path),
        )
        assert "refused" in done.stdout
        assert await all_rows(store, "SELECT 1") == [(1,)]


async def test_a_closed_store_can_be_opened_again_and_elsewhere(tmp_path: Path) -> None:
    """Leaving releases the engine: the same directory, and another one, open in the same process."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=70)
    crowd.live(60)
    settings = HistorySettings(directory=tmp_path / "one", linger_ms=5)
    async with (
        HistoryStore(settings) as store,
        memory_log(recorded.new_records()) as log,
        projected(log, store, settings) as projector,
    ):
        await wait_written(projector, 0, len(recorded.records))
    async with HistoryStore(HistorySettings(directory=tmp_path / "two")) as store:
        assert await all_rows(store, "SELECT count() FROM workflow_events") == [(0,)]
    async with HistoryStore(settings) as store:
        for name in crowd.ids:
            assert await store.state(WorkflowId(name)) == recorded.state(name)


async def test_rows_are_made_in_the_order_of_the_tables_columns(tmp_path: Path) -> None:
    """What the schema declares for inserting is what the tables have, name by name and type by type."""
    async with HistoryStore(HistorySettings(directory=tmp_path)) as store:
        for table in (EVENT_COLUMNS, TASK_COLUMNS, EXECUTION_COLUMNS, OFFSET_COLUMNS):
            found = await all_rows(
                store,
                "SELECT name, type FROM system.columns WHERE database = 'podium' "  # noqa: S608 (a constant)
                f"AND table = '{table.name}' ORDER BY position",
            )
            assert found == list(table.columns)


async def test_the_engine_is_kept_small(tmp_path: Path) -> None:
    """The engine in process has the bounds of the settings instead of a server's."""
    settings = HistorySettings(directory=tmp_path, engine_bytes_max=900_000_000)
    async with HistoryStore(settings) as store:
        found = await all_rows(
            store,
            "SELECT name, toUInt64(value) FROM system.server_settings "
            "WHERE name IN ('max_server_memory_usage', 'mark_cache_size') ORDER BY name",
        )
        assert found == [("mark_cache_size", 32 << 20), ("max_server_memory_usage", 900_000_000)]


def test_migrations_are_applied_once_and_recorded(tmp_path: Path) -> None:
    """The second opening applies nothing; a further migration is applied to what is there."""
    clients = open_clients(HistorySettings(directory=tmp_path))
    try:
        assert migrate(clients.writes) == 0
        further = Migration(
            number=len(MIGRATIONS) + 1,
            statements=("ALTER TABLE workflow_executions ADD COLUMN IF NOT EXISTS note String DEFAULT 'none'",),
        )
        assert migrate(clients.writes, migrations=[*MIGRATIONS, further]) == 1
        assert migrate(clients.writes, migrations=[*MIGRATIONS, further]) == 0
        with pytest.raises(SchemaMismatch, match=f"has migration {further.number}"):
            migrate(clients.writes)
    finally:
        clients.close()


def test_a_migration_that_was_another_is_refused(tmp_path: Path) -> None:
    """A store whose migration had another text is not touched."""
    clients = open_clients(HistorySettings(directory=tmp_path))
    try:
        changed = msgspec.structs.replace(MIGRATIONS[0], statements=("SELECT 1",))
        with pytest.raises(SchemaMismatch, match="checksum"):
            migrate(clients.writes, migrations=[changed, *MIGRATIONS[1:]])
    finally:
        clients.close()


class _Torn:
    """A client that fails after a number of statements."""

    def __init__(self, client: StoreClient, statements: int) -> None:
        self._client = client
        self._left = statements

    def execute(self, statement: str) -> None:
        if not self._left:
            raise StoreRefused("torn", engine_code=None)
        self._left -= 1
        self._client.execute(statement)

    def rows(self, query: str) -> Sequence[Sequence[object]]:
        return self._client.rows(query)


def test_a_migration_that_was_torn_is_completed(tmp_path: Path) -> None:
    """Stopped after any of its statements, a migration is applied from its beginning and ends the same."""
    clients = open_clients(HistorySettings(directory=tmp_path))
    try:
        for statements in range(6):
            clients.writes.execute("DROP TABLE IF EXISTS schema_migrations")
            with pytest.raises(StoreRefused):
                migrate(_Torn(clients.writes, statements))
            assert migrate(clients.writes) in {0, 1}
            assert migrate(clients.writes) == 0
    finally:
        clients.close()


@pytest.mark.parametrize("name", ["", "a b", "podium; DROP", "1st", "x" * 64, "naïve"])
def test_a_database_name_that_cannot_stand_in_sql_is_refused(name: str) -> None:
    """The name of the database is the one word that cannot be bound, so it is checked."""
    with pytest.raises(ValueError, match="history database"):
        refuse_unfit_database(name)


def test_settings_name_one_place() -> None:
    """A history is in a directory or on a server: not in both, nor in neither."""
    with pytest.raises(ValueError, match="either a directory or the url"):
        HistorySettings()
    with pytest.raises(ValueError, match="either a directory or the url"):
        HistorySettings(directory=Path("x"), url="http://x")
