"""DO_WHILE: runs its body in passes, as long as its condition holds or its list has items.

The loop stays open while a pass runs. A pass is over when nothing inside the loop is open any more; then the condition
is evaluated: at once if it is simple, else by a script, whose answer comes as a report. What runs in a pass is named
after the pass; see `engine.place`. The outputs of all passes become the loop's output only when it ends.

Source: Conductor's `DoWhile`, `DoWhileTaskMapper`; loops in loops are a difference.
"""

from typing import Final

from engine.commands import ReportTaskResult
from engine.conditions import condition_document, goes_on
from engine.deadlines import engine_timeouts
from engine.dispatch import TO_NOBODY, TO_SCRIPT
from engine.draft import Attempt, Draft, Visit
from engine.ending import fail, succeed
from engine.events import ConditionAsked, PassDropped, PassEntered, ResultIgnored
from engine.expressions.budget import ResolutionExceeded
from engine.expressions.references import resolve
from engine.expressions.simple import EvaluationFailed, NotSimple, check, evaluate
from engine.graph import Node
from engine.ids import RefName, TaskSeq
from engine.inputs import task_input
from engine.json_value import JsonObject, JsonValue
from engine.lookup import StateLookup
from engine.model import OpenTask, Task
from engine.scheduling import schedule_task, start_task
from engine.status import TASK_UNSUCCESSFUL, TaskStatus, WorkflowStatus

ITEMS: Final = "_items"
"""The input key under which a loop keeps the list that it goes through."""
KEEP: Final = "keepLastN"


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Open the loop and enter its first pass, or, as a further attempt, go on with the pass that it was in."""
    given = _with_items(draft, node, attempt, task_input(draft, node.task, node.task_definition))
    seq = schedule_task(
        draft,
        node,
        attempt,
        task_input=given,
        dispatch=TO_SCRIPT if _needs_script(node.task.loop_condition) else TO_NOBODY,
        timeouts=engine_timeouts(node.task_definition),
        opens_scope=True,
        repeats=True,
    )
    start_task(draft, seq)
    if _keep_last(given) is None:
        reason = f"{KEEP} of {node.at} should be a number from 1 on and is {given[KEEP]!r}"
        fail(draft, seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, reason)
    elif given.get(ITEMS) == []:
        succeed(draft, seq, {"iteration": 0})
    elif draft.state.scopes[node.at].iteration:
        draft.emit(
            PassEntered(at_ms=draft.now_ms, seq=seq, iteration=draft.state.scopes[node.at].iteration),
        )
        draft.loops[seq] = None
    else:
        _enter_pass(draft, node, seq, 1)


def on_update(draft: Draft, task: OpenTask, result: ReportTaskResult) -> None:
    """Take a script's answer about the condition. One that nobody waits for (any more) is recorded as ignored."""
    seq = task.spec.seq
    answer = result.output_data or {}
    asked = draft.state.loops.get(seq)
    if not asked or answer.get("iteration") != asked or draft.state.status is WorkflowStatus.PAUSED:
        reason = f"pass {answer.get('iteration')!r} of the loop does not wait for its condition now"
        status = result.status or TaskStatus.COMPLETED
        draft.emit(ResultIgnored(at_ms=draft.now_ms, seq=seq, status=status, reason=reason))
    elif result.status is TaskStatus.COMPLETED:
        _follow_condition(draft, draft.node_of(task.spec), seq, answer.get("result"))
    else:
        _condition_failed(draft, task, result.reason_for_incompletion or "")


