"""Going back, or forth, to a task of the definition.

Holds how the state is brought to where that task is next. Must not refuse anything. Keeps the invariant that what runs
in other branches of the FORKs around the task is not touched.
"""

from engine.definitions import WorkflowTask
from engine.draft import Attempt, Draft, Visit
from engine.ending import cancel, succeed
from engine.events import PassEntered, TasksDropped
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.json_value import JsonObject
from engine.layout import SWITCHES, Level, behind, lane, levels, subtree
from engine.model import EndedTask
from engine.place import place_at, place_of
from engine.skipping import record, record_skipped
from engine.status import TaskStatus
from engine.tasks.registry import behaviour_of
from engine.walk import enter, notice_joins


def go_back_to(draft: Draft, node: Node, given: JsonObject | None) -> None:
    """Forget what has come behind a task, its own attempts among that, and enter it, with this input if there is one.

    Loops around it are open again, in the pass that it is in.
    """
    found = behind(draft.state, levels(draft.graph, node))
    _cancel(draft, found.seqs, f"Going back to {node.at}.")
    _forget(draft, found.seqs, found.passes)
    for ref, iteration in found.passes.items():
        loop = draft.state.tasks[draft.state.latest[ref]]
        spec = loop.spec
        if isinstance(loop, EndedTask):
            again = Attempt(number=spec.attempt + 1, retry_of=spec.seq, first_scheduled_at_ms=draft.now_ms)
            enter(draft, Visit(ref=spec.node, attempt=again, place=place_of(spec)))
        else:
            draft.emit(PassEntered(at_ms=draft.now_ms, seq=spec.seq, iteration=iteration))
            draft.loops[spec.seq] = None
    draft.entries.append(Visit(ref=node.ref, place=node.place, given=given))


def skip_up_to(draft: Draft, node: Node) -> None:
    """Step over what stands before a task, in its own branch of the innermost FORK or loop, and has not ended."""
    for level in reversed(lane(levels(draft.graph, node))):
        holder = level.holder
        if holder is not None and holder.type in SWITCHES and not _has_chosen(draft, holder, level):
            _choose(draft, holder, level)
        for task in level.tasks[: level.index]:
            _step_over(draft, task, level.suffix)


def _step_over(draft: Draft, task: WorkflowTask, suffix: str) -> None:
    """Let a task be SKIPPED, with all that is in it. One that has ended, inside too, stays."""
    at = RefName(task.task_reference_name + suffix)
    existing = draft.state.task(at)
    inside = subtree(draft.state, task, suffix)
    still_open = [seq for seq in inside if draft.open_task(seq) is not None]
    if existing is not None and not still_open:
        return
    if existing is not None and still_open == [existing.spec.seq] and not existing.spec.repeats:
        succeed(draft, existing.spec.seq, existing.progress.output, status=TaskStatus.SKIPPED)
        draft.ended.clear()  # the walk goes on elsewhere
        notice_joins(draft, at)
        return
    _cancel(draft, inside, f"{at} is stepped over.")
    _forget(draft, inside, {})
    node = draft.graph.nodes[task.task_reference_name]
    record_skipped(draft, node.placed(place_at(suffix)) if suffix else node)


def _choose(draft: Draft, holder: WorkflowTask, level: Level) -> None:
    """Let a SWITCH have chosen the case that a list is, whatever it has chosen before."""
    at = RefName(holder.task_reference_name + level.suffix)
    inside = subtree(draft.state, holder, level.suffix)
    _cancel(draft, inside, f"The case of {at} is left.")
    _forget(draft, inside, {})
    case = next((case for case, tasks in holder.decision_cases.items() if tasks is level.tasks), None)
    if case is None:
        case = "default"
        while case in holder.decision_cases:
            case += "_"
    node = draft.graph.nodes[holder.task_reference_name]
    output: JsonObject = {"caseOutput": [case]} if holder.type == "DECISION" else {"selectedCase": case}
    placed = node.placed(place_at(level.suffix)) if level.suffix else node
    record(draft, placed, status=TaskStatus.COMPLETED, output=output)


def _has_chosen(draft: Draft, holder: WorkflowTask, level: Level) -> bool:
    """Tell whether a SWITCH has taken the case that a list is."""
    taken = draft.state.task(RefName(holder.task_reference_name + level.suffix))
    if not isinstance(taken, EndedTask) or taken.status is TaskStatus.SKIPPED:
        return taken is not None and isinstance(taken, EndedTask)
    leads_to = behaviour_of(holder.type).leads_to
    head = level.tasks[0].task_reference_name
    return leads_to is not None and head in leads_to(draft.node_of(taken.spec), taken)


def _cancel(draft: Draft, seqs: list[TaskSeq] | tuple[TaskSeq, ...], reason: str) -> None:
    for seq in seqs:
        task = draft.open_task(seq)
        if task is not None:
            cancel(draft, task, reason)


def _forget(draft: Draft, seqs: list[TaskSeq] | tuple[TaskSeq, ...], passes: dict[RefName, int]) -> None:
    for seq in seqs:
        draft.joins.pop(seq, None)
    if seqs or passes:
        draft.emit(TasksDropped(at_ms=draft.now_ms, seqs=tuple(seqs), passes=passes))
