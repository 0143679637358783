"""What open workflows and tasks wait for, as a field of their JSON.

Holds the rendering. Must not find reasons: `engine.waiting` does. Keeps the invariant that clients which know nothing
of the field are not disturbed: it is one object under a name that Conductor does not use, and only where something
waits.
"""

import msgspec

from engine.graph import Graph
from engine.json_value import JsonObject
from engine.model import EndedTask, WorkflowState
from engine.waiting import LastPoll, WaitReason, task_waits_for, workflow_waits_for

FIELD = "waitingFor"


def add_waits(wire: JsonObject, state: WorkflowState, graph: Graph, *, now_ms: int, last_poll: LastPoll) -> None:
    """Add to a rendered workflow, and to each of its tasks that is open, what it waits for."""
    reason = workflow_waits_for(state, graph, last_poll=last_poll)
    if reason is not None:
        wire[FIELD] = wait_json(reason, now_ms)
    for task_wire in wire["tasks"]:
        task = state.tasks[task_wire["seq"]]
        if not isinstance(task, EndedTask):
            task_wire[FIELD] = wait_json(task_waits_for(state, task, graph, last_poll=last_poll), now_ms)


def wait_json(reason: WaitReason, now_ms: int) -> JsonObject:
    """Return a reason as JSON: its kind, its fields, its sentence."""
    wire: JsonObject = msgspec.to_builtins(reason)
    wire["sentence"] = reason.sentence(now_ms)
    return wire
