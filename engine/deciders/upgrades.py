"""Deciding about another version of its definition for a workflow that runs.

Keeps the invariant that an upgrade is whole or not at all: a workflow in which something open does not fit stays where
it is, and the refusal says what does not fit.
"""

from engine.commands import UpgradeWorkflow
from engine.context import DecideContext
from engine.deciders.start import refused_input, workflow_timeout_ms
from engine.definitions import version_text
from engine.draft import Draft, Visit
from engine.ending import cancel
from engine.events import PassEntered, TasksDropped, WorkflowUpgraded
from engine.fitting import fit, seqs_of
from engine.graph import Graphs, all_tasks, pins_of
from engine.inputs import with_template
from engine.layout import is_within, lane, levels
from engine.model import WorkflowState
from engine.rejections import Decision, Rejected, RejectionCode
from engine.skipping import record_skipped
from engine.status import WorkflowStatus
from engine.walk import settle, unvisited


def upgrade_workflow(
    state: WorkflowState, command: UpgradeWorkflow, context: DecideContext, graphs: Graphs
) -> Decision:
    """Go on by another version, the newest if none is named, with the task definitions that are registered now.

    What is open goes on as it was scheduled. A new task that stands before what has run already is skipped, with the
    output that the command has for it; one that stands behind it will run.

    Rejects:
        WORKFLOW_NOT_RUNNING: nothing goes on.
        DEFINITION_NOT_FOUND: that version is not registered.
        ARGUMENT_INVALID: the name is another workflow's; or open tasks do not fit: each is named with the reason.
        INPUT_INVALID: the new input violates the schema that the new version enforces.
    """
    if state.status is not WorkflowStatus.RUNNING:
        reason = f"cannot upgrade workflow {state.workflow_id}: it should be RUNNING and is {state.status}"
        return Rejected(code=RejectionCode.WORKFLOW_NOT_RUNNING, reason=reason)
    name = command.name or state.started.name
    if name != state.started.name:
        reason = f"workflow {state.workflow_id} is a {state.started.name} and cannot become a {name}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    found = context.definitions.find_workflow(name, command.version)
    if found is None:
        wanted = version_text(command.version)
        return Rejected(
            code=RejectionCode.DEFINITION_NOT_FOUND, reason=f"No such workflow found by name: {name}, {wanted}"
        )
    content, definition = found
    pins = pins_of(definition, content, context.definitions)
    given = command.workflow_input
    given = None if given is None else with_template(given, definition.input_template)
    refused = refused_input(definition, given, context)
    if refused is not None:
        return refused
    upgraded = WorkflowUpgraded(
        at_ms=context.now_ms,
        version=definition.version,
        definition_hash=content,
        task_definition_hashes=pins.task_definition_hashes,
        graph_key=pins.graph_key,
        sub_workflow_versions=pins.sub_workflow_versions,
        input=given,
        timeout_ms=workflow_timeout_ms(definition),
        masked_fields=definition.masked_fields,
    )
    return _upgrade(Draft(state, context, graphs.of(state.started)), command, upgraded, graphs)


def _upgrade(draft: Draft, command: UpgradeWorkflow, upgraded: WorkflowUpgraded, graphs: Graphs) -> Decision:
    before = draft.state
    old = draft.graph
    draft.emit(upgraded)
    new = draft.graph = graphs.of(draft.state.started)
    found = fit(before, old, new)
    if found.misfits:
        listed = "; ".join(f"{misfit.ref}: {misfit.why}" for misfit in found.misfits)
        reason = (
            f"workflow {before.workflow_id} does not fit version {upgraded.version} of {before.started.name}: {listed}"
        )
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    for ref in found.renewed:
        task = draft.open_task(draft.state.latest[ref])
        if task is not None:
            cancel(draft, task, f"It waits for other tasks in version {upgraded.version}.")
    gone = seqs_of(draft.state, frozenset((*found.forgotten, *found.renewed)))
    if gone:
        draft.emit(TasksDropped(at_ms=draft.now_ms, seqs=gone))
    while passed := [visit for visit in unvisited(draft) if _is_passed(draft, visit)]:
        for visit in passed:
            record_skipped(draft, draft.node_to_enter(visit), output=command.task_output.get(visit.ref))
    draft.entries.extend(unvisited(draft))
    for seq, asked in draft.state.loops.items():
        if asked:  # its pass may have more tasks now: whether another follows is asked again behind them
            draft.emit(PassEntered(at_ms=draft.now_ms, seq=seq, iteration=asked))
            draft.loops[seq] = None
    settle(draft)
    return draft.accept()


def _is_passed(draft: Draft, visit: Visit) -> bool:
    """Tell whether something that follows a task in its branch has been scheduled already."""
    if visit.place.forked_by:
        return False
    for level in lane(levels(draft.graph, draft.node_to_enter(visit))):
        following = {task.task_reference_name for task in all_tasks(level.tasks[level.index + 1 :])}
        if any(
            task.spec.node in following and is_within(task.spec, level.suffix) for task in draft.state.tasks.values()
        ):
            return True
    return False