def look(draft: Draft, seq: TaskSeq) -> None:
    """Let another pass follow, or end the loop, if its pass is over."""
    loop = draft.open_task(seq)
    if loop is None or draft.state.loops[seq] or draft.state.scopes[loop.spec.ref].open_count:
        return
    node = draft.node_of(loop.spec)
    keep_last = _keep_last(loop.spec.input)
    if keep_last and len(draft.state.scopes[node.at].kept) > keep_last:
        draft.emit(PassDropped(at_ms=draft.now_ms, seq=seq))
    iteration = draft.state.scopes[node.at].iteration
    failed = _failed_in_pass(draft, node, iteration)
    if failed:
        reasons = "; ".join(f"{task.spec.ref}: {task.progress.reason or task.spec.type}" for task in failed)
        fail(draft, seq, TaskStatus.FAILED, reasons, gather=True)
        return
    items = loop.spec.input.get(ITEMS)
    condition = node.task.loop_condition
    if items is not None and iteration >= len(items):
        succeed(draft, seq, {}, gather=True)
    elif not condition:
        _follow_condition(draft, node, seq, items is not None)
    elif loop.spec.dispatch == TO_SCRIPT:
        draft.emit(ConditionAsked(at_ms=draft.now_ms, seq=seq, iteration=iteration))
    else:
        try:
            value = evaluate(condition, condition_document(draft.state, draft.graph, node, loop))
        except (NotSimple, EvaluationFailed, ResolutionExceeded) as error:
            _condition_failed(draft, loop, str(error))
        else:
            _follow_condition(draft, node, seq, value)


def body(draft: Draft, loop: Task) -> list[Visit]:
    """Return where the body of a loop that has not come to its end begins, in the pass that it was in."""
    node = draft.node_of(loop.spec)
    iteration = draft.state.scopes[loop.spec.ref].iteration
    if not iteration or node.head is None:
        return []
    return [Visit(ref=node.head, place=node.place.pass_inside(iteration))]


def _follow_condition(draft: Draft, node: Node, seq: TaskSeq, value: JsonValue) -> None:
    if goes_on(value):
        _enter_pass(draft, node, seq, draft.state.scopes[node.at].iteration + 1)
    else:
        succeed(draft, seq, {}, gather=True)


def _enter_pass(draft: Draft, node: Node, seq: TaskSeq, iteration: int) -> None:
    forgettable = bool(_keep_last(draft.task(seq).spec.input))
    draft.emit(PassEntered(at_ms=draft.now_ms, seq=seq, iteration=iteration, forgettable=forgettable))
    if node.head is not None:
        draft.enter(node.head, place=node.place.pass_inside(iteration))
    draft.loops[seq] = None  # nobody else would notice a pass in which every task is skipped


def _condition_failed(draft: Draft, loop: OpenTask, why: str) -> None:
    reason = f"the loopCondition of {loop.spec.ref} cannot be evaluated: {why}"
    fail(draft, loop.spec.seq, TaskStatus.FAILED_WITH_TERMINAL_ERROR, reason, gather=True)


def _failed_in_pass(draft: Draft, node: Node, iteration: int) -> list[Task]:
    """Return the tasks of a pass that failed and were permissive: any other would have ended the workflow."""
    if not draft.graph.may_fail_late:
        return []
    suffix = node.place.pass_inside(iteration).suffix
    found = (draft.state.task(RefName(ref + suffix)) for ref in draft.graph.refs_inside(node.ref))
    return [task for task in found if task is not None and getattr(task, "status", None) in TASK_UNSUCCESSFUL]


def _with_items(draft: Draft, node: Node, attempt: Attempt, given: JsonObject) -> JsonObject:
    """Return the input with the list to go through, if there is one; a further attempt goes on with the first's."""
    if attempt.retry_of is not None:
        before = draft.state.tasks[attempt.retry_of].spec.input
        if ITEMS in before:
            return {**given, ITEMS: before[ITEMS]}
    if node.task.items is not None:
        items = resolve(node.task.items, StateLookup(draft.state, decision=draft.budget))
    elif ITEMS in given:
        items = given[ITEMS]
    else:
        return given
    if items is None:
        items = []
    return {**given, ITEMS: items if isinstance(items, list) else [items]}


def _keep_last(given: JsonObject) -> int | None:
    """Return how many passes a loop keeps: 0 for all, None if what its input says is no such number."""
    value = given.get(KEEP)
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _needs_script(condition: str | None) -> bool:
    try:
        check(condition or "true")
    except NotSimple:
        return True
    return False
