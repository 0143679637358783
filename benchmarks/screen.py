"""What a person at a terminal sees: progress while it runs, tables when it is over.

Must not compute. Keeps the invariant that standard output carries only what was asked for (a table or JSON); progress
goes to standard error.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.budgets import Better, Verdict
from benchmarks.results import Result

errors = Console(stderr=True)
output = Console()


def progress() -> Progress:
    """Return a line that shows what runs and since when; nothing where standard error is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


def show_results(results: Sequence[Result]) -> None:
    """Print every figure of every case."""
    for result in results:
        table = Table("figure", "value", title=result.case, title_justify="left")
        table.columns[1].justify = "right"
        for name, value in result.figures.items():
            table.add_row(name, f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}")
        errors.print(table)


def show_verdicts(found: Sequence[Verdict]) -> None:
    """Print the budgets with what was measured."""
    table = Table("work", "measured", "floor", "reach", "", title="Budgets", title_justify="left")
    for column in table.columns[1:4]:
        column.justify = "right"
    for verdict in found:
        budget = verdict.budget
        sign = "≤" if budget.better is Better.LOWER else "≥"
        unit = f" {budget.unit}".rstrip()
        table.add_row(
            budget.work,
            "not measured" if verdict.measured is None else f"{verdict.measured:,.4g}{unit}",
            f"{sign} {budget.floor:,g}{unit}",
            "" if budget.reach is None else f"{sign} {budget.reach:,g}{unit}",
            _word(verdict),
        )
    output.print(table)


def _word(verdict: Verdict) -> str:
    if verdict.measured is None:
        return ""
    if verdict.is_missed:
        return "[bold red]missed[/bold red]"
    return "[bold green]reached[/bold green]" if verdict.is_reached else "[green]kept[/green]"
