"""What a benchmark says, and how that becomes JSON.

Holds the records only. Must not interpret them (`budgets` does). Keeps the invariant that every figure stands with the
case it was measured in, and every report with the machine and the revision.
"""

from datetime import UTC, datetime

import msgspec

from benchmarks.machine import Machine


class BenchmarkFailed(Exception):
    """A run did not do what it was to measure, so its figures would be wrong. The message says what was missing."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One case of one benchmark. The unit of each figure is the end of its name."""

    case: str
    figures: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of the program measured."""

    at: str
    command: str
    machine: Machine
    results: list[Result]


def report_of(command: str, machine_before: Machine, results: list[Result]) -> Report:
    """Return the report of a run that is over. `machine_before` was described before anything was started."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(at=at, command=command, machine=machine_before, results=[_rounded(result) for result in results])


def report_json(report: Report) -> bytes:
    """Return the report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def _rounded(result: Result) -> Result:
    """Four digits say all that a benchmark can say."""
    return Result(case=result.case, figures={name: float(f"{value:.4g}") for name, value in result.figures.items()})
