"""What a decision may know besides the state and the command.

Holds the context and the port through which definitions come in. Must not load: all that a decision can need is there
before it is asked for. Keeps the invariant that the same state, command and context give the same decision.
"""

from typing import Final, Protocol

import msgspec

from engine.definitions import SchemaDef, TaskDef, WorkflowDef
from engine.ids import DefinitionHash
from engine.json_value import JsonObject
from engine.schemas import NoValidator, SchemaValidator


class DefinitionSource(Protocol):
    """The registered definitions, in memory. Look-ups by hash find every definition that was ever registered."""

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        """Return a registered workflow definition, the newest version if None is asked for."""
        ...

    def workflow_at(self, definition_hash: DefinitionHash) -> WorkflowDef | None:
        """Return the workflow definition with this content."""
        ...

    def find_task(self, name: str) -> tuple[DefinitionHash, TaskDef] | None:
        """Return the registered definition of a task."""
        ...

    def task_at(self, definition_hash: DefinitionHash) -> TaskDef | None:
        """Return the task definition with this content."""
        ...

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        """Return a registered schema, the newest version if None is asked for."""
        ...


class OutputCache(Protocol):
    """Outputs of tasks, kept for a while; see `engine.caching`."""

    def find(self, task_name: str, key: str, now_ms: int) -> JsonObject | None:
        """Return the output that is kept under this name and key at this instant, if there is one."""
        ...


class NoCache:
    """A cache that keeps nothing."""

    def find(self, task_name: str, key: str, now_ms: int) -> JsonObject | None:
        """Find nothing."""
        del task_name, key, now_ms
        return None


class EngineLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that keep one workflow from harming the others."""

    tasks_max: int = 100_000
    """Attempts in one run of one workflow."""
    depth_max: int = 1_100
    """Sub-workflows in one another."""
    variables_bytes_max: int = 256 * 1024
    """All variables of one workflow, as JSON. Source: Conductor's SET_VARIABLE."""
    messages_max: int = 1_000
    """Messages that wait in one workflow. Source: Conductor's `maxQueueSize`."""
    messages_bytes_max: int = 1024 * 1024
    """All messages that wait in one workflow, as JSON."""


class Listeners(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server tells of changes of status, "" for nowhere; see `engine.sinks`.

    `workflow_sink` is for workflows whose definition enables a listener and names no sink, `task_sink` for all tasks
    but those whose task definition does not want one.
    """

    workflow_sink: str = ""
    task_sink: str = ""


NO_LISTENERS: Final = Listeners()


NO_VALIDATOR: Final = NoValidator()
NO_CACHE: Final = NoCache()


class DecideContext(msgspec.Struct, frozen=True, kw_only=True):
    """What is known besides the state and the command.

    `now_ms` is the instant of the decision, epoch milliseconds; `noise` a number in [0, 1) for the jitter of retries.
    """

    now_ms: int
    definitions: DefinitionSource
    limits: EngineLimits = EngineLimits()
    noise: float = 0.0
    schemas: SchemaValidator = NO_VALIDATOR
    cache: OutputCache = NO_CACHE
    listeners: Listeners = NO_LISTENERS
