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
    rows_max: int = 5_000
    """Rows of one insert call: building a block of them holds the interpreter for about 10 ms."""
    linger_ms: int = 200
    """How long the first row of a batch waits for others, when there was no batch for a while."""
    linger_ms_max: int = 500
    """How long it waits at most while batch follows batch: writing few rows costs nearly as much as writing many."""
    cached_tasks_max: int = 50_000
    """Tasks in the states of open workflows that are kept between batches; a state that is not kept is folded anew."""
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
