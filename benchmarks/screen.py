"""What a person at a terminal sees: progress while it runs, tables when it is over.

Must not compute. Keeps the invariant that standard output carries only what was asked for (a table or JSON); progress
goes to standard error.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.budgets import Better, Verdict
from benchmarks.results import Report, Result

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
            table.add_row(name, _number(value))
        errors.print(table)


def show_verdicts(found: Sequence[Verdict], *, scale: float) -> None:
    """Print the budgets with what was measured; below full scale, that this is a look in passing."""
    title = "Budgets" if scale == 1.0 else f"Budgets, at {scale:g} of the counts: a look in passing, no verdict"
    table = Table("work", "measured", "floor", "reach", "", title=title, title_justify="left")
    for column in table.columns[1:4]:
        column.justify = "right"
    for verdict in found:
        table.add_row(*_cells(verdict), _word(verdict))
    output.print(table)


def markdown(report: Report, found: Sequence[Verdict]) -> str:
    """Return a report as Markdown: where it was measured, and the budgets."""
    machine = report.machine
    where = (
        f"`{report.command}` on {report.at}, revision {machine.revision}: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gb:g} GB, {machine.file_system}, Linux {machine.kernel}, Python {machine.python}; "
        f"load average before the run {machine.load_average:g}."
    )
    lines = [
        where,
        "",
        "| work | measured | floor | reach |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {' | '.join(_cells(verdict))} |" for verdict in found]
    return "\n".join(lines)


def _cells(verdict: Verdict) -> tuple[str, str, str, str]:
    budget = verdict.budget
    sign = "≤" if budget.better is Better.LOWER else "≥"
    unit = f" {budget.unit}".rstrip()
    return (
        budget.work,
        "not measured" if verdict.measured is None else f"{_number(verdict.measured)}{unit}",
        f"{sign} {budget.floor:,g}{unit}",
        "" if budget.reach is None else f"{sign} {budget.reach:,g}{unit}",
    )


def _word(verdict: Verdict) -> str:
    if verdict.measured is None:
        return ""
    if verdict.is_missed:
        return "[bold red]missed[/bold red]"
    return "[bold green]reached[/bold green]" if verdict.is_reached else "[green]kept[/green]"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
