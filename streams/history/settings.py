"""Where the history lives and what it may use.

Holds plain values that the composition root passes in. Must not read the environment or a file.
"""

from pathlib import Path

import msgspec


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Either `url` (a server, `http(s)://user:password@host:port`) or `directory` (the engine in this process)."""

    directory: Path | None = None
    url: str = ""
    database: str = "podium"
    rows_max: int = 20_000
    """Rows of one batch and of one insert call. An insert costs as much as 5,000 rows in it, so few and large ones."""
    linger_ms: int = 200
    """How long the first row of a batch waits for others, when there was no batch for a while."""
    linger_ms_max: int = 1_000
    """How long it waits at most while batch follows batch: writing few rows costs nearly as much as writing many."""
    cached_tasks_max: int = 50_000
    """Tasks in the states of open workflows that are kept between batches; a state that is not kept is folded anew."""
    handed_decisions_max: int = 10_000
    """Decisions that the owner of a partition hands over and that wait to be taken, with their states about 3 KB each:
    two seconds of a busy partition. Beyond it they are read from the log."""
    search_ms_max: int = 10_000
    """After this a search is stopped."""
    search_bytes_max: int = 700_000_000
    """Memory that one search may use."""
    engine_bytes_max: int = 1_200_000_000
    """Memory that the engine in this process may use in all. Without a bound it takes 90 % of the machine."""

    def __post_init__(self) -> None:
        if (self.directory is None) == (not self.url):
            message = "the history needs either a directory or the url of a ClickHouse server, and not both"
            raise ValueError(message)
