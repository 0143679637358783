"""Offering tasks to the pollers of the process that owns them: no topic between.

Holds the desk of a node whose queues are in memory. Must not keep a task's content: it is rendered when handed out,
from the state as it is then. Keeps the invariant that a task which has ended or has been taken is not handed out.
"""

from collections.abc import Callable, Sequence

from engine.ids import TaskId, TaskSeq, WorkflowId, parse_task_id, task_id
from engine.json_value import JsonObject
from engine.model import OpenTask, PendingTask, WorkflowState
from engine.nodes import node_of
from streams.dispatch.queues import PollQueues, QueuedTask
from streams.partition.machine import PartitionMachine
from streams.references import DEFERRED_INPUT, deferred_json
from streams.task_wire import render_task


class LocalDesk:
    """The `TaskDesk` of a node that hands out its own tasks."""

    def __init__(self, queues: PollQueues, machine_of: Callable[[WorkflowId], PartitionMachine | None]) -> None:
        """`machine_of` finds the machine that decides for a workflow in this process."""
        self._queues = queues
        self._machine_of = machine_of

    def offer(self, tasks: Sequence[tuple[WorkflowState, OpenTask]]) -> None:
        """Queue tasks for this node's pollers."""
        for state, task in tasks:
            self._offer(state, task)

    def _offer(self, state: WorkflowState, task: OpenTask) -> None:
        spec = task.spec
        attempt = task_id(state.workflow_id, spec.seq)
        machine = self._machine_of(state.workflow_id)
        definition = None if machine is None else machine.task_definition(state, task)
        layout = None if definition is None else definition.queue
        self._queues.offer(
            QueuedTask(
                task_id=attempt,
                task_type=spec.type,
                domain=spec.domain,
                priority=state.started.priority,
                key=spec.queue_key,
                partitions=1 if layout is None else layout.partitions,
                render=lambda: self._render(attempt),
            )
        )

    def retract(self, task: TaskId) -> None:
        """Do not hand out a task that has ended."""
        self._queues.retract(task)

    def _render(self, attempt: TaskId) -> JsonObject | None:
        parsed = parse_task_id(attempt)
        if parsed is None:
            return None
        workflow_id, seq = parsed
        machine = self._machine_of(workflow_id)
        state = None if machine is None else machine.table.get(workflow_id)
        if machine is None or state is None or state.is_terminal:
            return None
        return rendered_pending(machine, state, seq)


def rendered_pending(machine: PartitionMachine, state: WorkflowState, seq: TaskSeq) -> JsonObject | None:
    """Return a task that may be handed out as Conductor's Task JSON, or None if it may not (any more).

    Its input still names its secrets: the queue that hands it out puts them in.
    """
    task = state.tasks.get(seq)
    if not isinstance(task, PendingTask) or task.due_at_ms:
        return None
    node = node_of(machine.graph(state), state, task.spec)
    rendered = render_task(state, task, node.task, machine.task_definition(state, task))
    if task.spec.deferred:
        rendered[DEFERRED_INPUT] = deferred_json(task.spec.deferred)
    return rendered
