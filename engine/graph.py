"""A workflow definition, compiled for walking.

Holds one node per task of the definition, found by its reference name, with everything a step needs precomputed: what follows
it, what encloses it, the task definition that holds for it. Must not know a running workflow. Keeps the invariant that a step
costs a look-up, however large the definition is.

How the walk goes: a list runs in order; the end of a SWITCH case climbs to what follows the SWITCH; the end of a FORK branch
climbs nowhere (its JOIN notices); the end of the outermost list is the end of the workflow.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.context import DefinitionSource
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.errors import InvariantViolated
from engine.events import WorkflowStarted
from engine.ids import DefinitionHash, RefName
from engine.json_value import JsonObject

GRAPHS_MAX: Final = 4_096
"""Compiled definitions kept in memory; about 5 KB each for ten tasks."""

OUTERMOST: Final = RefName("")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the definition and its place.

    `following` is what the walk enters after it, None at the end of a branch or of the workflow. `scope` is the innermost
    FORK around it. For a FORK, `join` is its JOIN; for a JOIN, `fork` is the FORK whose branches it awaits.
    `task_definition` is None where none is registered and the defaults hold.
    """

    ref: RefName
    task: WorkflowTask
    following: RefName | None
    scope: RefName
    join: RefName | None
    fork: RefName | None
    task_definition: TaskDef | None


class Graph:
    """A compiled definition with the task definitions that it was started with."""

    def __init__(self, definition: WorkflowDef, task_definitions: Mapping[str, TaskDef]) -> None:
        """Compile. The definition is valid: reference names are unique, each FORK is followed by its JOIN."""
        self.definition = definition
        self.nodes: dict[RefName, Node] = {}
        self.has_permissive = False
        self._task_definitions = task_definitions
        self.first = self._add_list(definition.tasks, following=None, scope=OUTERMOST)

    def node(self, ref: RefName) -> Node:
        """Return the node of a reference name as it stands in the definition (without loop suffix)."""
        return self.nodes[ref]

    def _add_list(
        self, tasks: Sequence[WorkflowTask], *, following: RefName | None, scope: RefName
    ) -> RefName | None:
        """Add a list, last task first (each needs to know what follows it), and return where it is entered."""
        after = following
        behind: WorkflowTask | None = None
        ahead_of: dict[RefName, RefName] = {}
        for before, task in zip(tasks, tasks[1:], strict=False):
            ahead_of[task.task_reference_name] = before.task_reference_name
        for task in reversed(tasks):
            self._add(task, following=after, scope=scope, behind=behind, ahead=ahead_of)
            after = task.task_reference_name
            behind = task
        return after

    def _add(
        self,
        task: WorkflowTask,
        *,
        following: RefName | None,
        scope: RefName,
        behind: WorkflowTask | None,
        ahead: Mapping[RefName, RefName],
    ) -> None:
        ref = task.task_reference_name
        is_fork = task.type == "FORK_JOIN"
        is_join = task.type == "JOIN"
        self.has_permissive |= task.permissive
        self.nodes[ref] = Node(
            ref=ref,
            task=task,
            following=following,
            scope=scope,
            join=behind.task_reference_name if is_fork and behind is not None else None,
            fork=ahead.get(ref) if is_join else None,
            task_definition=task.task_definition or self._task_definitions.get(task.name),
        )
        for branch in task.fork_tasks:
            self._add_list(branch, following=None, scope=ref)
        for case in (*task.decision_cases.values(), task.default_case):
            self._add_list(case, following=following, scope=scope)


class Graphs:
    """The compiled definitions of one process: a cache, so that a decision never compiles twice."""

    def __init__(self, definitions: DefinitionSource) -> None:
        """Compile from `definitions`, which must find by hash whatever a running workflow names."""
        self._definitions = definitions
        self._graphs: dict[tuple[DefinitionHash, tuple[DefinitionHash, ...]], Graph] = {}

    def of(self, started: WorkflowStarted) -> Graph:
        """Return the graph that a workflow runs by.

        Raises:
            InvariantViolated: a definition that the workflow names is nowhere to be found.
        """
        key = (started.definition_hash, tuple(started.task_definition_hashes.values()))
        graph = self._graphs.get(key)
        if graph is None:
            if len(self._graphs) >= GRAPHS_MAX:
                self._graphs.clear()
            graph = self._graphs[key] = self._compile(started)
        return graph

    def _compile(self, started: WorkflowStarted) -> Graph:
        if started.definition is not None:
            definition: WorkflowDef | None = inline_definition(started.definition)
        else:
            definition = self._definitions.workflow_at(started.definition_hash)
        if definition is None:
            raise InvariantViolated(_lost("workflow definition", started.definition_hash, started))
        task_definitions: dict[str, TaskDef] = {}
        for name, task_hash in started.task_definition_hashes.items():
            task_definition = self._definitions.task_at(task_hash)
            if task_definition is None:
                raise InvariantViolated(_lost(f"definition of task {name}", task_hash, started))
            task_definitions[name] = task_definition
        return Graph(definition, task_definitions)


def task_names(tasks: Sequence[WorkflowTask]) -> list[str]:
    """Return the names of all tasks of a list and of what is nested in them, each once, in order of appearance."""
    names: dict[str, None] = {}
    waiting = list(reversed(tasks))
    while waiting:
        task = waiting.pop()
        names[task.name] = None
        nested = [*task.fork_tasks, *task.decision_cases.values(), task.default_case, task.loop_over]
        for inner in reversed(nested):
            waiting.extend(reversed(inner))
    return list(names)


def inline_definition(definition: JsonObject) -> WorkflowDef:
    """Return the definition that came with a start request.

    Raises:
        msgspec.ValidationError: it is not a workflow definition; says where.
    """
    return msgspec.convert(definition, WorkflowDef, strict=False)


def pinned_task_definitions(
    definition: WorkflowDef, definitions: DefinitionSource
) -> dict[str, DefinitionHash]:
    """Return the hashes of the task definitions that hold for a workflow which starts now, by task name."""
    pinned: dict[str, DefinitionHash] = {}
    for name in task_names(definition.tasks):
        found = definitions.find_task(name)
        if found is not None:
            pinned[name] = found[0]
    return pinned


def _lost(what: str, name: DefinitionHash, started: WorkflowStarted) -> str:
    return (
        f"the {what} with hash {name}, which workflow {started.workflow_id} runs by, is not in the registry"
    )
