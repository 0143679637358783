"""The rules of each task type.

Holds one function per type and the table of them. Must not look at a task's neighbours, save the one behind a
FORK, nor at expressions (see `engine.validation.references`). Keeps the invariant that a built-in type of
Conductor which is not served is refused by its name, never taken for a worker's task.

Source: conductor-common `WorkflowTaskTypeConstraint`.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from engine.durations import parse_duration_ms, parse_until_ms
from engine.expressions.references import has_expression
from engine.json_value import JsonValue
from engine.scripts import EXPRESSION, QUERY_EXPRESSION, SCRIPT_EXPRESSION
from engine.validation import messaging
from engine.validation.violations import Violation
from engine.validation.walk import Placed

Rule: TypeAlias = Callable[[Placed], Iterator[Violation]]

_NOT_SERVED_TYPES: Final = frozenset(
    {
        "AGENT",
        "AWS_LAMBDA",
        "BUSINESS_RULE",
        "CALL_MCP_TOOL",
        "CANCEL_AGENT",
        "CHUNK_TEXT",
        "FORK",
        "GENERATE_AUDIO",
        "GENERATE_IMAGE",
        "GENERATE_PDF",
        "GENERATE_VIDEO",
        "GET_AGENT_CARD",
        "GET_DOCUMENT",
        "GET_SIGNED_JWT",
        "GET_WORKFLOW",
        "GRPC",
        "HTTP_POLL",
        "JDBC",
        "LIST_FILES",
        "LIST_MCP_TOOLS",
        "LLM_CHAT_COMPLETE",
        "LLM_GENERATE_EMBEDDINGS",
        "LLM_GET_EMBEDDINGS",
        "LLM_INDEX_TEXT",
        "LLM_SEARCH_EMBEDDINGS",
        "LLM_SEARCH_INDEX",
        "LLM_STORE_EMBEDDINGS",
        "LLM_TEXT_COMPLETE",
        "OPS_GENIE",
        "PARSE_DOCUMENT",
        "QUERY_PROCESSOR",
        "SENDGRID",
        "UPDATE_SECRET",
        "UPDATE_TASK",
        "WAIT_FOR_WEBHOOK",
    }
)
"""Of Conductor and its commercial editions: taken for worker's tasks, they would wait for ever."""
_TERMINATION_STATUSES: Final = ("COMPLETED", "FAILED", "TERMINATED")
_SCRIPT_EVALUATORS: Final = frozenset({"javascript", "graaljs"})
_IDEMPOTENCY_STRATEGIES: Final = frozenset({"FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING"})
_PRIORITY_MAX: Final = 99


def type_violations(placed: Placed, known_task_types: frozenset[str]) -> Iterator[Violation]:
    """Yield what is wrong with a task as one of its type. A name that is no built-in type is a worker's task."""
    name = placed.task.type
    if not name.strip():
        yield Violation(path=f"{placed.path}.type", message="type should not be empty", invalid_value=name)
    elif name in BUILT_IN_TASK_TYPES and name not in known_task_types:
        served = ", ".join(sorted(known_task_types))
        message = f"the task type {name} is not served yet; served are {served} and the names of worker tasks"
        yield Violation(path=f"{placed.path}.type", message=message, invalid_value=name)
    elif name in _RULES:
        yield from _RULES[name](placed)


def _decision(placed: Placed) -> Iterator[Violation]:
    task = placed.task
    if not (task.case_value_param or "").strip() and not (task.case_expression or "").strip():
        yield _missing(placed, "caseValueParam", "a DECISION needs caseValueParam or caseExpression")
    if not task.decision_cases:
        yield _missing(placed, "decisionCases", "a DECISION needs at least one of decisionCases")


def _switch(placed: Placed) -> Iterator[Violation]:
    task = placed.task
    evaluator, expression = task.evaluator_type or "", task.expression or ""
    if evaluator != "value-param" and evaluator not in _SCRIPT_EVALUATORS:
        message = f"evaluatorType of a SWITCH should be value-param or javascript and is {task.evaluator_type!r}"
        yield Violation(path=f"{placed.path}.evaluatorType", message=message, invalid_value=task.evaluator_type)
    if not expression.strip():
        yield _missing(placed, "expression", "a SWITCH needs an expression")
    if not task.decision_cases:
        yield _missing(placed, "decisionCases", "a SWITCH needs at least one of decisionCases")


