"""The rules of workflow definitions.

Holds `validate_workflow`: names, reference names, what each task needs, and the definitions within the
definition. Must not look up other definitions: whether a sub-workflow exists is known only when it starts.
Keeps the invariant that a definition which passes can be compiled and walked.

Source: conductor-common `WorkflowDef`, `TaskReferenceNameUniqueConstraint`; stricter where Conductor fails at
run time.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from engine.caching import CACHEABLE, CacheConfig
from engine.definitions import WorkflowDef, WorkflowTask
from engine.ids import RefName
from engine.json_value import JsonObject, JsonValue
from engine.place import without_pass
from engine.validation.joins import join_violations
from engine.validation.messaging import state_changes, workflow_listener
from engine.validation.references import HANDED_OUT, References, source_violations, template_violations
from engine.validation.task_definition import validate_task
from engine.validation.task_types import BUILT_IN_TASK_TYPES, SERVED_TASK_TYPES, type_violations
from engine.validation.violations import Violation, member, minimum_violations, name_violations
from engine.validation.walk import Placed, loops_around, place


def validate_workflow(
    definition: WorkflowDef, *, known_task_types: frozenset[str] = SERVED_TASK_TYPES
) -> tuple[Violation, ...]:
    """Return every rule that a workflow definition breaks, in the order of the document.

    `known_task_types` are the built-in types that are served; a name that is no built-in type is a worker's
    task.
    """
    return tuple(_definition(definition, path="", depth=0, known_task_types=known_task_types))


def validate_branch(task: WorkflowTask) -> tuple[Violation, ...]:
    """Return the rules that a branch of a dynamic fork breaks as a task, its expressions left aside."""
    return tuple(_branch(task))


def _branch(task: WorkflowTask) -> Iterator[Violation]:
    found = Placed(index=0, task=task, path="task", depth=0, previous=None, container=None, following=None)
    yield from name_violations("task.name", task.name, of="the name of a task")
    yield from name_violations("task.taskReferenceName", task.task_reference_name, of="a reference name")
    yield from minimum_violations("task.startDelay", task.start_delay, 0, of="startDelay")
    yield from minimum_violations("task.retryCount", task.retry_count, 0, of="retryCount")
    yield from type_violations(found, SERVED_TASK_TYPES)
    yield from state_changes(task, "task")
    if task.task_definition is not None:
        yield from validate_task(task.task_definition, path="task.taskDefinition")
    yield from _embedded(found, SERVED_TASK_TYPES)


def _definition(
    definition: WorkflowDef, *, path: str, depth: int, known_task_types: frozenset[str]
) -> Iterator[Violation]:
    yield from name_violations(member(path, "name"), definition.name, of="the name of a workflow")
    yield from minimum_violations(member(path, "version"), definition.version, 1, of="version")
    seconds = definition.timeout_seconds
    yield from minimum_violations(member(path, "timeoutSeconds"), seconds, 0, of="timeoutSeconds")
    yield from workflow_listener(definition, path)
    tasks_path = member(path, "tasks")
    if not definition.tasks:
        yield Violation(path=tasks_path, message="a workflow needs at least one task")
    placed, too_deep = place(definition.tasks, path=tasks_path, depth=depth)
    yield from too_deep
    by_ref: dict[RefName, int] = {}
    for found in placed:
        by_ref.setdefault(found.task.task_reference_name, found.index)
    for found in placed:
        yield from _task(found, placed, by_ref, known_task_types)
    yield from join_violations(placed, by_ref)
    yield from _rate_limit_violations(definition.rate_limit_config, member(path, "rateLimitConfig"), by_ref)
    outputs = member(path, "outputParameters")
    yield from template_violations(outputs, definition.output_parameters, References(by_ref))


def _rate_limit_violations(config: JsonObject | None, path: str, by_ref: Mapping[RefName, int]) -> Iterator[Violation]:
    if config is None:
        return
    at_once = config.get("concurrentExecLimit", 0)
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 0:
        yield Violation(
            path=f"{path}.concurrentExecLimit",
            message=f"concurrentExecLimit should be a number from 0 and is {at_once!r}",
            invalid_value=at_once,
        )
    policy = config.get("policy")
    if policy not in {None, "QUEUE", "REJECT"}:
        message = f"policy should be QUEUE or REJECT and is {policy!r}"
        yield Violation(path=f"{path}.policy", message=message, invalid_value=policy)
    yield from template_violations(f"{path}.rateLimitKey", config.get("rateLimitKey"), References(by_ref))


def _task(
    found: Placed, placed: Sequence[Placed], by_ref: Mapping[RefName, int], known_task_types: frozenset[str]
) -> Iterator[Violation]:
    task, path = found.task, found.path
    ref, ref_path = task.task_reference_name, f"{path}.taskReferenceName"
    yield from name_violations(f"{path}.name", task.name, of="the name of a task")
    yield from name_violations(ref_path, ref, of="a reference name")
    first = by_ref[ref]
    if first != found.index:
        message = f"reference names are unique in a workflow; {ref!r} is also the one of {placed[first].path}"
        yield Violation(path=ref_path, message=message, invalid_value=ref)
    yield from _pass_violations(found, placed, by_ref)
    yield from minimum_violations(f"{path}.startDelay", task.start_delay, 0, of="startDelay")
    yield from minimum_violations(f"{path}.retryCount", task.retry_count, 0, of="retryCount")
    yield from type_violations(found, known_task_types)
    inputs = f"{path}.inputParameters"
    is_handed_out = task.type in HANDED_OUT or task.type not in BUILT_IN_TASK_TYPES
    references = References(by_ref, may_defer=is_handed_out, own_task=True)
    yield from template_violations(inputs, task.input_parameters, references)
    yield from source_violations(inputs, task.type, task.input_parameters)
    yield from state_changes(task, path)
    for key, template in _templates(task):
        yield from template_violations(f"{path}.{key}", template, References(by_ref))
    yield from _cache_violations(task, f"{path}.cacheConfig")
    if task.task_definition is not None:
        yield from validate_task(task.task_definition, path=f"{path}.taskDefinition")
    yield from _embedded(found, known_task_types)


def _cache_violations(task: WorkflowTask, path: str) -> Iterator[Violation]:
    if task.cache_config is None:
        return
    try:
        config = msgspec.convert(task.cache_config, CacheConfig, strict=False)
    except msgspec.ValidationError as error:
        yield Violation(path=path, message=f"cacheConfig should have key and ttlInSecond: {error}")
        return
    if not config.key:
        yield Violation(path=f"{path}.key", message="key should not be empty")
    yield from minimum_violations(f"{path}.ttlInSecond", config.ttl_in_second, 0, of="ttlInSecond")
    if task.type != "SIMPLE" and task.type not in CACHEABLE and task.type in BUILT_IN_TASK_TYPES:
        message = f"the output of a {task.type} cannot be kept; only that of workers' tasks and {sorted(CACHEABLE)}"
        yield Violation(path=path, message=message)


def _pass_violations(found: Placed, placed: Sequence[Placed], by_ref: Mapping[RefName, int]) -> Iterator[Violation]:
    """Yield a violation if a task has the very name under which another runs in a pass of a loop."""
    ref = found.task.task_reference_name
    depth = len(loops_around(found, placed))
    passes, stripped = 0, without_pass(ref)
    while stripped is not None:
        passes += 1
        other = by_ref.get(stripped[0])
        if other is not None and len(loops_around(placed[other], placed)) == depth + passes:
            message = f"{ref!r} is what {stripped[0]!r} is called in pass {stripped[1]} of its loop: choose another"
            yield Violation(path=f"{found.path}.taskReferenceName", message=message, invalid_value=ref)
        stripped = without_pass(stripped[0])


def _templates(task: WorkflowTask) -> Iterator[tuple[str, JsonValue]]:
    """Yield the parts of a task, besides its `inputParameters`, in which expressions are resolved."""
    if task.sink is not None:
        yield "sink", task.sink
    if task.on_state_change:
        yield "onStateChange", task.on_state_change
    if task.items is not None:
        yield "items", task.items
    parameters = task.sub_workflow_param
    if parameters is None:
        return
    yield "subWorkflowParam.name", parameters.name
    yield "subWorkflowParam.taskToDomain", parameters.task_to_domain
    yield "subWorkflowParam.priority", parameters.priority
    yield "subWorkflowParam.idempotencyKey", parameters.idempotency_key
    if isinstance(parameters.workflow_definition, str):
        yield "subWorkflowParam.workflowDefinition", parameters.workflow_definition


def _embedded(found: Placed, known_task_types: frozenset[str]) -> Iterator[Violation]:
    """Yield what is wrong with the definition that stands within a SUB_WORKFLOW; its expressions are its own."""
    parameters = found.task.sub_workflow_param
    if parameters is None or not isinstance(parameters.workflow_definition, dict):
        return
    path = f"{found.path}.subWorkflowParam.workflowDefinition"
    try:
        definition = msgspec.convert(parameters.workflow_definition, WorkflowDef, strict=False)
    except msgspec.ValidationError as error:
        yield Violation(path=path, message=str(error))
        return
    yield from _definition(definition, path=path, depth=found.depth + 1, known_task_types=known_task_types)
