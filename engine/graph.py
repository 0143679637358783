"""A workflow definition, compiled for walking.

Holds one node per task of the definition, found by its reference name, with everything a step needs precomputed: what
follows it, what encloses it, the task definition that holds for it. Must not know a running workflow. Keeps the
invariant that a step costs a look-up, however large the definition is.

How the walk goes: a list runs in order; the end of a SWITCH case climbs to what follows the SWITCH; the end of a FORK
branch climbs nowhere (its JOIN notices), nor does that of a loop's body (the loop notices); the end of the outermost
list is the end of the workflow.

Source: Conductor's `WorkflowTask.next`, `MetadataMapperService`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.context import DefinitionSource
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.errors import InvariantViolated
from engine.events import WorkflowStarted
from engine.ids import DefinitionHash, RefName
from engine.json_value import JsonObject
from engine.place import OUTSIDE, Place, without_pass

GRAPHS_MAX: Final = 4_096
"""Compiled definitions kept in memory; about 5 KB each for ten tasks."""

OUTERMOST: Final = RefName("")
FORKS: Final = frozenset({"FORK_JOIN", "FORK_JOIN_DYNAMIC"})


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the definition, where it stands in it and, once `placed`, where it runs.

    `ref` is its name in the definition, `at` the one it runs under. `following` is what the walk enters after it, None
    at the end of a branch, of a loop's body or of the workflow. `scope` is the innermost FORK or loop around it, under
    the name which that runs under; `within_loop` says that it is a loop. For a FORK, `join` is its JOIN; for a JOIN,
    `fork` is the FORK whose branches it awaits; for a loop, `head` is where its body begins. `depth` counts the loops
    around it. `task_definition` is None where none is registered and the defaults hold; `definition_hash` names it
    where it was looked up only now.
    """

    ref: RefName
    at: RefName
    task: WorkflowTask
    following: RefName | None
    scope: RefName
    join: RefName | None
    fork: RefName | None
    task_definition: TaskDef | None
    head: RefName | None = None
    depth: int = 0
    within_loop: bool = False
    place: Place = OUTSIDE
    definition_hash: DefinitionHash | None = None

    def placed(self, place: Place) -> "Node":
        """Return this task of the definition as it runs at a place."""
        around = place.outer_suffix(self.depth - 1) if self.within_loop else place.suffix
        scope = RefName(self.scope + around) if self.scope else OUTERMOST
        return replace(self, at=RefName(self.ref + place.suffix), scope=scope, place=place)


class Graph:
    """A compiled definition with the task definitions that it was started with."""

    def __init__(self, definition: WorkflowDef, task_definitions: Mapping[str, TaskDef]) -> None:
        """Compile. The definition is valid: reference names are unique, each FORK is followed by its JOIN."""
        self.definition = definition
        self.nodes: dict[RefName, Node] = {}
        self._inside: dict[RefName, tuple[RefName, ...]] = {}
        self.may_fail_late = any(
            task.permissive or task.type == "FORK_JOIN_DYNAMIC" for task in all_tasks(definition.tasks)
        )
        self.announces_tasks = any(
            task.on_state_change or task.type == "FORK_JOIN_DYNAMIC" for task in all_tasks(definition.tasks)
        )
        self.announces = self.announces_tasks or definition.workflow_status_listener_enabled
        dynamic_forks = (task for task in all_tasks(definition.tasks) if task.type == "FORK_JOIN_DYNAMIC")
        first = next(dynamic_forks, None)
        self.first_dynamic_fork = None if first is None else first.task_reference_name
        self._task_definitions = task_definitions
        self.first = self._add_list(definition.tasks, _Surroundings(following=None, scope=OUTERMOST))

    def node(self, ref: RefName) -> Node:
        """Return the node of a reference name as it stands in the definition (without loop suffix)."""
        return self.nodes[ref]

    def is_inside(self, ref: RefName, scope: RefName) -> bool:
        """Tell whether a ref lies in a FORK or a loop, at whatever depth. One that is nowhere lies in every one."""
        node = self.nodes.get(ref)
        while node is not None and node.scope != scope:
            if node.scope == OUTERMOST:
                return False
            node = self.nodes[node.scope]
        return True

    def find(self, name: RefName) -> tuple[Node, int] | None:
        """Return the task that runs under a name, and the pass of the innermost loop around it (0 outside of loops)."""
        passes = 0
        innermost = 0
        ref = name
        while True:
            node = self.nodes.get(ref)
            if node is not None and node.depth == passes:
                return node, innermost
            stripped = without_pass(ref)
            if stripped is None:
                return None
            ref = stripped[0]
            passes += 1
            innermost = innermost or stripped[1]

    def refs_inside(self, loop: RefName) -> tuple[RefName, ...]:
        """Return the names of all tasks in a loop, those of loops in it too."""
        found = self._inside.get(loop)
        if found is None:
            body = all_tasks(self.nodes[loop].task.loop_over)
            found = self._inside[loop] = tuple(task.task_reference_name for task in body)
        return found

    def _add_list(self, tasks: Sequence[WorkflowTask], around: "_Surroundings") -> RefName | None:
        """Add a list and return where it is entered: at its first task, or at what follows if it is empty."""
        fork_of = {
            behind.task_reference_name: before.task_reference_name
            for before, behind in pairwise(tasks)
            if before.type in FORKS and behind.type == "JOIN"
        }
        join_of = {fork: join for join, fork in fork_of.items()}
        after = around.following
        for task in reversed(tasks):  # each needs to know what follows it
            ref = task.task_reference_name
            body = replace(around, following=None, scope=ref, depth=around.depth + 1, within_loop=True)
            self.nodes[ref] = Node(
                ref=ref,
                at=ref,
                task=task,
                following=after,
                scope=around.scope,
                join=join_of.get(ref),
                fork=fork_of.get(ref),
                task_definition=task.task_definition or self._task_definitions.get(task.name),
                head=self._add_list(task.loop_over, body) if task.loop_over else None,
                depth=around.depth,
                within_loop=around.within_loop,
            )
            for branch in task.fork_tasks:
                self._add_list(branch, replace(around, following=None, scope=ref, within_loop=False))
            for case in (*task.decision_cases.values(), task.default_case):
                self._add_list(case, replace(around, following=after))
            after = ref
        return after


class _Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all tasks of a list: what comes behind the last, and what is around them."""

    following: RefName | None
    scope: RefName
    depth: int = 0
    within_loop: bool = False


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

    def newest(self, name: str, version: int | None) -> Graph | None:
        """Return the graph that a workflow started now would run by; of the newest version if None is asked for."""
        found = self._definitions.find_workflow(name, version)
        if found is None:
            return None
        hashes = pins_of(found[1], found[0], self._definitions).task_definition_hashes
        definitions = {task: self._definitions.task_at(content) for task, content in hashes.items()}
        return Graph(found[1], {task: known for task, known in definitions.items() if known is not None})

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
        if not (task.fork_tasks or task.decision_cases or task.default_case or task.loop_over):
            continue  # every start of a workflow comes here, and most tasks hold no others
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
