"""Which version of Podium this is.

Holds one function. Must not read the source tree: the installed distribution knows its version.
"""

from functools import cache


@cache
def version() -> str:
    """Return the version of the installed distribution."""
    from importlib import metadata  # noqa: PLC0415 (costs 20 ms that no start should pay)

    return metadata.version("podium")
