"""The rules of `${…}` in workflow definitions.

Holds the check of every expression of a definition. Must not evaluate. Keeps the invariant that an expression
which passes is readable and begins with something that exists.
"""

from collections.abc import Container, Iterator
from typing import Final

from engine.expressions.queries import first_names
from engine.expressions.references import (
    DeferredReference,
    Expression,
    InvalidReference,
    NestedReference,
    QueryReference,
    Reference,
    expressions_of,
)
from engine.json_value import JsonObject, JsonValue
from engine.lookup import OWN_TASK_ID
from engine.scripts import EXPRESSION, QUERY_EXPRESSION, SCRIPT_EXPRESSION
from engine.validation.violations import Violation, member

JSON_DEPTH_MAX: Final = 100
"""Of objects and lists in one another in a template: resolving follows them recursively."""
HANDED_OUT: Final = frozenset({"DYNAMIC", "HTTP", "INLINE", "JSON_JQ_TRANSFORM", "LAMBDA", "SIMPLE"})
"""The built-in types whose input leaves the engine: only there may a secret be named, and in any worker's task."""
_SOURCES: Final = {"INLINE": EXPRESSION, "JSON_JQ_TRANSFORM": QUERY_EXPRESSION, "LAMBDA": SCRIPT_EXPRESSION}
"""Where the source of a script stands: it is taken as it is written."""
_ELSEWHERE: Final = (
    "only the input of a task that is handed out (a worker's task, HTTP, INLINE, LAMBDA, JSON_JQ_TRANSFORM) may name "
    "a secret or the environment"
)


class References:
    """What the expressions of one template may name: `refs` are the names of all tasks.

    `may_defer`: also secrets and the environment. `own_task`: also the id of the task that the template is for.
    """

    def __init__(self, refs: Container[str], *, may_defer: bool = False, own_task: bool = False) -> None:
        self._refs = refs
        self._may_defer = may_defer
        self._own_task = own_task

    def problem(self, expression: Expression) -> str:
        """Return what is wrong with an expression, "" if nothing is."""
        match expression:
            case InvalidReference():
                return expression.problem
            case Reference():
                return self._root_problem(expression.path.root)
            case QueryReference():
                problems = (self._root_problem(names[0]) for names in first_names(expression.query) if names)
                return next(filter(None, problems), "")
            case DeferredReference():
                return "" if self._may_defer else f"{expression.source} cannot stand here: {_ELSEWHERE}"
            case NestedReference():
                if any(isinstance(part, DeferredReference) for part in expression.parts):
                    return "a secret or the environment cannot be part of a path"
                begins = expression.parts[0] if isinstance(expression.parts[0], str) else ""
                if begins.strip().removeprefix("$.").startswith(("workflow.secrets", "workflow.env")):
                    return "the name of a secret or of the environment has to be written out"
                return ""
            case _:
                return ""

    def _root_problem(self, root: str) -> str:
        if root == "workflow" or root in self._refs or (self._own_task and root == OWN_TASK_ID):
            return ""
        return (
            f"an expression begins with 'workflow' or the reference name of a task of this workflow, found {root!r}; "
            f"write $${{…}} for literal text"
        )


def template_violations(path: str, template: JsonValue, references: References) -> Iterator[Violation]:
    """Yield what is wrong with the expressions anywhere in a template."""
    waiting: list[tuple[str, JsonValue, int]] = [(path, template, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        if depth > JSON_DEPTH_MAX:
            yield Violation(path=where, message=f"values may be nested {JSON_DEPTH_MAX} deep, this is deeper")
        elif isinstance(value, str):
            for expression in expressions_of(value):
                problem = references.problem(expression)
                if problem:
                    yield Violation(path=where, message=problem, invalid_value=expression.source)
        elif isinstance(value, dict):
            items = [(member(where, str(key)), inner, depth + 1) for key, inner in value.items()]
            waiting.extend(reversed(items))
        elif isinstance(value, list | tuple):
            items = [(f"{where}[{position}]", inner, depth + 1) for position, inner in enumerate(value)]
            waiting.extend(reversed(items))


def source_violations(path: str, task_type: str, inputs: JsonObject) -> Iterator[Violation]:
    """Yield a violation if the source of a script names a secret: it is a program, and no place for a value."""
    key = _SOURCES.get(task_type)
    if key is None:
        return
    for expression in expressions_of(inputs.get(key)):
        if isinstance(expression, DeferredReference):
            message = f"give {expression.source} as an input of its own, and name that in the script"
            yield Violation(path=member(path, key), message=message, invalid_value=expression.source)
