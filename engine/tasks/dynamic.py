"""DYNAMIC: its input says which task it is.

`dynamicTaskNameParam` names the input key that holds the name of a worker's task, or of a built-in type.
Source: Conductor's `DynamicTaskMapper`.
"""

from typing import Final

from msgspec.structs import replace

from engine.draft import Attempt, Draft
from engine.ending import end_workflow
from engine.graph import Node
from engine.ids import DefinitionHash
from engine.inputs import task_input
from engine.status import WorkflowStatus
from engine.tasks import (
    event,
    http,
    human,
    inline,
    json_jq_transform,
    kafka_publish,
    lambda_,
    noop,
    pull_workflow_messages,
    set_variable,
    start_workflow,
    sub_workflow,
    wait,
)
from engine.tasks.simple import schedule_worker_task

BUILT_IN: Final = {
    "EVENT": event.schedule,
    "HTTP": http.schedule,
    "HUMAN": human.schedule,
    "INLINE": inline.schedule,
    "JSON_JQ_TRANSFORM": json_jq_transform.schedule,
    "KAFKA_PUBLISH": kafka_publish.schedule,
    "LAMBDA": lambda_.schedule,
    "NOOP": noop.schedule,
    "PULL_WORKFLOW_MESSAGES": pull_workflow_messages.schedule,
    "SET_VARIABLE": set_variable.schedule,
    "START_WORKFLOW": start_workflow.schedule,
    "SUB_WORKFLOW": sub_workflow.schedule,
    "WAIT": wait.schedule,
    "YIELD": wait.schedule,
}
"""The built-in types that need nothing but an input."""

NEEDS_A_PLACE: Final = frozenset(
    {
        "DECISION",
        "DO_WHILE",
        "DYNAMIC",
        "EXCLUSIVE_JOIN",
        "FORK_JOIN",
        "FORK_JOIN_DYNAMIC",
        "JOIN",
        "SIMPLE",
        "SWITCH",
        "TERMINATE",
    }
)
"""The other types of the registry: what they lead to stands in the definition."""


def schedule(draft: Draft, node: Node, attempt: Attempt) -> None:
    """Schedule whatever the input names. Anything else ends the workflow: nothing sensible can follow."""
    parameter = node.task.dynamic_task_name_param or ""
    name = task_input(draft, node.task, None).get(parameter)
    if not isinstance(name, str) or not name or name in NEEDS_A_PLACE:
        reason = (
            f"Cannot map a dynamic task: input {parameter!r} of {node.ref} should name a worker's task or one of "
            f"{', '.join(BUILT_IN)} and is {name!r}"
        )
        end_workflow(draft, WorkflowStatus.FAILED, reason)
        return
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        built_in(draft, replace(node, task=replace(node.task, type=name)), attempt)
        return
    found = draft.context.definitions.find_task(name)
    schedule_worker_task(
        draft,
        node,
        attempt,
        name=name,
        definition=None if found is None else found[1],
        dynamic_definition_hash=DefinitionHash("") if found is None else found[0],
    )
