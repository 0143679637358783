"""The `podium` command.

Holds the commands, one module each. Must not hold logic beyond composing what the packages offer. Keeps the
invariant that a command imports only what it runs, and that its exit code says how it went: 0 it worked, 1 a
workflow failed or the server refused, 2 it was called wrongly, 3 the server cannot be reached.
"""

from api.cli.program import main

__all__ = ["main"]
