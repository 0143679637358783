"""How a command fails.

    CommandFailed           exit code 1: a workflow failed, the server refused, a log cannot be read
    ├── CalledWrongly       exit code 2: an argument is wrong
    └── ServerUnreachable   exit code 3: nobody answers at the server's address

Holds the classes only. Must not print. Keeps one exit code per thing that a script would handle differently.
"""

from typing import ClassVar


class CommandFailed(Exception):
    """The command did not do what it was asked for."""

    exit_code: ClassVar[int] = 1


class CalledWrongly(CommandFailed):
    """The command was called wrongly."""

    exit_code = 2


class ServerUnreachable(CommandFailed):
    """The server cannot be reached."""

    exit_code = 3
