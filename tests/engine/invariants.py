"""What holds after every decision, counted from scratch.

Must not use the counts that it checks. Keeps nothing: each function takes a state, or a scenario, and says what is
wrong.
"""

from collections.abc import Iterator

from engine.codec import pack, unpack
from engine.deadlines import next_deadline_ms
from engine.definitions import TaskTimeoutPolicy, WorkflowTask
from engine.dispatch import TO_CHILD, TO_HTTP, TO_SCRIPT, TO_SINK, TO_WORKER
from engine.effects import WORKFLOW_TIMER, ArmTimer, DisarmTimer, DispatchTask, RetractTask
from engine.events import (
    ChildNamed,
    ChildTerminationRequested,
    Event,
    MessagePosted,
    ParentAttached,
    ParentHeeded,
    ResultIgnored,
    SlotAwaited,
    SlotReturned,
    TaskEnded,
    WorkflowEnded,
    WorkflowRemoved,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowUpgraded,
)
from engine.ids import RefName, TaskSeq
from engine.model import OWN_SLOT, EndedTask, OpenTask, PendingTask, RunningTask, Task, WorkflowState
from engine.status import TaskStatus, WorkflowStatus
from engine.testing import Scenario
from engine.waiting import task_waits_for, workflow_waits_for

_AFTER_THE_END = (
    ResultIgnored,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowEnded,
    WorkflowRemoved,
    ParentAttached,
    ParentHeeded,
    SlotReturned,
    ChildNamed,
    ChildTerminationRequested,
)


def _waits_for_others(task: OpenTask) -> bool:
    return task.spec.type in {"JOIN", "EXCLUSIVE_JOIN", "DO_WHILE"}


def violations(scenario: Scenario, before: WorkflowState | None, events: tuple[Event, ...]) -> list[str]:
    """Return everything that is wrong after a decision."""
    state = scenario.state
    return [
        *_counts(state),
        *_order(before, events),
        *_ends(state),
        *_effects(scenario),
        *_outside(scenario),
        *([] if unpack(pack(state)) == state else ["unpack(pack(state)) differs from the state"]),
        *(
            []
            if state.version == len(scenario.events)
            else [f"version {state.version} of {len(scenario.events)} events"]
        ),
        *_clock(before, state),
        *_joins(state, events),
        *_waits(scenario),
        *_left_out(scenario),
        *_slots(scenario),
    ]


def _open(state: WorkflowState) -> list[OpenTask]:
    return [task for task in state.tasks.values() if not isinstance(task, EndedTask)]


def _counts(state: WorkflowState) -> Iterator[str]:
    yield from _names(state)
    still_open = _open(state)
    loops = {task.spec.seq for task in still_open if task.spec.repeats}
    if set(state.loops) != loops:
        yield f"loops are {dict(state.loops)}, counted {loops}"
    if state.open_count != len(still_open):
        yield f"open_count is {state.open_count}, counted {len(still_open)}"
    scopes = dict.fromkeys(state.scopes, 0)
    for task in still_open:
        ref = task.spec.scope
        while ref:
            scopes[ref] += 1
            ref = state.scopes[ref].parent
    if {ref: scope.open_count for ref, scope in state.scopes.items()} != scopes:
        yield f"scopes are {dict(state.scopes)}, counted {scopes}"
    missing = {task.spec.seq: _missing(state, task) for task in still_open if task.spec.join_on}
    if dict(state.missing) != {seq: len(refs) for seq, refs in missing.items()}:
        yield f"missing is {dict(state.missing)}, counted {missing}"
    for seq, refs in missing.items():
        for ref in refs:
            if seq not in state.awaited.get(ref, ()):
                yield f"JOIN {seq} misses {ref}, but awaited does not say so"


def _names(state: WorkflowState) -> Iterator[str]:
    latest: dict[RefName, TaskSeq] = {}
    newest: dict[RefName, TaskSeq] = {}
    for seq, task in sorted(state.tasks.items()):
        if task.spec.seq != seq:
            yield f"task {seq} says that it is {task.spec.seq}"
        latest[task.spec.ref] = seq
        if task.spec.ref != task.spec.node and task.spec.scope:
            newest[task.spec.node] = seq
    if dict(state.latest) != latest:
        yield f"latest is {dict(state.latest)}, counted {latest}"
    dropped = any(scope.kept for scope in state.scopes.values())
    if {ref: newest[ref] for ref in state.newest} != dict(state.newest) or (
        not dropped and len(newest) > len(state.newest)
    ):
        yield f"newest is {dict(state.newest)}, counted {newest}"


def _missing(state: WorkflowState, join: OpenTask) -> list[RefName]:
    def has_ended(ref: RefName) -> bool:
        task = state.task(ref)
        return isinstance(task, EndedTask) and task.final

    return [ref for ref in join.spec.join_on if not has_ended(ref)]


