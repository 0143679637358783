"""The rules of `${…}` in workflow definitions.

Holds the check of every expression of a definition. Must not evaluate. Keeps the invariant that an expression
which passes is readable and begins with something that exists.
"""

from collections.abc import Container, Iterator
from typing import Final

from engine.expressions.references import Expression, InvalidReference, Reference, expressions_of
from engine.json_value import JsonValue
from engine.validation.violations import Violation, member

JSON_DEPTH_MAX: Final = 100
"""Of objects and lists in one another in a template: resolving follows them recursively."""
_NOT_SERVED: Final = frozenset({"env", "secrets"})


def template_violations(path: str, template: JsonValue, refs: Container[str]) -> Iterator[Violation]:
    """Yield what is wrong with the expressions anywhere in a template; `refs` are the names of all tasks."""
    waiting: list[tuple[str, JsonValue, int]] = [(path, template, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        if depth > JSON_DEPTH_MAX:
            yield Violation(path=where, message=f"values may be nested {JSON_DEPTH_MAX} deep, this is deeper")
        elif isinstance(value, str):
            for expression in expressions_of(value):
                problem = _problem(expression, refs)
                if problem:
                    yield Violation(path=where, message=problem, invalid_value=expression.source)
        elif isinstance(value, dict):
            items = [(member(where, str(key)), inner, depth + 1) for key, inner in value.items()]
            waiting.extend(reversed(items))
        elif isinstance(value, list | tuple):
            items = [(f"{where}[{position}]", inner, depth + 1) for position, inner in enumerate(value)]
            waiting.extend(reversed(items))


def _problem(expression: Expression, refs: Container[str]) -> str:
    if isinstance(expression, InvalidReference):
        return expression.problem
    if not isinstance(expression, Reference):
        return ""
    root, steps = expression.path.root, expression.path.steps
    if root == "workflow":
        if steps and steps[0] in _NOT_SERVED:
            return f"${{workflow.{steps[0]}.…}} is not served yet; give the value as workflow input"
        return ""
    if root in refs:
        return ""
    return (
        f"an expression begins with 'workflow' or the reference name of a task of this workflow, found {root!r}; "
        f"write $${{…}} for literal text"
    )