def _do_while(placed: Placed) -> Iterator[Violation]:
    task = placed.task
    if not task.loop_over:
        yield _missing(placed, "loopOver", "a DO_WHILE needs at least one task in loopOver")
    if not (task.loop_condition or "").strip() and task.items is None and "_items" not in task.input_parameters:
        yield _missing(placed, "loopCondition", "a DO_WHILE needs loopCondition, or items to go through")
    keep = task.input_parameters.get("keepLastN")
    if keep is not None and not has_expression(keep) and not _is_count(keep):
        message = f"keepLastN should be a number from 1 on and is {keep!r}"
        yield Violation(path=f"{placed.path}.inputParameters.keepLastN", message=message, invalid_value=keep)


def _exclusive_join(placed: Placed) -> Iterator[Violation]:
    if not placed.task.join_on and not placed.task.default_exclusive_join_task:
        yield _missing(placed, "joinOn", "an EXCLUSIVE_JOIN needs joinOn or defaultExclusiveJoinTask")


def _dynamic(placed: Placed) -> Iterator[Violation]:
    if not (placed.task.dynamic_task_name_param or "").strip():
        yield _missing(placed, "dynamicTaskNameParam", "a DYNAMIC task needs dynamicTaskNameParam")


def _fork_join(placed: Placed) -> Iterator[Violation]:
    if not placed.task.fork_tasks:
        yield _missing(placed, "forkTasks", "a FORK_JOIN needs at least one branch in forkTasks")
    for number, branch in enumerate(placed.task.fork_tasks):
        if not branch:
            message = "a branch of a FORK_JOIN needs at least one task"
            yield Violation(path=f"{placed.path}.forkTasks[{number}]", message=message)
    yield from _join_behind(placed)


def _fork_join_dynamic(placed: Placed) -> Iterator[Violation]:
    task = placed.task
    has_list = bool((task.dynamic_fork_tasks_param or "").strip())
    if has_list and not (task.dynamic_fork_tasks_input_param_name or "").strip():
        message = "dynamicForkTasksParam needs dynamicForkTasksInputParamName beside it"
        yield _missing(placed, "dynamicForkTasksInputParamName", message)
    elif not has_list and not task.dynamic_fork_join_tasks_param and "forkTaskInputs" not in task.input_parameters:
        message = (
            "a FORK_JOIN_DYNAMIC needs dynamicForkTasksParam, dynamicForkJoinTasksParam, or forkTaskInputs in its "
            "inputParameters"
        )
        yield _missing(placed, "dynamicForkTasksParam", message)
    yield from _join_behind(placed)


def _join_behind(placed: Placed) -> Iterator[Violation]:
    following = placed.following
    if following is None or following.type != "JOIN":
        found = "nothing" if following is None else f"{following.type} {following.task_reference_name!r}"
        message = f"a {placed.task.type} should be followed by a JOIN and is followed by {found}"
        yield Violation(path=placed.path, message=message, invalid_value=placed.task.task_reference_name)


def _http(placed: Placed) -> Iterator[Violation]:
    inputs = dict(placed.task.input_parameters)
    if placed.task.task_definition is not None:
        inputs = {**placed.task.task_definition.input_template, **inputs}
    if not any(inputs.get(key) for key in ("http_request", "uri", "method")):
        message = "an HTTP task needs http_request, or uri and method, in its inputParameters"
        yield _missing(placed, "inputParameters.http_request", message)


def _inline(placed: Placed) -> Iterator[Violation]:
    evaluator = placed.task.input_parameters.get("evaluatorType")
    known = _SCRIPT_EVALUATORS | {"value-param"}
    if evaluator is not None and not has_expression(evaluator) and evaluator not in known:
        message = f"evaluatorType of an INLINE should be javascript or value-param and is {evaluator!r}"
        yield Violation(path=f"{placed.path}.inputParameters.evaluatorType", message=message, invalid_value=evaluator)
    yield from _source(placed, EXPRESSION)


def _lambda(placed: Placed) -> Iterator[Violation]:
    yield from _source(placed, SCRIPT_EXPRESSION)


def _json_jq_transform(placed: Placed) -> Iterator[Violation]:
    yield from _source(placed, QUERY_EXPRESSION)


def _source(placed: Placed, key: str) -> Iterator[Violation]:
    source = placed.task.input_parameters.get(key)
    if not isinstance(source, str) or not source.strip():
        message = f"{_article(placed.task.type)} {placed.task.type} needs {key}, a text, in its inputParameters"
        yield _missing(placed, f"inputParameters.{key}", message)


def _article(word: str) -> str:
    return "an" if word[0] in "AEIO" else "a"


def _start_workflow(placed: Placed) -> Iterator[Violation]:
    request = placed.task.input_parameters.get("startWorkflow")
    path = "inputParameters.startWorkflow"
    if not isinstance(request, dict) and not has_expression(request):
        yield _missing(placed, path, "a START_WORKFLOW needs startWorkflow, a start request")
    elif isinstance(request, dict) and not request.get("name"):
        yield _missing(placed, f"{path}.name", "startWorkflow needs the name of a workflow")


