"""The input that an attempt gets.

Holds the resolution of a task's `inputParameters` over the workflow's state, with the task definition's template
underneath. Must not store secrets. Keeps the invariant that an input is computed once, when the attempt is scheduled,
and recorded.

Source: Conductor's `ParametersUtils.getTaskInputV2`.
"""

from engine.definitions import TaskDef, WorkflowTask
from engine.draft import Draft
from engine.expressions.references import resolve
from engine.json_value import JsonObject
from engine.lookup import StateLookup


def task_input(draft: Draft, task: WorkflowTask, definition: TaskDef | None) -> JsonObject:
    """Return the input of the attempt that is scheduled next. Missing and null keys come from the `inputTemplate`.

    An input that somebody gave the task in place of its own is taken as it is.
    """
    if draft.given is not None:
        return draft.given
    resolved: JsonObject = {}
    if task.input_parameters:
        resolved = resolve(task.input_parameters, StateLookup(draft.state, draft.next_seq()))
    if definition is not None and definition.input_template:
        return with_template(resolved, definition.input_template)
    return resolved


def with_template(given: JsonObject, template: JsonObject) -> JsonObject:
    """Return `given` with the keys that are missing or null taken from `template`."""
    if not template:
        return given
    return {
        **template,
        **{key: value for key, value in given.items() if value is not None or key not in template},
    }
