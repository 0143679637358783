"""The errors of the history, beside those of the shell.

    HistoryUnavailable          (streams.errors) the store cannot answer now
    ├── SchemaMismatch          the store's tables are not the ones this version knows
    └── SearchTooCostly         a query was stopped at its limit of time, memory or rows

Holds the classes only. Keeps one class per situation that somebody handles differently.
"""

from streams.errors import HistoryUnavailable


class SchemaMismatch(HistoryUnavailable):
    """The tables of the history are not the ones that this version knows. Use the newer one, or project anew."""

    retriable = False
    code = "HISTORY_SCHEMA_MISMATCH"


class SearchTooCostly(HistoryUnavailable):
    """A search was stopped at its limit. Narrow it: by time, by type, or by status."""

    retriable = False
    code = "SEARCH_TOO_COSTLY"
