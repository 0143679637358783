"""How a command fails.

    CommandFailed           exit code 1: a workflow failed, the server refused, a log cannot be read
    ├── CalledWrongly       exit code 2: an argument is wrong
    └── ServerUnreachable   exit code 3: nobody answers at the server's address

Holds the classes, and the way from an error of the shell to one of them. Must not print. Keeps one exit code per
thing that a script would handle differently.
"""

from typing import ClassVar

from streams.errors import StreamsError


class CommandFailed(Exception):
    """The command did not do what it was asked for."""

    exit_code: ClassVar[int] = 1


class CalledWrongly(CommandFailed):
    """The command was called wrongly."""

    exit_code = 2


class ServerUnreachable(CommandFailed):
    """The server cannot be reached."""

    exit_code = 3


def failure_of(error: BaseException) -> CommandFailed:
    """Return an error of the shell, or a group of such errors, as one sentence. Anything else is raised as it is."""
    if isinstance(error, StreamsError):
        return CommandFailed(str(error) or f"{type(error).__doc__}")
    if isinstance(error, BaseExceptionGroup):
        return CommandFailed("; ".join(str(failure_of(one)) for one in error.exceptions))
    raise error