def _sub_workflow(placed: Placed) -> Iterator[Violation]:
    parameters = placed.task.sub_workflow_param
    path = f"{placed.path}.subWorkflowParam"
    if parameters is None:
        yield _missing(placed, "subWorkflowParam", "a SUB_WORKFLOW needs subWorkflowParam")
        return
    definition = parameters.workflow_definition
    if definition is None and not parameters.name.strip():
        message = "subWorkflowParam needs the name of a workflow, or a workflowDefinition"
        yield Violation(path=f"{path}.name", message=message, invalid_value=parameters.name)
    if isinstance(definition, str) and not has_expression(definition):
        message = "workflowDefinition should be a definition, or an expression such as ${workflow.input.definition}"
        yield Violation(path=f"{path}.workflowDefinition", message=message, invalid_value=definition)
    strategy = parameters.idempotency_strategy
    if strategy is not None and strategy not in _IDEMPOTENCY_STRATEGIES:
        message = f"idempotencyStrategy should be one of {sorted(_IDEMPOTENCY_STRATEGIES)} and is {strategy!r}"
        yield Violation(path=f"{path}.idempotencyStrategy", message=message, invalid_value=strategy)
    if not _is_priority(parameters.priority):
        message = f"priority should be 0 to {_PRIORITY_MAX} or an expression and is {parameters.priority!r}"
        yield Violation(path=f"{path}.priority", message=message, invalid_value=parameters.priority)


def _terminate(placed: Placed) -> Iterator[Violation]:
    status = placed.task.input_parameters.get("terminationStatus")
    if status not in _TERMINATION_STATUSES:
        expected = ", ".join(_TERMINATION_STATUSES)
        message = f"terminationStatus should be one of {expected}, literally, and is {status!r}"
        yield Violation(path=f"{placed.path}.inputParameters.terminationStatus", message=message, invalid_value=status)
    if placed.task.optional:
        message = "a TERMINATE task cannot be optional"
        yield Violation(path=f"{placed.path}.optional", message=message, invalid_value=True)


def _wait(placed: Placed) -> Iterator[Violation]:
    inputs = placed.task.input_parameters
    duration, until = inputs.get("duration"), inputs.get("until")
    if duration and until:
        message = "a WAIT takes duration or until, not both"
        yield Violation(path=f"{placed.path}.inputParameters", message=message, invalid_value=until)
    for key, value, parse in (("duration", duration, parse_duration_ms), ("until", until, parse_until_ms)):
        if not value or has_expression(value):
            continue
        try:
            parse(str(value))
        except ValueError as error:
            yield Violation(path=f"{placed.path}.inputParameters.{key}", message=str(error), invalid_value=value)


def _missing(placed: Placed, key: str, message: str) -> Violation:
    return Violation(path=f"{placed.path}.{key}", message=message)


def _is_count(value: JsonValue) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and int(value[:9]) > 0
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_priority(value: JsonValue) -> bool:
    if value is None or (isinstance(value, str) and has_expression(value)):
        return True
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _PRIORITY_MAX


def _nothing(placed: Placed) -> Iterator[Violation]:
    yield from ()


_RULES: Final[dict[str, Rule]] = {
    "DECISION": _decision,
    "DO_WHILE": _do_while,
    "DYNAMIC": _dynamic,
    "EVENT": messaging.event,
    "EXCLUSIVE_JOIN": _exclusive_join,
    "FORK_JOIN": _fork_join,
    "FORK_JOIN_DYNAMIC": _fork_join_dynamic,
    "HTTP": _http,
    "HUMAN": _nothing,
    "INLINE": _inline,
    "JOIN": _nothing,
    "JSON_JQ_TRANSFORM": _json_jq_transform,
    "KAFKA_PUBLISH": messaging.kafka_publish,
    "LAMBDA": _lambda,
    "NOOP": _nothing,
    "PULL_WORKFLOW_MESSAGES": messaging.pull_workflow_messages,
    "SET_VARIABLE": _nothing,
    "SIMPLE": _nothing,
    "START_WORKFLOW": _start_workflow,
    "SUB_WORKFLOW": _sub_workflow,
    "SWITCH": _switch,
    "TERMINATE": _terminate,
    "WAIT": _wait,
    "YIELD": _wait,
}

SERVED_TASK_TYPES: Final = frozenset(_RULES)
"""The built-in types that the engine does. `joinOn` of a JOIN is checked in `engine.validation.joins`."""
BUILT_IN_TASK_TYPES: Final = SERVED_TASK_TYPES | _NOT_SERVED_TYPES
"""All names that mean something in Conductor. USER_DEFINED is not among them: it is a worker's task."""
