"""What a caller may do, and to which workflows and tasks.

Holds the needs that routes declare, the roles that grant them, and name patterns. Must not know requests. Keeps the
invariant that a role grants what its line here says and nothing else.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec


class Need(StrEnum):
    """What a route asks of its caller."""

    NOTHING = "NOTHING"
    """Anybody may call it: health, version, the exchange of a key for a token."""
    KNOWN = "KNOWN"
    """Any credential will do."""
    READ = "READ"
    """See workflows, tasks, definitions and queues."""
    WORK = "WORK"
    """Take tasks and report on them."""
    OPERATE = "OPERATE"
    """Start workflows and act on them."""
    AUTHOR = "AUTHOR"
    """Change definitions, schedules and event handlers."""
    ADMINISTER = "ADMINISTER"
    """Change secrets and the environment, see the innards of the server."""


class Role(StrEnum):
    """What a caller is."""

    WORKER = "worker"
    READER = "reader"
    OPERATOR = "operator"
    AUTHOR = "author"
    ADMIN = "admin"


GRANTED: Final[Mapping[Role, frozenset[Need]]] = {
    Role.WORKER: frozenset({Need.WORK}),
    Role.READER: frozenset({Need.READ}),
    Role.OPERATOR: frozenset({Need.READ, Need.OPERATE}),
    Role.AUTHOR: frozenset({Need.READ, Need.OPERATE, Need.AUTHOR}),
    Role.ADMIN: frozenset({Need.READ, Need.WORK, Need.OPERATE, Need.AUTHOR, Need.ADMINISTER}),
}
ANY_NAME: Final = ("*",)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls. `workflows` and `task_types` are names, or beginnings of names with `*` behind.

    `subject` is what records say did it: the name of a key, or the subject of a foreign token.
    """

    subject: str
    roles: tuple[Role, ...]
    workflows: tuple[str, ...] = ANY_NAME
    task_types: tuple[str, ...] = ANY_NAME

    def may(self, need: Need) -> bool:
        """Tell whether one of the roles grants what a route needs."""
        if need in (Need.NOTHING, Need.KNOWN):
            return True
        return any(need in GRANTED[role] for role in self.roles)

    @property
    def sees_all_workflows(self) -> bool:
        """Whether workflows of every name are within its limits."""
        return "*" in self.workflows

    @property
    def sees_all_tasks(self) -> bool:
        """Whether tasks of every type are within its limits."""
        return "*" in self.task_types

    def may_see_workflow(self, name: str) -> bool:
        """Tell whether workflows of a name are within its limits."""
        return _matches(name, self.workflows)

    def may_see_task(self, task_type: str) -> bool:
        """Tell whether tasks of a type are within its limits."""
        return _matches(task_type, self.task_types)


EVERYBODY: Final = Principal(subject="", roles=(Role.ADMIN,))
"""Who calls a server that asks for no credentials."""
NOBODY: Final = Principal(subject="", roles=())
"""Who calls with no credential, where one is asked for."""


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)
