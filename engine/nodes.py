"""From an attempt to its task of the definition.

Holds the look-ups for tasks in loops and in the branches of dynamic forks, which no definition holds. Must not
schedule. Keeps the invariant that a look-up costs the same in any pass and in any branch.
"""

from msgspec.structs import replace

from engine.branches import branch
from engine.context import DefinitionSource
from engine.events import TaskScheduled
from engine.graph import Graph, Node
from engine.ids import DefinitionHash, RefName
from engine.model import WorkflowState
from engine.place import OUTSIDE, Place, place_of


def node_of(graph: Graph, state: WorkflowState, spec: TaskScheduled) -> Node:
    """Return the task of the definition that an attempt is of, placed.

    That of a branch of a dynamic fork has no task definition, unless one came with it: `dynamic_definition_hash` of
    the attempt names it.
    """
    if not spec.iteration and not spec.forked_by:
        return graph.nodes[spec.node]
    return node_at(graph, state, spec.node, place_of(spec))


def node_at(graph: Graph, state: WorkflowState, ref: RefName, place: Place) -> Node:
    """Return a task of the definition, or of a branch, placed."""
    if place is OUTSIDE:
        return graph.nodes[ref]
    if not place.forked_by:
        return graph.nodes[ref].placed(place)
    fork = state.tasks[place.forked_by].spec
    fork_node = graph.nodes[fork.node]
    task = branch(fork_node.task, fork.input, place.branch)
    return Node(
        ref=ref,
        at=RefName(ref + place.suffix),
        task=task,
        following=None,
        scope=fork.ref,
        join=None,
        fork=None,
        task_definition=task.task_definition,
        depth=fork_node.depth,
        place=place,
    )


def with_task_definition(node: Node, definitions: DefinitionSource) -> Node:
    """Return a branch of a dynamic fork with the task definition that is registered for it now."""
    if node.task_definition is not None:
        return node
    found = definitions.find_task(node.task.name)
    if found is None:
        return replace(node, definition_hash=DefinitionHash(""))
    return replace(node, task_definition=found[1], definition_hash=found[0])


def running_name(graph: Graph, node: Node, ref: RefName) -> RefName:
    """Return the name under which a task runs that is in the same loops as `node`, or in fewer."""
    other = graph.nodes.get(ref)
    depth = node.depth if other is None else other.depth
    return RefName(ref + node.place.outer_suffix(depth))