def _order(before: WorkflowState | None, events: tuple[Event, ...]) -> Iterator[str]:
    """Look at what comes after an end: only what takes it back, rewrites it, tells of it, or changes nothing."""
    is_over = before is not None and before.is_terminal
    for event in events:
        if isinstance(event, MessagePosted):
            continue
        if is_over and not isinstance(event, _AFTER_THE_END):
            yield f"after the end of the workflow comes {event!r}"
        if isinstance(event, WorkflowReopened | WorkflowRestarted):
            is_over = False
        elif isinstance(event, WorkflowEnded):
            is_over = True


def _ends(state: WorkflowState) -> Iterator[str]:
    still_open = _open(state)
    if state.is_terminal and (still_open or state.held):
        yield f"the workflow is {state.status}, but {still_open} are open and {state.held} are held"
    if state.status is WorkflowStatus.RUNNING:
        if state.held:
            yield f"{state.held} are held though the workflow runs"
        is_asking = any(state.loops.values()) or state.is_queued
        if all(_waits_for_others(task) for task in still_open) and not is_asking:
            yield "the workflow runs, but nothing is open that somebody can end"


def _effects(scenario: Scenario) -> Iterator[str]:
    state = scenario.state
    for effect in scenario.effects:
        if not isinstance(effect, DispatchTask | RetractTask | ArmTimer | DisarmTimer):
            continue
        is_timer = isinstance(effect, ArmTimer | DisarmTimer)
        if effect.seq == WORKFLOW_TIMER and is_timer:
            continue
        task = state.tasks.get(effect.seq)
        if task is None and effect.seq <= state.last_seq and isinstance(effect, RetractTask | DisarmTimer):
            continue  # its loop has forgotten that pass
        if task is None:
            yield f"{effect} names an attempt that does not exist"
        elif isinstance(effect, ArmTimer | DispatchTask) and isinstance(task, EndedTask):
            yield f"{effect} is moot: the attempt is {task.status}"
    dispatches = [effect for effect in scenario.effects if isinstance(effect, DispatchTask)]
    if len(dispatches) != len(set(dispatches)):
        yield f"something is dispatched twice: {dispatches}"


def _outside(scenario: Scenario) -> Iterator[str]:
    """Compare what the effects have made of the outside with what the state says it should be."""
    state = scenario.state
    still_open = {task.spec.seq: task for task in _open(state)}
    for seq in scenario.dispatched:
        if seq not in still_open:
            yield f"task {seq} is still offered, though it has ended"
    for seq, task in still_open.items():
        is_free = isinstance(task, PendingTask) and not task.due_at_ms and not task.awaits_slot
        is_waiting = is_free and task.spec.dispatch == TO_WORKER
        is_asking = isinstance(task, RunningTask) and task.spec.dispatch in {TO_HTTP, TO_SINK}
        is_asking |= task.spec.dispatch == TO_SCRIPT and isinstance(task, RunningTask) and _is_asked(state, task)
        if (is_waiting or is_asking) and seq not in scenario.dispatched:
            yield f"task {seq} should be out and was never dispatched"
        if isinstance(task, RunningTask) and (task.spec.dispatch == TO_CHILD) is (task.progress.child_id is None):
            yield f"task {seq} for {task.spec.dispatch!r} has the child {task.progress.child_id}"
    yield from _timers(scenario, still_open)
    yield from _inbox(state)


def _inbox(state: WorkflowState) -> Iterator[str]:
    """Count the messages that wait, and look whether somebody waits for what is there."""
    inbox = state.inbox
    if inbox.waiting_bytes != sum(message.size_bytes for message in inbox.waiting):
        yield f"{inbox.waiting_bytes} bytes of messages are counted that do not wait"
    if not {message.message_id for message in inbox.waiting} <= set(inbox.seen):
        yield "a message waits whose id is forgotten"
    if inbox.waiting and any(isinstance(state.tasks.get(seq), RunningTask) for seq in inbox.pulls):
        yield "a task waits for messages, and messages wait for a task"


def _slots(scenario: Scenario) -> Iterator[str]:
    """Compare the slots with the tasks: what is open has asked, what has ended has given back, once each."""
    state = scenario.state
    open_seqs = {task.spec.seq for task in _open(state)}
    whole = set() if state.is_terminal else {OWN_SLOT}
    if not set(state.slots) <= open_seqs | whole:
        yield f"slots are {dict(state.slots)}, open are {open_seqs} in a workflow that is {state.status}"
    for task in _open(state):
        waits = isinstance(task, PendingTask) and task.awaits_slot
        slot = state.slots.get(task.spec.seq)
        if waits is not (slot is not None and not slot.obtained_at_ms) and isinstance(task, PendingTask):
            yield f"task {task.spec.seq} has the slot {slot}, and awaits_slot is {waits}"
        if waits and task.spec.seq in scenario.dispatched:
            yield f"task {task.spec.seq} is out without its slot"
    asked = [event.seq for event in scenario.events if isinstance(event, SlotAwaited)]
    returned = [event.seq for event in scenario.events if isinstance(event, SlotReturned)]
    held = [slot.seq for slot in state.slots.values()]
    if sorted(asked) != sorted([*returned, *held]):
        yield f"slots {asked} were asked for, {returned} came back, {held} are held"


