"""The branches of a dynamic fork: which tasks its input asks for.

Holds the three ways in which an input may say so. Must not look at a state. Keeps the invariant that a branch is a
function of the fork's definition and recorded input alone, found without looking at its siblings: nobody has to keep
what no definition holds.

The ways, in the order in which they are tried: `forkTaskInputs`, one branch of the same kind per element; a list of
tasks and a map of their inputs; Conductor's first, one object with the list of `dynamicTasks`.

Source: Conductor's `ForkJoinDynamicTaskMapper`, `DynamicForkJoinTaskList`.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from engine.definitions import SubWorkflowParams, WorkflowTask
from engine.ids import RefName
from engine.json_value import JsonObject, JsonValue

INPUTS: Final = "forkTaskInputs"
FORKED: Final = "forkedTasks"
"""The input key under which a dynamic fork records the names of its branches."""


class BranchesInvalid(ValueError):
    """The input of a dynamic fork does not say what its branches are. The message says where and why."""


class _Listed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the `dynamicTasks` of Conductor's first way."""

    task_name: str
    reference_name: RefName
    workflow_name: str | None = None
    input: JsonObject = {}
    type: str = "SIMPLE"


def branches(fork: WorkflowTask, given: JsonObject, prefix: str = "") -> tuple[WorkflowTask, ...]:
    """Return the branches that an input asks for; `prefix` is put before names that are made here.

    Raises:
        BranchesInvalid: it does not say what they are.
    """
    elements = _elements(fork, given)
    named = {**given, FORKED: [_made_name(given, prefix, number) for number in range(len(elements))]}
    return tuple(_task(fork, named, elements[number], number) for number in range(len(elements)))


def branch(fork: WorkflowTask, recorded: JsonObject, number: int) -> WorkflowTask:
    """Return one branch of a fork whose input has been recorded, with the names of all branches in it."""
    return _task(fork, recorded, _elements(fork, recorded)[number], number)


def _elements(fork: WorkflowTask, given: JsonObject) -> list[JsonValue]:
    if given.get(INPUTS) is not None:
        return _list(INPUTS, given[INPUTS])
    parameter = fork.dynamic_fork_tasks_param
    if parameter:
        inputs = given.get(fork.dynamic_fork_tasks_input_param_name or "")
        if not isinstance(inputs, dict):
            raise BranchesInvalid(
                f"input {fork.dynamic_fork_tasks_input_param_name!r} should map reference names to inputs and is "
                f"{_shown(inputs)}"
            )
        return _list(parameter, given.get(parameter))
    parameter = fork.dynamic_fork_join_tasks_param or ""
    listed = given.get(parameter)
    if not isinstance(listed, dict):
        raise BranchesInvalid(f"input {parameter!r} should be an object with dynamicTasks and is {_shown(listed)}")
    return _list(f"{parameter}.dynamicTasks", listed.get("dynamicTasks"))


def _list(name: str, value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise BranchesInvalid(f"input {name!r} should be a list and is {_shown(value)}")
    return value


def _task(fork: WorkflowTask, given: JsonObject, element: JsonValue, number: int) -> WorkflowTask:
    if given.get(INPUTS) is not None:
        return _one_of_a_kind(fork, given, element, number)
    try:
        if not fork.dynamic_fork_tasks_param:
            return _from_listed(msgspec.convert(element, _Listed, strict=False))
        task = msgspec.convert(element, WorkflowTask, strict=False)
    except msgspec.ValidationError as error:
        raise BranchesInvalid(f"branch {number} should be a task: {error}") from error
    inputs = given[fork.dynamic_fork_tasks_input_param_name or ""].get(task.task_reference_name)
    if not isinstance(inputs, dict):
        return task
    return replace(task, input_parameters={**task.input_parameters, **inputs})


def _from_listed(listed: _Listed) -> WorkflowTask:
    child = None if listed.workflow_name is None else SubWorkflowParams(name=listed.workflow_name)
    return WorkflowTask(
        name=listed.task_name,
        task_reference_name=listed.reference_name,
        type="SUB_WORKFLOW" if child is not None else listed.type,
        input_parameters=listed.input,
        sub_workflow_param=child,
    )


def _one_of_a_kind(fork: WorkflowTask, given: JsonObject, element: JsonValue, number: int) -> WorkflowTask:
    workflow = given.get("forkTaskWorkflow")
    child = None
    if workflow:
        version = given.get("forkTaskWorkflowVersion")
        child = SubWorkflowParams(name=str(workflow), version=_version(version))
    inputs = element if isinstance(element, dict) else {"input": element}
    return WorkflowTask(
        name=_kind(given),
        task_reference_name=given[FORKED][number],
        type="SUB_WORKFLOW" if child is not None else str(given.get("forkTaskType") or "SIMPLE"),
        input_parameters={**inputs, "__index": number},
        sub_workflow_param=child,
        optional=fork.optional,
    )


def _made_name(given: JsonObject, prefix: str, number: int) -> RefName:
    return RefName(f"_{prefix}{_kind(given)}_{number}") if given.get(INPUTS) is not None else RefName("")


def _kind(given: JsonObject) -> str:
    kind = given.get("forkTaskName") or given.get("forkTaskWorkflow") or given.get("forkTaskType")
    if not isinstance(kind, str):
        raise BranchesInvalid(
            f"{INPUTS} needs forkTaskName, forkTaskType or forkTaskWorkflow beside it, a text, and has {_shown(kind)}"
        )
    return kind


def _version(value: JsonValue) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BranchesInvalid(f"forkTaskWorkflowVersion should be a number and is {_shown(value)}") from None


def _shown(value: JsonValue) -> str:
    return repr(value)[:100]
