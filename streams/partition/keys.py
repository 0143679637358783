"""Which workflow a command comes to: of a start with an idempotency key, the one that the key stands for.

Holds the look-up in memory, the choice of a successor's id, and what is refused by the id alone. Must not hold the
rules of the strategies (see `engine.idempotency`), nor ask the history: what a decision depends on is in the
partition's log. Keeps the invariant that all workflows of one key live in one partition, so that one owner decides
about them, one start after the other.
"""

import itertools

import msgspec

from engine.commands import Command, StartWorkflow
from engine.idempotency import Verdict, problem_of, strategy_of, verdict_of
from engine.ids import WorkflowId, generation_of, is_workflow_id, successor_workflow_id
from engine.model import WorkflowState
from engine.rejections import Rejected, RejectionCode
from streams.partition.table import WorkflowTable
from streams.topics import partition_of


class KeyedStart(msgspec.Struct, frozen=True, kw_only=True):
    """What a start with an idempotency key comes to: a workflow, new or there already, or a refusal.

    `has_left`: the workflow is there, but has ended and left memory.
    """

    command: StartWorkflow
    workflow_id: WorkflowId
    rejected: Rejected | None = None
    has_left: bool = False


def settle_key(
    command: StartWorkflow, first: WorkflowId, table: WorkflowTable, *, partition: int, partitions: int
) -> KeyedStart:
    """Return what a start comes to whose key makes `first` the id of its first workflow."""
    if command.workflow_id is not None:
        reason = f"a start has either a workflowId or an idempotencyKey, this one has both: {command.workflow_id}"
        return _refused(command, first, RejectionCode.ARGUMENT_INVALID, reason)
    strategy = strategy_of(command)
    problem = problem_of(command.idempotency_key, command.idempotency_strategy)
    if problem or strategy is None:
        return _refused(command, first, RejectionCode.ARGUMENT_INVALID, problem)
    holder = table.holder_of(first)
    state = table.get(holder)
    is_removed = state is None and table.is_removed(holder)
    has_left = state is None and table.has_ended(holder) and not is_removed
    is_open = state is not None and not state.is_terminal
    verdict = verdict_of(strategy, is_used=state is not None or has_left, is_open=is_open)
    if state is not None and command.parent is not None and state.started.parent == command.parent:
        verdict = Verdict.MEET  # the start of this very workflow, a second time
    if is_removed:
        verdict = Verdict.SUCCEED  # nothing is left to meet or to protect, but the id is not to come back
    chosen = holder
    if verdict is Verdict.REFUSE:
        word = f"is {state.status}" if state is not None else "has ended"
        reason = (
            f"idempotencyKey {command.idempotency_key} of {command.name} stands for workflow {holder}, which {word}; "
            f"strategy {strategy} refuses to start another"
        )
        return _refused(command, holder, RejectionCode.WORKFLOW_EXISTS, reason)
    if verdict is Verdict.MEET and has_left and command.parent is not None:
        reason = (
            f"idempotencyKey {command.idempotency_key} of {command.name} stands for workflow {holder}, which ended so "
            f"long ago that its output is in the history only; a sub-workflow cannot be attached to it"
        )
        return _refused(command, holder, RejectionCode.WORKFLOW_EXISTS, reason)
    if verdict is Verdict.SUCCEED:
        chosen = _successor(holder, first, partition=partition, partitions=partitions)
    addressed = msgspec.structs.replace(command, workflow_id=chosen)
    return KeyedStart(command=addressed, workflow_id=chosen, has_left=has_left and verdict is Verdict.MEET)


def refusal_of(
    command: Command, workflow_id: WorkflowId, state: WorkflowState | None, table: WorkflowTable
) -> Rejected | None:
    """Return why a command for a workflow that it names itself cannot even be looked at, None if it can."""
    if not is_workflow_id(workflow_id):
        reason = f"a workflow id should be 1 to 200 letters, digits or -_.:@+= and is {workflow_id!r}"
        return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=reason)
    if state is None and isinstance(command, StartWorkflow) and table.has_ended(workflow_id):
        reason = f"workflow {workflow_id} has run and ended; a new start needs a new id"
        return Rejected(code=RejectionCode.WORKFLOW_EXISTS, reason=reason)
    return None


def _successor(holder: WorkflowId, first: WorkflowId, *, partition: int, partitions: int) -> WorkflowId:
    named = generation_of(holder)
    generation = 1 if named is None else named[1] + 1
    candidates = (successor_workflow_id(first, generation, salt) for salt in itertools.count())
    return next(one for one in candidates if partition_of(one.encode(), partitions) == partition)


def _refused(command: StartWorkflow, about: WorkflowId, code: RejectionCode, reason: str) -> KeyedStart:
    return KeyedStart(command=command, workflow_id=about, rejected=Rejected(code=code, reason=reason))
