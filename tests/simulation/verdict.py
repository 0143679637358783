"""The verdict: what must hold when a seed has come to its end.

Holds the checks that need the whole run. Must not change anything. Keeps the invariants of the end:

    I1  every acknowledged start exists and has ended
    I2  every command of the log was decided, once; every answered request is in it
    I4  what COMPLETED did all that its definition asks for, and no parent waits for an ended child
    I5  live state == fold of the whole log == newest snapshot + the log behind it
    I6  every outcome was published
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from engine.definitions import WorkflowTask
from engine.graph import Graphs
from engine.ids import RefName, WorkflowId
from engine.model import EndedTask, WorkflowState
from engine.status import TASK_SUCCESSFUL, TaskStatus, WorkflowStatus
from streams.partition.machine import PartitionMachine
from streams.topics import COMMANDS, EVENTS, OUTCOMES
from tests.simulation.outgoing import Outcome
from tests.simulation.snapshots import restore_newest
from tests.simulation.violation import Violation

if TYPE_CHECKING:  # the world is what is judged
    from tests.simulation.world import World


def give(world: "World") -> None:
    """Judge a finished world.

    Raises:
        Violation: something that should hold does not.
    """
    states = {state.workflow_id: state for state in world.audit.states()}
    _check_starts(world, states)
    for partition in range(world.faults.partitions):
        _check_commands(world, partition)
        _check_machines(world, partition)
        _check_outcomes(world, partition)
    graphs = Graphs(world.library.shelf)
    for state in states.values():
        _check_children(state, states)
        if state.status is WorkflowStatus.COMPLETED and not _was_steered(state):
            _check_completed(state, graphs.of(state.started).definition.tasks)


def _check_starts(world: "World", states: dict[WorkflowId, WorkflowState]) -> None:
    for workflow_id, request_id in world.clients.acknowledged.items():
        state = states.get(workflow_id)
        if state is None or not state.is_terminal:
            raise Violation(f"I1: the start of {workflow_id} was acknowledged ({request_id}), but it is {state}")


def _check_commands(world: "World", partition: int) -> None:
    commands = world.topics.range(COMMANDS, partition)
    decided = [
        entry.record.command_offset for entry in world.audit.book(partition).entries if entry.record.command_offset >= 0
    ]
    if decided != list(range(commands.next)):
        missing = sorted(set(range(commands.next)) - set(decided))
        raise Violation(f"I2: of partition {partition} the commands {missing[:10]} were not decided")


def _check_machines(world: "World", partition: int) -> None:
    """Compare the owner's state, a replay of all, and what the newest snapshot leads to, with the audit's fold."""
    book = world.audit.book(partition)
    expected = dict(book.states)
    for process in world.processes:
        owner = process.owners.get(partition)
        if owner is not None and owner.machine is not None and owner.machine.chain.epoch == book.claims[-1]:
            world.audit.compare(owner.machine, expected)
    for from_snapshot in (False, True):
        machine = PartitionMachine(
            partition=partition,
            partitions=world.faults.partitions,
            definitions=world.library.shelf,
            noise=world.rng.random,
        )
        if from_snapshot:
            restore_newest(world.topics, partition, machine)
        begin = machine.chain.next_offset
        for record in world.topics.read_now(EVENTS, partition, from_offset=begin, records_max=1_000_000):
            machine.replay(record)
        world.audit.compare(machine, expected)


def _check_outcomes(world: "World", partition: int) -> None:
    published: dict[str, set[str]] = {}
    for record in world.topics.read_now(OUTCOMES, partition, from_offset=0, records_max=1_000_000):
        outcome = msgspec.json.decode(record.value or b"", type=Outcome)
        published.setdefault(outcome.workflow_id, set()).add(outcome.status)
    for workflow_id, state in world.audit.book(partition).states.items():
        if state.status not in published.get(workflow_id, ()):
            raise Violation(f"I6: {workflow_id} is {state.status}, published was {published.get(workflow_id)}")


def _check_children(state: WorkflowState, states: dict[WorkflowId, WorkflowState]) -> None:
    """A SUB_WORKFLOW task that was not cancelled ended as some run of its child did, and the child exists."""
    for task in state.tasks.values():
        child_id = task.progress.child_id
        if child_id is None or not isinstance(task, EndedTask) or task.status is not TaskStatus.COMPLETED:
            continue
        if child_id not in states and "subWorkflowId" in task.progress.output:
            raise Violation(f"I4: {task.spec.ref} of {state.workflow_id} COMPLETED without its child {child_id}")


def _was_steered(state: WorkflowState) -> bool:
    """Whether a TERMINATE task ended the workflow, or a person skipped something: then less was done, by right."""
    return any(
        task.spec.type == "TERMINATE"
        or (task.spec.type in {"SWITCH", "DECISION"} and "case" not in task.spec.input)  # a jump has chosen for it
        or (isinstance(task, EndedTask) and task.status is TaskStatus.SKIPPED)
        for task in state.tasks.values()
    )


def _check_completed(state: WorkflowState, tasks: Sequence[WorkflowTask], passes: str = "") -> None:
    """Walk the definition by hand: whatever lies on the way has ended well, or was allowed not to.

    Of a loop, the last pass is walked; `passes` is the suffix of names in it.
    """
    for task in tasks:
        found = state.task(RefName(task.task_reference_name + passes))
        if not isinstance(found, EndedTask) or not found.final or not _is_well(task, found):
            raise Violation(f"I4: {state.workflow_id} is COMPLETED, but {task.task_reference_name} is {found}")
        for branch in task.fork_tasks:
            _check_completed(state, branch, passes)
        if task.type in {"SWITCH", "DECISION"}:
            _check_completed(state, _taken(task, found), passes)
        if task.type == "DO_WHILE":
            _check_completed(state, task.loop_over, f"{passes}__{state.scopes[found.spec.ref].iteration}")


def _is_well(task: WorkflowTask, found: EndedTask) -> bool:
    return found.status in TASK_SUCCESSFUL or task.permissive


def _taken(task: WorkflowTask, found: EndedTask) -> tuple[WorkflowTask, ...]:
    case = found.spec.input["case"]
    branch = task.decision_cases.get(case)
    if task.type == "DECISION" and not branch:
        branch = None
    return task.default_case if branch is None else branch
