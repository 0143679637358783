"""The arithmetic of the counts that a state carries.

Holds the three steps that appliers share. Must not decide. Keeps the invariant that each event changes a count by what
it opened or ended, so that nobody ever has to count.
"""

from immutables import Map
from msgspec.structs import replace

from engine.ids import RefName, TaskSeq
from engine.model import EndedTask, Scope, WorkflowState


def counted(scopes: Map[RefName, Scope], innermost: RefName, change: int) -> Map[RefName, Scope]:
    """Return the scopes with another number of open tasks in one of them and in all around it."""
    ref = innermost
    while ref:
        scope = scopes[ref]
        scopes = scopes.set(ref, replace(scope, open_count=scope.open_count + change))
        ref = scope.parent
    return scopes


def counted_joins(state: WorkflowState, ref: RefName, change: int) -> Map[TaskSeq, int]:
    """Return how much each open JOIN misses when a ref has ended for good (-1), or no longer has (1)."""
    missing = state.missing
    for join in state.awaited.get(ref, ()):
        if join in missing:
            missing = missing.set(join, missing[join] + change)
    return missing


def has_ended_for_good(state: WorkflowState, ref: RefName) -> bool:
    """Tell whether the newest attempt of a ref has ended and no further one follows."""
    task = state.task(ref)
    return isinstance(task, EndedTask) and task.final
