"""What the events change by which a workflow goes back.

Must not decide what is to be forgotten. Keeps the invariants that what is forgotten leaves nothing behind in any map of
the state, and that the counts of what stays are as if it had never been there.
"""

from collections.abc import Iterable

from immutables import Map
from msgspec.structs import replace

from engine.appliers.counting import counted, counted_joins, has_ended_for_good
from engine.errors import InvariantViolated
from engine.events import TaskRevived, TaskScheduled, TasksDropped
from engine.ids import RefName, TaskSeq
from engine.model import EndedTask, RunningTask, Scope, WorkflowState


def tasks_dropped(state: WorkflowState, event: TasksDropped) -> WorkflowState:
    """The attempts are gone, with the scopes that they opened; loops around them are back in an earlier pass."""
    gone = [state.tasks[seq].spec for seq in event.seqs]
    seqs = frozenset(event.seqs)
    missing = _missing_again(state, gone, seqs)
    tasks, latest = state.tasks.mutate(), state.latest.mutate()
    scopes, awaited = state.scopes.mutate(), state.awaited.mutate()
    for spec in gone:
        del tasks[spec.seq]
        if latest.get(spec.ref) == spec.seq:
            del latest[spec.ref]
        if spec.opens_scope:
            scopes.pop(spec.ref, None)
        for ref in spec.join_on:
            joins = tuple(seq for seq in awaited.get(ref, ()) if seq not in seqs)
            if joins:
                awaited[ref] = joins
            else:
                awaited.pop(ref, None)
    for ref, iteration in event.passes.items():
        scopes[ref] = _in_pass(scopes[ref], iteration)
    kept = tasks.finish()
    return replace(
        state,
        tasks=kept,
        latest=latest.finish(),
        newest=_newest(state, [task.spec for task in kept.values()], seqs),
        scopes=scopes.finish(),
        missing=missing,
        awaited=awaited.finish(),
        held=tuple(seq for seq in state.held if seq not in seqs),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def task_revived(state: WorkflowState, event: TaskRevived) -> WorkflowState:
    """The ended attempt is in progress again: open, counted and awaited as before its end."""
    task = state.tasks[event.seq]
    if not isinstance(task, EndedTask):
        message = f"task {event.seq} of workflow {state.workflow_id} should have ended and is open"
        raise InvariantViolated(message)
    spec = task.spec
    missing = counted_joins(state, spec.ref, 1) if has_ended_for_good(state, spec.ref) else state.missing
    if spec.first_scheduled_at_ms or spec.timeouts.total_ms:
        spec = replace(spec, first_scheduled_at_ms=event.at_ms)  # all its time anew, as for a retried task
    before = task.progress
    progress = replace(
        before,
        started_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        output={},
        reason="",
        child_run=event.child_run or before.child_run,
        asked=before.asked if event.child_run else before.told + 1,
    )
    return replace(
        state,
        tasks=state.tasks.set(spec.seq, RunningTask(spec=spec, progress=progress)),
        scopes=counted(state.scopes, spec.scope, 1),
        missing=missing,
        held=tuple(seq for seq in state.held if seq != spec.seq),
        open_count=state.open_count + 1,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def _missing_again(state: WorkflowState, gone: Iterable[TaskScheduled], seqs: frozenset[TaskSeq]) -> Map[TaskSeq, int]:
    """Return what open JOINs miss: also what had ended for good and is gone now."""
    missing = state.missing
    for spec in gone:
        if state.latest.get(spec.ref) != spec.seq or not has_ended_for_good(state, spec.ref):
            continue
        for join in state.awaited.get(spec.ref, ()):
            if join in missing and join not in seqs:
                missing = missing.set(join, missing[join] + 1)
    return missing


def _newest(state: WorkflowState, kept: Iterable[TaskScheduled], gone: frozenset[TaskSeq]) -> Map[RefName, TaskSeq]:
    """Return the newest attempts by their names in the definition, found anew where they are gone."""
    lost = {node for node, seq in state.newest.items() if seq in gone}
    if not lost:
        return state.newest
    found: dict[RefName, TaskSeq] = {}
    for spec in kept:
        if spec.node in lost and spec.ref != spec.node and spec.scope:
            found[spec.node] = max(spec.seq, found.get(spec.node, spec.seq))
    newest = state.newest.mutate()
    for node in lost:
        if node in found:
            newest[node] = found[node]
        else:
            del newest[node]
    return newest.finish()


def _in_pass(scope: Scope, iteration: int) -> Scope:
    """Return the inside of a loop as it was in an earlier pass, or in the one that it is in."""
    later = scope.iteration - iteration
    kept = scope.kept[: len(scope.kept) - later] if later else scope.kept
    return replace(scope, iteration=iteration, kept=kept)
