"""What a limiter is to keep to, and where that is written.

Holds the two values and how they are read from definitions. Must not remember anything. Keeps the invariant that the
newest definition counts, also for what asked before it was registered; one that was never registered counts as it came.

Source: Conductor's `TaskDef.concurrentExecLimit`, `rateLimitPerFrequency`, `WorkflowDef.rateLimitConfig`.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

from engine.context import DefinitionSource
from engine.definitions import TaskDef, WorkflowDef
from engine.limiter.ids import TASK, WORKFLOW

COUNT_MAX: Final = 2**53 - 1
"""What JSON carries safely; a definition that says more means no less."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """At most `at_once` at the same time, and at most `starts` beginnings in any `window_ms`. 0 means no bound."""

    at_once: Count = 0
    starts: Count = 0
    window_ms: Count = 0


class LimitSource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The definition in which the limits stand. `kind` is a word of `engine.limiter.ids`; a workflow has a version."""

    kind: str
    name: str
    version: int = 0


def is_limited(definition: TaskDef | None) -> bool:
    """Tell whether a task definition limits anything."""
    if definition is None:
        return False
    return bool(definition.concurrent_exec_limit) or bool(definition.rate_limit_per_frequency)


def task_limits(definition: TaskDef) -> Limits:
    """Return what a task definition says. Without `rateLimitFrequencyInSeconds` the window is a second."""
    starts = _count(definition.rate_limit_per_frequency)
    return Limits(
        at_once=_count(definition.concurrent_exec_limit),
        starts=starts,
        window_ms=_count((definition.rate_limit_frequency_in_seconds or 1) * 1000) if starts else 0,
    )


def workflow_limits(definition: WorkflowDef) -> Limits:
    """Return what a workflow definition says of its executions."""
    found = (definition.rate_limit_config or {}).get("concurrentExecLimit")
    at_once = found if isinstance(found, int) and not isinstance(found, bool) else 0
    return Limits(at_once=_count(at_once))


def registered_limits(definitions: DefinitionSource, source: LimitSource) -> Limits | None:
    """Return what the definition that is registered now says; None where none is, and what came with it holds."""
    if source.kind == TASK:
        task = definitions.find_task(source.name)
        return None if task is None else task_limits(task[1])
    if source.kind == WORKFLOW:
        workflow = definitions.find_workflow(source.name, source.version)
        return None if workflow is None else workflow_limits(workflow[1])
    return None


def _count(number: int | None) -> int:
    return min(max(number or 0, 0), COUNT_MAX)
