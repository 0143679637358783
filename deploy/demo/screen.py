"""What the demo shows: a live table on a terminal, plain lines anywhere else.

Holds the drawing of a workflow as the server describes it. Must not call the server or change anything. Keeps
the invariant that text from outside (reasons, ids, paths) is shown as it is, never read as markup, and that
a path is never broken into two lines.
"""

import shlex
import time
from collections.abc import Sequence
from typing import Any, Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

STATUS_STYLES: Final = {
    "COMPLETED": "green",
    "IN_PROGRESS": "yellow",
    "RUNNING": "yellow",
    "COMPLETED_WITH_ERRORS": "yellow",
    "PAUSED": "yellow",
    "SCHEDULED": "dim",
    "CANCELED": "magenta",
    "SKIPPED": "dim",
}
"""Every other status is a failure of some kind, and red."""


class Screen:
    """The only place of the demo that prints. Use it as a context manager while a workflow runs."""

    def __init__(self) -> None:
        """Write to standard output."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, text: str) -> None:
        """Say what has been done."""
        self._console.print(Text.assemble(("• ", "cyan"), text))

    def notice(self, text: str) -> None:
        """Say something that deserves attention and is no error."""
        self._console.print(Text.assemble(("• ", "yellow"), (text, "bold yellow")))

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._console.print(Text(text, style="bold red"))

    def show(self, workflow: dict[str, Any]) -> None:
        """Show the workflow as it is now: the table drawn anew, or a line for each task that changed."""
        if self._live is not None:
            self._live.update(_table(workflow), refresh=True)
            return
        for task in workflow["tasks"]:
            if self._shown.get(task["taskId"]) != task["status"]:
                self._shown[task["taskId"]] = task["status"]
                self._console.print(Text("    ").append_text(_line(task)))

    def heading(self, text: str) -> None:
        """Begin the summary."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def fact(self, name: str, value: str, *, style: str = "") -> None:
        """Show one named value."""
        self._console.print(Text.assemble((f"  {name:<20}", "dim"), (value, style)))

    def command(self, purpose: str, words: Sequence[str]) -> None:
        """Show a command that can be copied into a shell."""
        self._console.print(Text.assemble((f"  {purpose:<20}", "dim"), (shlex.join(words), "cyan")))


def status_style(status: str) -> str:
    """Return the colour of a status."""
    return STATUS_STYLES.get(status, "red")


def is_failure(status: str) -> bool:
    """Return whether a status means that something went wrong."""
    return status not in STATUS_STYLES


def _table(workflow: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("task", "attempt", "worker", "status"):
        table.add_column(title, no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for task in workflow["tasks"]:
        status = Text(task["status"], style=status_style(task["status"]))
        table.add_row(
            Text(task["referenceTaskName"]),
            _attempt(task),
            Text(task.get("workerId") or ""),
            status,
            _time(task),
        )
    return table


def _line(task: dict[str, Any]) -> Text:
    line = Text.assemble(f"{task['referenceTaskName']:<18} ", (f"{task['status']:<12}", status_style(task["status"])))
    line.append(f" attempt {_attempt(task)}")
    if task.get("workerId"):
        line.append(f" on {task['workerId']}")
    if task.get("endTime"):
        line.append(f" after {_time(task)}")
    return line


def _attempt(task: dict[str, Any]) -> str:
    return str(task.get("retryCount", 0) + 1)


def _time(task: dict[str, Any]) -> str:
    """Return how long the attempt has taken, or has been going on."""
    started_at_ms = task.get("startTime") or 0
    if started_at_ms == 0:
        return ""
    ended_at_ms = task.get("endTime") or time.time() * 1000
    return f"{max(0, ended_at_ms - started_at_ms) / 1000:.2f} s"
