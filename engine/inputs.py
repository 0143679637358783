"""The input that an attempt gets.

Holds the resolution of a task's `inputParameters` over the workflow's state, with the task definition's template
underneath. Must not know secrets: it says where they belong. Keeps the invariant that an input is computed once, when
the attempt is scheduled, and recorded.

Source: Conductor's `ParametersUtils.getTaskInputV2`.
"""

from engine.definitions import TaskDef, WorkflowTask
from engine.draft import Draft
from engine.expressions.references import deferrals_of, resolve
from engine.json_value import JsonObject
from engine.lookup import StateLookup


def task_input(draft: Draft, task: WorkflowTask, definition: TaskDef | None) -> JsonObject:
    """Return the input of the attempt that is scheduled next. Missing and null keys come from the `inputTemplate`.

    An input that somebody gave the task in place of its own is taken as it is. What the input leaves to whoever hands
    the task out is noted in the draft.

    Raises:
        ResolutionExceeded: its expressions are too much work.
    """
    draft.deferred = ()
    if draft.given is not None:
        return draft.given
    lookup = StateLookup(draft.state, draft.next_seq(), decision=draft.budget)
    resolved: JsonObject = {}
    if task.input_parameters:
        resolved = resolve(task.input_parameters, lookup)
    template: JsonObject = {} if definition is None else definition.input_template
    if template:
        resolved = with_template(resolved, resolve(template, lookup))
    if lookup.has_deferred:
        given = task.input_parameters
        chosen = {key: given[key] if _is_kept(key, given, template, lookup) else template[key] for key in resolved}
        draft.deferred = deferrals_of(chosen, lookup)
    return resolved


def _is_kept(key: str, given: JsonObject, template: JsonObject, lookup: StateLookup) -> bool:
    """Tell whether a key's value comes from the task itself."""
    return key in given and (key not in template or resolve(given[key], lookup) is not None)


def with_template(given: JsonObject, template: JsonObject) -> JsonObject:
    """Return `given` with the keys that are missing or null taken from `template`."""
    if not template:
        return given
    return {
        **template,
        **{key: value for key, value in given.items() if value is not None or key not in template},
    }
