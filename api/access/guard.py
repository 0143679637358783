"""Whether the caller of a request may touch what it names.

Holds the checks that handlers make once they know a workflow's name or a task's type. Must not look anything up. Keeps
the invariant that a caller without limits pays nothing.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from api.access.errors import Forbidden
from api.access.permissions import EVERYBODY, Principal

_ESCAPED: Final = frozenset("'\\*")
"""In a quoted text of the query language."""

PRINCIPAL: Final = web.RequestKey("principal", Principal)


def principal_of(request: web.Request) -> Principal:
    """Return who calls."""
    principal: Principal = request.get(PRINCIPAL, EVERYBODY)
    return principal


def check_workflow(request: web.Request, name: str) -> None:
    """Let the caller through to workflows, or to the definition, of a name.

    Raises:
        Forbidden: they are beyond its limits.
    """
    principal = principal_of(request)
    if not principal.may_see_workflow(name):
        message = f"{principal.subject} is limited to workflows named {' or '.join(principal.workflows)}"
        raise Forbidden(message)


def workflows_within_limits(request: web.Request, query: str) -> str:
    """Return a search for workflows that finds only those within the caller's limits."""
    principal = principal_of(request)
    return _limited(query, _clause("workflowType", principal.workflows))


def tasks_within_limits(request: web.Request, query: str) -> str:
    """Return a search for tasks that finds only those within the caller's limits, of both kinds."""
    principal = principal_of(request)
    of_workflows = _limited(query, _clause("workflowType", principal.workflows))
    return _limited(of_workflows, _clause("taskDefName", principal.task_types))


def check_task(request: web.Request, task_type: str) -> None:
    """Let the caller through to tasks of a type.

    Raises:
        Forbidden: they are beyond its limits.
    """
    principal = principal_of(request)
    if not principal.may_see_task(task_type):
        message = f"{principal.subject} is limited to tasks of type {' or '.join(principal.task_types)}"
        raise Forbidden(message)


def _limited(query: str, limit: str) -> str:
    return f"({query}) AND {limit}" if query and limit else query or limit


def _clause(field: str, patterns: Sequence[str]) -> str:
    """Return the condition that a field has one of these names, "" if all names are meant."""
    if "*" in patterns:
        return ""
    return f"({' OR '.join(_condition(field, pattern) for pattern in patterns)})"


def _condition(field: str, pattern: str) -> str:
    name = pattern.removesuffix("*")
    literal = "".join(f"\\{character}" if character in _ESCAPED else character for character in name)
    return f"{field} STARTS_WITH '{literal}'" if pattern.endswith("*") else f"{field} = '{literal}'"
