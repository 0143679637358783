"""A registry of definitions in memory.

Holds what it is given; it must not validate, nor forget: a definition that was replaced is still found by its hash.
Keeps the invariant of every `DefinitionSource` that a hash leads to the same definition for ever.
"""

from engine.definitions import SchemaDef, TaskDef, WorkflowDef, definition_hash
from engine.ids import DefinitionHash


class Shelf:
    """Definitions in memory: a `DefinitionSource`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._workflows: dict[str, dict[int, DefinitionHash]] = {}
        self._tasks: dict[str, DefinitionHash] = {}
        self._workflow_at: dict[DefinitionHash, WorkflowDef] = {}
        self._task_at: dict[DefinitionHash, TaskDef] = {}
        self._schemas: dict[str, dict[int, SchemaDef]] = {}

    def add(self, *definitions: WorkflowDef | TaskDef | SchemaDef) -> None:
        """Register definitions; the same name and version again replaces."""
        for definition in definitions:
            if isinstance(definition, SchemaDef):
                self._schemas.setdefault(definition.name, {})[definition.version] = definition
                continue
            content = definition_hash(definition)
            if isinstance(definition, WorkflowDef):
                self._workflow_at[content] = definition
                self._workflows.setdefault(definition.name, {})[definition.version] = content
            else:
                self._task_at[content] = definition
                self._tasks[definition.name] = content

    def find_workflow(self, name: str, version: int | None) -> tuple[DefinitionHash, WorkflowDef] | None:
        """Return a registered workflow definition, the newest version if None is asked for."""
        versions = self._workflows.get(name)
        if not versions:
            return None
        content = versions.get(max(versions) if version is None else version)
        return None if content is None else (content, self._workflow_at[content])

    def workflow_at(self, definition_hash: DefinitionHash) -> WorkflowDef | None:
        """Return the workflow definition with this content."""
        return self._workflow_at.get(definition_hash)

    def find_task(self, name: str) -> tuple[DefinitionHash, TaskDef] | None:
        """Return the registered definition of a task."""
        content = self._tasks.get(name)
        return None if content is None else (content, self._task_at[content])

    def task_at(self, definition_hash: DefinitionHash) -> TaskDef | None:
        """Return the task definition with this content."""
        return self._task_at.get(definition_hash)

    def find_schema(self, name: str, version: int | None) -> SchemaDef | None:
        """Return a registered schema, the newest version if None is asked for."""
        versions = self._schemas.get(name)
        return None if not versions else versions.get(max(versions) if version is None else version)