def _is_asked(state: WorkflowState, task: OpenTask) -> bool:
    return not task.spec.repeats or bool(state.loops[task.spec.seq])


def _timers(scenario: Scenario, still_open: dict[TaskSeq, OpenTask]) -> Iterator[str]:
    state = scenario.state
    for seq in set(scenario.timers) - set(still_open) - {WORKFLOW_TIMER}:
        yield f"the timer of task {seq} is armed, though it has ended"
    if WORKFLOW_TIMER in scenario.timers and (state.is_terminal or not state.started.timeout_ms):
        yield "the workflow's timer is armed for nothing"
    if state.status is not WorkflowStatus.RUNNING:
        return
    for seq, task in still_open.items():
        expected = next_deadline_ms(task)
        if scenario.timers.get(seq) == expected:
            continue
        if expected is not None and expected <= scenario.now_ms and _only_alerts(scenario, task):
            continue  # it has been looked at, and stays where it is
        yield f"the timer of task {seq} is at {scenario.timers.get(seq)} and should be at {expected}"


def _only_alerts(scenario: Scenario, task: OpenTask) -> bool:
    found = scenario.shelf.find_task(task.spec.name)
    return found is not None and found[1].timeout_policy is TaskTimeoutPolicy.ALERT_ONLY


def _clock(before: WorkflowState | None, after: WorkflowState) -> Iterator[str]:
    if before is not None and after.updated_at_ms < before.updated_at_ms:
        yield f"the clock went back from {before.updated_at_ms} to {after.updated_at_ms}"
    if before is not None and after.last_seq < before.last_seq:
        yield f"numbers went back from {before.last_seq} to {after.last_seq}"


def _joins(state: WorkflowState, events: tuple[Event, ...]) -> Iterator[str]:
    """Look at the JOINs that have just completed: nothing that they await is open, but loops around them."""
    for event in events:
        if not isinstance(event, TaskEnded) or event.status is not TaskStatus.COMPLETED or event.seq not in state.tasks:
            continue
        if state.tasks[event.seq].spec.type == "EXCLUSIVE_JOIN":
            continue
        for ref in state.tasks[event.seq].spec.join_on:
            awaited = state.task(ref)
            around = _around(state, state.tasks[event.seq])
            if awaited is not None and not isinstance(awaited, EndedTask) and ref not in around:
                yield f"JOIN {event.seq} has ended, but {ref} is open"


def _around(state: WorkflowState, task: Task) -> list[RefName]:
    """Return the scopes around a task."""
    found = [task.spec.scope]
    while found[-1]:
        found.append(state.scopes[found[-1]].parent)
    return found


def _waits(scenario: Scenario) -> Iterator[str]:
    """Look at what is said of everything that is open."""
    state = scenario.state
    reason = workflow_waits_for(state, scenario.graph)
    if (reason is None) is not state.is_terminal:
        yield f"the workflow is {state.status} and waits for {reason}"
    for task in _open(state):
        sentence = task_waits_for(state, task, scenario.graph).sentence(scenario.now_ms)
        if not sentence or "{" in sentence:
            yield f"what task {task.spec.seq} waits for is said so: {sentence!r}"


def _left_out(scenario: Scenario) -> Iterator[str]:
    """Look at a completed workflow: whatever should have run has run, unless a TERMINATE cut it short."""
    state = scenario.state
    if state.status is not WorkflowStatus.COMPLETED:
        return
    if any(task.spec.type == "TERMINATE" and _has_run(task) for task in state.tasks.values()):
        return
    waiting = [(scenario.graph.definition.tasks, "")]
    while waiting:
        tasks, passes = waiting.pop()
        for found in tasks:
            task = state.task(RefName(found.task_reference_name + passes))
            if task is None and passes and any(isinstance(event, WorkflowUpgraded) for event in scenario.events):
                continue  # the loop had ended when its body got a task more
            if task is None:
                yield f"the workflow is COMPLETED without {found.task_reference_name}{passes}"
            elif _has_run(task):
                inside = passes
                if task.spec.repeats:  # the last pass stands for all
                    last = state.scopes[task.spec.ref].iteration
                    inside = f"{passes}__{last}"
                    if not last or task.status is not TaskStatus.COMPLETED:  # type: ignore[union-attr]  # it has ended
                        continue
                waiting.extend((inner, inside) for inner in _entered(found, task))


def _entered(found: WorkflowTask, task: Task) -> list[tuple[WorkflowTask, ...]]:
    """Return the lists inside a task that has run: all branches, the body, or the case that was chosen."""
    output = task.progress.output
    if found.type == "SWITCH" and "selectedCase" in output:
        return [found.decision_cases.get(output["selectedCase"], found.default_case)]
    if found.type == "DECISION" and "caseOutput" in output:
        return [found.decision_cases.get(output["caseOutput"][0]) or found.default_case]
    return [*found.fork_tasks, found.loop_over]


def _has_run(task: Task) -> bool:
    return isinstance(task, EndedTask) and task.status is not TaskStatus.SKIPPED
