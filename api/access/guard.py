"""Whether the caller of a request may touch what it names.

Holds the checks that handlers make once they know a workflow's name or a task's type. Must not look anything up. Keeps
the invariant that a caller without limits pays nothing.
"""

from typing import Final

from aiohttp import web

from api.access.errors import Forbidden
from api.access.permissions import EVERYBODY, Principal

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


def within_limits(request: web.Request, query: str) -> str:
    """Return a search for workflows that finds only those within the caller's limits."""
    principal = principal_of(request)
    if principal.sees_all_workflows:
        return query
    names = [_clause(pattern) for pattern in principal.workflows]
    limit = f"({' OR '.join(names)})"
    return f"({query}) AND {limit}" if query else limit


def check_task(request: web.Request, task_type: str) -> None:
    """Let the caller through to tasks of a type.

    Raises:
        Forbidden: they are beyond its limits.
    """
    principal = principal_of(request)
    if not principal.may_see_task(task_type):
        message = f"{principal.subject} is limited to tasks of type {' or '.join(principal.task_types)}"
        raise Forbidden(message)


def _clause(pattern: str) -> str:
    literal = "".join(rf"\{character}" if character in "'\\*" else character for character in pattern.removesuffix("*"))
    return f"workflowType STARTS_WITH '{literal}'" if pattern.endswith("*") else f"workflowType = '{literal}'"
