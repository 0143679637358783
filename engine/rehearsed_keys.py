"""Idempotency keys in a rehearsal: which workflow a start comes to.

Holds the newest workflow of each key that has had more than one. Must not hold the rules of the strategies (see
`engine.idempotency`). Keeps the invariant that a start comes to what it would come to in a server that knows no other
workflows than those of the rehearsal.
"""

from collections.abc import Mapping

from engine.commands import StartWorkflow, is_same_task
from engine.idempotency import Verdict, problem_of, strategy_of, verdict_of
from engine.ids import WorkflowId, generation_of, successor_workflow_id
from engine.model import WorkflowState
from engine.rejections import Rejected, RejectionCode


class RehearsedKeys:
    """What each key stands for."""

    def __init__(self) -> None:
        """Begin with keys that stand for nothing."""
        self._newest: dict[WorkflowId, WorkflowId] = {}

    def settle(
        self, command: StartWorkflow, first: WorkflowId, states: Mapping[WorkflowId, WorkflowState]
    ) -> WorkflowId | Rejected:
        """Return the workflow that a start comes to whose key makes `first` the id of its first one."""
        strategy = strategy_of(command)
        if strategy is None:
            problem = problem_of(command.idempotency_key, command.idempotency_strategy)
            return Rejected(code=RejectionCode.ARGUMENT_INVALID, reason=problem)
        holder = self._newest.get(first, first)
        state = states.get(holder)
        if state is not None and is_same_task(command.parent, state.started.parent):
            return holder
        is_open = state is not None and not state.is_terminal
        verdict = verdict_of(strategy, is_used=state is not None, is_open=is_open)
        if verdict is Verdict.REFUSE:
            reason = (
                f"idempotencyKey {command.idempotency_key} of {command.name} stands for workflow {holder}; "
                f"strategy {strategy} refuses to start another"
            )
            return Rejected(code=RejectionCode.WORKFLOW_EXISTS, reason=reason)
        if verdict is Verdict.SUCCEED:
            named = generation_of(holder)
            generation = 1 if named is None else named[1] + 1
            holder = self._newest[first] = successor_workflow_id(first, generation, 0)
        return holder
