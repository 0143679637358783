"""What the events of a whole workflow change.

Must not decide. Keeps the invariant that the numbers of attempts never start again, also not with a restart.
"""

from immutables import Map
from msgspec.structs import replace

from engine.commands import is_same_task
from engine.errors import InvariantViolated
from engine.events import (
    Event,
    ParentAttached,
    ParentHeeded,
    VariablesSet,
    WorkflowEnded,
    WorkflowPaused,
    WorkflowRemoved,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowUpgraded,
)
from engine.ids import TaskSeq
from engine.json_value import JsonObject
from engine.model import OWN_SLOT, Attached, Inbox, WorkflowState
from engine.status import WorkflowStatus


def started(event: Event) -> WorkflowState:
    """Return the first state of a workflow."""
    if type(event) is not WorkflowStarted:
        message = f"a workflow begins with WorkflowStarted, but the log has {event!r}"
        raise InvariantViolated(message)
    return WorkflowState(
        started=event,
        status=WorkflowStatus.RUNNING,
        tasks=Map(),
        latest=Map(),
        newest=Map(),
        scopes=Map(),
        missing=Map(),
        awaited=Map(),
        loops=Map(),
        slots=Map(),
        variables=event.variables,
        output={},
        reason="",
        failed_refs=(),
        failed_names=(),
        failed_seq=None,
        held=(),
        open_count=0,
        last_seq=TaskSeq(0),
        version=1,
        created_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        ended_at_ms=0,
        clock_from_ms=event.at_ms,
        last_retried_at_ms=0,
    )


def started_again(state: WorkflowState, event: WorkflowStarted) -> WorkflowState:
    """Refuse a second beginning: a workflow starts once."""
    message = f"workflow {state.workflow_id} exists since {state.created_at_ms} and starts again at {event.at_ms}"
    raise InvariantViolated(message)


def paused(state: WorkflowState, event: WorkflowPaused) -> WorkflowState:
    """The workflow is PAUSED."""
    return replace(state, status=WorkflowStatus.PAUSED, updated_at_ms=event.at_ms, version=state.version + 1)


def resumed(state: WorkflowState, event: WorkflowResumed) -> WorkflowState:
    """The workflow is RUNNING; what was held back is the decider's business from here on."""
    own = state.slots.get(OWN_SLOT)
    if own is not None and own.in_pause:
        state = replace(state, slots=state.slots.set(OWN_SLOT, replace(own, in_pause=False)))
    return replace(
        state,
        status=WorkflowStatus.RUNNING,
        held=(),
        clock_from_ms=event.at_ms,
        last_retried_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def ended(state: WorkflowState, event: WorkflowEnded) -> WorkflowState:
    """The workflow is terminal."""
    return replace(
        state,
        status=event.status,
        output=event.output,
        reason=event.reason,
        failed_refs=event.failed_refs,
        failed_names=event.failed_names,
        failed_seq=event.failed_seq,
        held=(),
        heard=max(state.heard, event.heard),
        ended_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def reopened(state: WorkflowState, event: WorkflowReopened) -> WorkflowState:
    """The workflow is RUNNING again and keeps its tasks."""
    begun = state.started
    if event.input is not None or event.correlation_id is not None:
        begun = _with_input(begun, event.input, event.correlation_id)
    return replace(
        state,
        started=begun,
        run=state.run + 1,
        heard=state.heard if event.parent else max(state.heard, event.heard),
        attached=_having_heard(state.attached, event),
        status=WorkflowStatus.RUNNING,
        output={},
        reason="",
        failed_refs=(),
        failed_names=(),
        failed_seq=None,
        ended_at_ms=0,
        clock_from_ms=event.at_ms,
        last_retried_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def restarted(state: WorkflowState, event: WorkflowRestarted) -> WorkflowState:
    """The workflow is RUNNING from its beginning, by the definitions that the event names."""
    begun = replace(_by_definitions_of(state.started, event), at_ms=event.at_ms, definition=event.definition)
    return replace(
        started(_with_input(begun, event.input, event.correlation_id)),
        run=state.run + 1,
        heard=state.heard,
        attached=state.attached,
        variables=event.variables,
        last_seq=state.last_seq,
        version=state.version + 1,
        last_retried_at_ms=state.last_retried_at_ms,
        inbox=Inbox(seen=state.inbox.seen),
    )


def parent_attached(state: WorkflowState, event: ParentAttached) -> WorkflowState:
    """One more task is told of the end."""
    return replace(
        state,
        attached=(*state.attached, Attached(parent=event.parent)),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def variables_set(state: WorkflowState, event: VariablesSet) -> WorkflowState:
    """The named variables have their new values."""
    return replace(
        state,
        variables={**state.variables, **event.variables},
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def upgraded(state: WorkflowState, event: WorkflowUpgraded) -> WorkflowState:
    """From here on the workflow runs by the definitions that the event names."""
    begun = replace(_by_definitions_of(state.started, event), definition=None)
    return replace(
        state,
        started=_with_input(begun, event.input, None),
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def removed(state: WorkflowState, event: WorkflowRemoved) -> WorkflowState:
    """Nothing changes but the count of events: whoever keeps the workflow forgets it because of this one."""
    del event
    return replace(state, version=state.version + 1)


def parent_heeded(state: WorkflowState, event: ParentHeeded) -> WorkflowState:
    """The workflow has heard its parent, and does not change."""
    heard = state.heard if event.parent else max(state.heard, event.heard)
    return replace(state, heard=heard, attached=_having_heard(state.attached, event), version=state.version + 1)


def _by_definitions_of(begun: WorkflowStarted, event: WorkflowRestarted | WorkflowUpgraded) -> WorkflowStarted:
    return replace(
        begun,
        version=event.version,
        definition_hash=event.definition_hash,
        task_definition_hashes=event.task_definition_hashes,
        graph_key=event.graph_key,
        sub_workflow_versions=event.sub_workflow_versions,
        timeout_ms=event.timeout_ms,
        masked_fields=event.masked_fields,
    )


def _having_heard(attached: tuple[Attached, ...], event: WorkflowReopened | ParentHeeded) -> tuple[Attached, ...]:
    """Return the attached tasks after one of them was heard, if it was one of them."""
    if event.parent is None:
        return attached
    return tuple(
        replace(one, heard=max(one.heard, event.heard)) if is_same_task(one.parent, event.parent) else one
        for one in attached
    )


def _with_input(begun: WorkflowStarted, given: JsonObject | None, correlation_id: str | None) -> WorkflowStarted:
    return replace(
        begun,
        input=begun.input if given is None else given,
        correlation_id=begun.correlation_id if correlation_id is None else correlation_id,
    )
