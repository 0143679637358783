"""`decide`: what a command does to a workflow.

Holds the one table from command types to deciders. Must not do anything itself. Keeps the invariant that a decision
is a pure function of state, command and context: decided twice, it is the same twice.
"""

from collections.abc import Callable
from typing import Final, cast

from engine import commands
from engine.context import DecideContext
from engine.deciders import changes, children, messages, operations, reruns, results, slots, start, timers, upgrades
from engine.graph import Graphs
from engine.model import WorkflowState
from engine.rejections import Decision, Rejected, RejectionCode

Decider = Callable[[WorkflowState, commands.Command, DecideContext, Graphs], Decision]

DECIDERS: Final[dict[type, Decider]] = cast(
    "dict[type, Decider]",  # each decider takes its own command type; the key is what guarantees it
    {
        commands.ReportTaskResult: results.report_task_result,
        commands.ClaimTask: results.claim_task,
        commands.UpdateTaskByRef: results.update_task_by_ref,
        commands.PauseWorkflow: operations.pause_workflow,
        commands.ResumeWorkflow: operations.resume_workflow,
        commands.TerminateWorkflow: operations.terminate_workflow,
        commands.SkipTask: operations.skip_task,
        commands.SendMessage: messages.send_message,
        commands.RetryWorkflow: reruns.retry_workflow,
        commands.RestartWorkflow: reruns.restart_workflow,
        commands.RerunWorkflow: reruns.rerun_workflow,
        commands.JumpToTask: changes.jump_to_task,
        commands.UpdateVariables: changes.update_variables,
        commands.UpdateState: changes.update_state,
        commands.ResetCallbacks: changes.reset_callbacks,
        commands.RemoveWorkflow: changes.remove_workflow,
        commands.UpgradeWorkflow: upgrades.upgrade_workflow,
        commands.ReportChildEnd: children.report_child_end,
        commands.ReportChildStart: children.report_child_start,
        commands.ReviveTask: children.revive_task,
        commands.ResumeChild: children.resume_child,
        commands.EvaluateWorkflow: timers.evaluate_workflow,
        commands.FireTimer: timers.fire_timer,
        commands.AnswerSlot: slots.answer_slot,
    },
)


def decide(state: WorkflowState | None, command: commands.Command, context: DecideContext, graphs: Graphs) -> Decision:
    """Return what a command does to a workflow, or why it is refused.

    Commands to limiters have a decider of their own: `engine.limiter`.
    A `StartWorkflow` has been given its id before. `graphs` is a cache over `context.definitions`, nothing more.

    Rejects:
        WORKFLOW_NOT_FOUND: there is no such workflow and the command does not start one.
        …: see the decider of the command.
    """
    if isinstance(command, commands.StartWorkflow):
        return start.start_workflow(state, command, context, graphs)
    if state is None:
        workflow_id = commands.workflow_of(command)
        return Rejected(code=RejectionCode.WORKFLOW_NOT_FOUND, reason=f"No such workflow found by id: {workflow_id}")
    return DECIDERS[type(command)](state, command, context, graphs)
