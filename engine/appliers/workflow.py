"""What the events of a whole workflow change.

Must not decide. Keeps the invariant that the numbers of attempts never start again, also not with a restart.
"""

from immutables import Map
from msgspec.structs import replace

from engine.errors import InvariantViolated
from engine.events import (
    Event,
    ParentAttached,
    VariablesSet,
    WorkflowEnded,
    WorkflowPaused,
    WorkflowReopened,
    WorkflowRestarted,
    WorkflowResumed,
    WorkflowStarted,
)
from engine.ids import TaskSeq
from engine.model import WorkflowState
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
        ended_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )


def reopened(state: WorkflowState, event: WorkflowReopened) -> WorkflowState:
    """The workflow is RUNNING again and keeps its tasks."""
    return replace(
        state,
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
    begun = replace(
        state.started,
        at_ms=event.at_ms,
        version=event.version,
        definition_hash=event.definition_hash,
        task_definition_hashes=event.task_definition_hashes,
        graph_key=event.graph_key,
        sub_workflow_versions=event.sub_workflow_versions,
        definition=event.definition,
        timeout_ms=event.timeout_ms,
        masked_fields=event.masked_fields,
    )
    return replace(
        started(begun),
        variables=event.variables,
        last_seq=state.last_seq,
        version=state.version + 1,
        last_retried_at_ms=state.last_retried_at_ms,
    )


def parent_attached(state: WorkflowState, event: ParentAttached) -> WorkflowState:
    """One more task is told of the end."""
    return replace(
        state, attached=(*state.attached, event.parent), updated_at_ms=event.at_ms, version=state.version + 1
    )


def variables_set(state: WorkflowState, event: VariablesSet) -> WorkflowState:
    """The named variables have their new values."""
    return replace(
        state,
        variables={**state.variables, **event.variables},
        updated_at_ms=event.at_ms,
        version=state.version + 1,
    )
