"""What the events of a loop change.

Must not decide, nor know the definition of the loop's body: what runs inside a loop is known by the scopes around it.
Keeps the invariants that a pass which is forgotten leaves nothing behind in any map of the state, and that looking at
the passes of a loop costs no more than what was scheduled since it began.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from engine.events import ConditionAsked, PassDropped, PassEntered, TaskScheduled
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.model import RunningTask, Task, WorkflowState
from engine.place import place_of


def pass_entered(state: WorkflowState, event: PassEntered) -> WorkflowState:
    """The loop's output says which pass runs, and for which item of its list."""
    task = state.tasks[event.seq]
    spec = task.spec
    scope = state.scopes[spec.ref]
    output: JsonObject = {"iteration": event.iteration}
    if "_items" in spec.input:
        output["loopIndex"] = event.iteration - 1
        output["loopItem"] = spec.input["_items"][event.iteration - 1]
    progress = replace(task.progress, output=output, updated_at_ms=event.at_ms)
    kept = (*scope.kept, TaskSeq(state.last_seq + 1)) if event.forgettable else scope.kept
    return replace(
        state,
        tasks=state.tasks.set(event.seq, RunningTask(spec=spec, progress=progress)),
        scopes=state.scopes.set(spec.ref, replace(scope, iteration=event.iteration, kept=kept)),
        loops=state.loops.set(event.seq, 0),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def pass_dropped(state: WorkflowState, event: PassDropped) -> WorkflowState:
    """The oldest kept pass is gone, with the insides of its FORKs and loops."""
    loop = state.tasks[event.seq].spec
    scope = state.scopes[loop.ref]
    oldest, following = scope.kept[0], scope.kept[1]
    gone = [task.spec for task in _inside(state, loop.ref, range(oldest, following))]
    seqs = {spec.seq for spec in gone}
    tasks, latest, newest = state.tasks.mutate(), state.latest.mutate(), state.newest.mutate()
    scopes, awaited = state.scopes.mutate(), state.awaited.mutate()
    for spec in gone:
        del tasks[spec.seq]
        if latest.get(spec.ref) == spec.seq:
            del latest[spec.ref]
        if newest.get(spec.node) == spec.seq:
            del newest[spec.node]
        if spec.opens_scope:
            scopes.pop(spec.ref, None)
        for ref in (spec.ref, *spec.join_on):
            joins = tuple(seq for seq in awaited.get(ref, ()) if seq not in seqs)
            if joins:
                awaited[ref] = joins
            else:
                awaited.pop(ref, None)
    scopes[loop.ref] = replace(scope, kept=scope.kept[1:])
    return replace(
        state,
        tasks=tasks.finish(),
        latest=latest.finish(),
        newest=newest.finish(),
        scopes=scopes.finish(),
        awaited=awaited.finish(),
        version=state.version + 1,
    )


def condition_asked(state: WorkflowState, event: ConditionAsked) -> WorkflowState:
    """The loop waits for what a script says of its condition."""
    return replace(
        state,
        loops=state.loops.set(event.seq, event.iteration),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def pass_outputs(state: WorkflowState, loop: TaskScheduled) -> JsonObject:
    """Return what the tasks of each pass of a loop that is remembered have put out, by the number of the pass.

    Tasks of a loop inside are not among them: that loop's own output holds them.
    """
    scope = state.scopes[loop.ref]
    begins = scope.kept[0] if scope.kept else scope.first_seq
    suffix = place_of(loop).suffix
    outputs: dict[str, JsonObject] = {}
    for task in _inside(state, loop.ref, range(begins, state.last_seq + 1)):
        spec = task.spec
        if spec.ref == f"{spec.node}{suffix}__{spec.iteration}":
            outputs.setdefault(str(spec.iteration), {})[spec.node] = task.progress.output
    return outputs


def _inside(state: WorkflowState, scope: RefName, seqs: range) -> Iterator[Task]:
    """Yield the attempts among those numbers that run inside a scope, at whatever depth."""
    for seq in seqs:
        task = state.tasks.get(TaskSeq(seq))
        if task is None:
            continue
        around = task.spec.scope
        while around and around != scope:
            around = state.scopes[around].parent
        if around:
            yield task
