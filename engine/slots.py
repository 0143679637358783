"""Slots as a workflow sees them: asking a limiter before something begins.

Holds what asks, and the look-ups for whoever shows a wait. Must not count: the limiter does. Keeps the invariants that
nothing limited begins without a slot, and that what is not limited takes no step and sends no command for it. Giving
back is nobody's business here: the draft does it for whatever has ended.

Source: Conductor's `ConcurrentExecutionLimitDAO`, `RateLimitingDAO`, `WorkflowDef.rateLimitConfig`.
"""

from typing import Final

from engine.definitions import TaskDef, WorkflowDef
from engine.dispatch import TO_CHILD, TO_HTTP, TO_SINK, TO_WORKER
from engine.draft import Draft
from engine.events import GoingOn, SlotAwaited
from engine.expressions.budget import ResolutionExceeded
from engine.expressions.references import resolve
from engine.graph import Node
from engine.ids import TaskSeq
from engine.json_value import JsonValue
from engine.limiter.ids import EMBEDDED, TASK, WORKFLOW, limiter_id
from engine.limiter.limits import LimitSource, is_limited, task_limits, workflow_limits
from engine.lookup import StateLookup
from engine.model import OWN_SLOT, Slot, WorkflowState
from engine.scheduling import start_task

LIMITED: Final = frozenset({TO_WORKER, TO_HTTP, TO_SINK, TO_CHILD})
"""Who does the tasks that limits apply to. A script, or a WAIT, takes nothing that could be short."""
REJECT: Final = "REJECT"
"""The policy of a `rateLimitConfig` by which an execution that finds no slot ends at once. Any other waits."""


def begin_task(
    draft: Draft, seq: TaskSeq, node: Node, definition: TaskDef | None, *, is_limitable: bool = True
) -> None:
    """Let an attempt begin whose delay, if any, is over: at once, or when its limiter lets it.

    What a worker does begins when the worker takes it; anything else the engine starts itself. `is_limitable`: it is
    something that limits apply to.
    """
    if is_limitable and definition is not None and is_limited(definition):
        if seq not in draft.state.slots:
            await_slot(draft, seq, node, definition)
            return
        if not draft.state.slots[seq].obtained_at_ms:
            return
    if draft.state.tasks[seq].spec.dispatch != TO_WORKER:
        start_task(draft, seq)


def await_slot(draft: Draft, seq: TaskSeq, node: Node, definition: TaskDef) -> None:
    """Let an attempt wait for the limiter of its task definition.

    A definition that came inside the workflow's own has a limiter of its own: the registered one of that name, if there
    is one, speaks of something else.
    """
    kind = EMBEDDED if definition is node.task.task_definition else TASK
    draft.emit(
        SlotAwaited(
            at_ms=draft.now_ms,
            seq=seq,
            limiter_id=limiter_id(kind, definition.name),
            limits=task_limits(definition),
            source=LimitSource(kind=kind, name=definition.name),
        )
    )


def await_own_slot(draft: Draft, going_on: GoingOn | None = None) -> None:
    """Let the whole workflow wait if its definition says so: for one of the slots of its `rateLimitKey`.

    To be called wherever a workflow begins to run, or does so again: `going_on` is how, then. What the walk would enter
    is found anew when the slot is there (`engine.deciders.slots`).
    """
    config = draft.graph.definition.rate_limit_config
    if not config:
        return
    definition: WorkflowDef = draft.graph.definition
    limits = workflow_limits(definition)
    if not limits.at_once or OWN_SLOT in draft.state.slots:
        return
    key = _key(draft, config.get("rateLimitKey") or "")
    draft.emit(
        SlotAwaited(
            at_ms=draft.now_ms,
            seq=draft.next_seq(),
            limiter_id=limiter_id(WORKFLOW, definition.name, key),
            limits=limits,
            source=LimitSource(kind=WORKFLOW, name=definition.name, version=definition.version),
            whole=True,
            key=key,
            or_refuse=config.get("policy") == REJECT,
            going_on=going_on,
        )
    )


def _key(draft: Draft, template: JsonValue) -> str:
    """Return what a `rateLimitKey` comes to. One that is too much work to resolve counts as none."""
    try:
        resolved = resolve(template, StateLookup(draft.state, decision=draft.budget))
    except ResolutionExceeded:
        return ""
    return "" if resolved is None else str(resolved)


def waiting_for_slot(state: WorkflowState, seq: TaskSeq = OWN_SLOT) -> Slot | None:
    """Return the slot that an attempt waits for, or with `OWN_SLOT` the whole workflow; None if it waits for none."""
    slot = state.slots.get(seq)
    return None if slot is None or slot.obtained_at_ms else slot
