"""A workflow definition, compiled for walking.

Holds one node per task of the definition, found by its reference name, with everything a step needs precomputed: what
follows it, what encloses it, the task definition that holds for it. Must not know a running workflow. Keeps the
invariant that a step costs a look-up, however large the definition is.

How the walk goes: a list runs in order; the end of a SWITCH case climbs to what follows the SWITCH; the end of a FORK
branch climbs nowhere (its JOIN notices); the end of the outermost list is the end of the workflow.

Source: Conductor's `WorkflowTask.next`, `MetadataMapperService`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
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

    `following` is what the walk enters after it, None at the end of a branch or of the workflow. `scope` is the
    innermost FORK around it. For a FORK, `join` is its JOIN; for a JOIN, `fork` is the FORK whose branches it awaits.
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
        self.has_permissive = any(task.permissive for task in all_tasks(definition.tasks))
        self._task_definitions = task_definitions
        self.first = self._add_list(definition.tasks, following=None, scope=OUTERMOST)

    def node(self, ref: RefName) -> Node:
        """Return the node of a reference name as it stands in the definition (without loop suffix)."""
        return self.nodes[ref]

    def is_inside(self, ref: RefName, scope: RefName) -> bool:
        """Tell whether a ref lies in a branch of a FORK, at whatever depth. One that is nowhere lies in every FORK."""
        node = self.nodes.get(ref)
        while node is not None and node.scope != scope:
            if node.scope == OUTERMOST:
                return False
            node = self.nodes[node.scope]
        return True

    def _add_list(self, tasks: Sequence[WorkflowTask], *, following: RefName | None, scope: RefName) -> RefName | None:
        """Add a list and return where it is entered: at its first task, or at what follows if it is empty."""
        fork_of = {
            behind.task_reference_name: before.task_reference_name
            for before, behind in pairwise(tasks)
            if before.type == "FORK_JOIN" and behind.type == "JOIN"
        }
        join_of = {fork: join for join, fork in fork_of.items()}
        after = following
        for task in reversed(tasks):  # each needs to know what follows it
            ref = task.task_reference_name
            self.nodes[ref] = Node(
                ref=ref,
                task=task,
                following=after,
                scope=scope,
                join=join_of.get(ref),
                fork=fork_of.get(ref),
                task_definition=task.task_definition or self._task_definitions.get(task.name),
            )
            for branch in task.fork_tasks:
                self._add_list(branch, following=None, scope=ref)
            for case in (*task.decision_cases.values(), task.default_case):
                self._add_list(case, following=after, scope=scope)
            after = ref
        return after


class Graphs:
    """The compiled definitions of one process: a cache, so that a decision never compiles twice."""

    def __init__(self, definitions: DefinitionSource) -> None:
        """Compile from `definitions`, which must find by hash whatever a running workflow names."""
        self._definitions = definitions
        self._graphs: dict[str, Graph] = {}

    def of(self, started: WorkflowStarted) -> Graph:
        """Return the graph that a workflow runs by.

        Raises:
            InvariantViolated: a definition that the workflow names is nowhere to be found.
        """
        key = started.graph_key or graph_key(started.definition_hash, started.task_definition_hashes)
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


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow that starts now runs by, besides its own definition, however long it runs.

    `task_definition_hashes` by task name; `sub_workflow_versions` by the name of each sub-workflow that the
    definition names without a version. What is not registered is in neither.
    """

    task_definition_hashes: dict[str, DefinitionHash]
    sub_workflow_versions: dict[str, int]
    graph_key: str


def pins_of(definition: WorkflowDef, definition_hash: DefinitionHash, definitions: DefinitionSource) -> Pins:
    """Return what holds for a workflow of this definition if it starts now."""
    task_hashes: dict[str, DefinitionHash] = {}
    versions: dict[str, int] = {}
    for task in all_tasks(definition.tasks):
        if task.name not in task_hashes:
            found = definitions.find_task(task.name)
            if found is not None:
                task_hashes[task.name] = found[0]
        child = task.sub_workflow_param
        if child is not None and child.version is None and child.workflow_definition is None:
            newest = definitions.find_workflow(child.name, None)
            if newest is not None:
                versions[child.name] = newest[1].version
    return Pins(
        task_definition_hashes=task_hashes,
        sub_workflow_versions=versions,
        graph_key=graph_key(definition_hash, task_hashes),
    )


def graph_key(definition_hash: DefinitionHash, task_definition_hashes: Mapping[str, DefinitionHash]) -> str:
    """Return one name for a workflow definition together with the task definitions that hold for it."""
    if not task_definition_hashes:
        return definition_hash
    pinned = "\0".join((definition_hash, *task_definition_hashes.values()))
    return hashlib.blake2b(pinned.encode(), digest_size=16).hexdigest()


def all_tasks(tasks: Sequence[WorkflowTask]) -> Iterator[WorkflowTask]:
    """Yield the tasks of a list, and what is nested in each right after it."""
    waiting = list(reversed(tasks))
    while waiting:
        task = waiting.pop()
        yield task
        nested = [*task.fork_tasks, *task.decision_cases.values(), task.default_case, task.loop_over]
        for inner in reversed(nested):
            waiting.extend(reversed(inner))


def inline_definition(definition: JsonObject) -> WorkflowDef:
    """Return the definition that came with a start request.

    Raises:
        msgspec.ValidationError: it is not a workflow definition; says where.
    """
    return msgspec.convert(definition, WorkflowDef, strict=False)


def _lost(what: str, name: DefinitionHash, started: WorkflowStarted) -> str:
    return f"the {what} with hash {name}, which workflow {started.workflow_id} runs by, is not in the registry"
