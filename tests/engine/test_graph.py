"""Claims about compiled definitions."""

import pytest

from engine.errors import InvariantViolated
from engine.graph import Graph, Graphs, all_tasks, graph_key
from engine.ids import DefinitionHash, RefName
from engine.testing import Shelf
from tests.engine.building import fork, join, started, switch, task, task_def, workflow

NESTED = workflow(
    task("a"),
    switch("s", "x", {"x": [task("x1"), task("x2")], "y": []}, [task("d")]),
    fork("f", [task("b1"), fork("g", [task("c")]), join("h")], [switch("t", "z", {"z": [task("z")]})]),
    join("j"),
    task("e"),
)


def _graph() -> Graph:
    return Graph(NESTED, {})


@pytest.mark.parametrize(
    ("ref", "following", "scope"),
    [
        ("a", "s", ""),
        ("s", "f", ""),
        ("x1", "x2", ""),
        ("x2", "f", ""),
        ("d", "f", ""),
        ("f", "j", ""),
        ("b1", "g", "f"),
        ("g", "h", "f"),
        ("c", None, "g"),
        ("h", None, "f"),
        ("t", None, "f"),
        ("z", None, "f"),
        ("j", "e", ""),
        ("e", None, ""),
    ],
)
def test_node_knows_what_follows_and_what_is_around(ref: str, following: str | None, scope: str) -> None:
    """Lists run on, cases climb to what follows their SWITCH, branches end."""
    node = _graph().node(RefName(ref))
    assert (node.following, node.scope) == (following, scope)


def test_fork_and_join_know_each_other() -> None:
    """A JOIN belongs to the FORK right before it; another one stands alone."""
    graph = Graph(workflow(fork("f", [task("a")]), join("j"), join("k"), task("b"), join("m")), {})
    assert (graph.node(RefName("f")).join, graph.node(RefName("j")).fork) == ("j", "f")
    assert [graph.node(RefName(ref)).fork for ref in ("k", "m")] == [None, None]


@pytest.mark.parametrize(
    ("ref", "scope", "expected"),
    [("b1", "f", True), ("c", "f", True), ("z", "f", True), ("b1", "g", False), ("a", "f", False), ("?", "f", True)],
)
def test_is_inside_looks_at_every_depth(ref: str, scope: str, expected: bool) -> None:  # noqa: FBT001
    """A ref that no definition has can come from nowhere, so nobody outside can bring it."""
    assert _graph().is_inside(RefName(ref), RefName(scope)) is expected


def test_all_tasks_yields_each_task_once_in_order() -> None:
    """What is nested comes right after what holds it."""
    refs = [found.task_reference_name for found in all_tasks(NESTED.tasks)]
    assert refs == ["a", "s", "x1", "x2", "d", "f", "b1", "g", "c", "h", "t", "z", "j", "e"]


def test_graphs_compiles_a_definition_once() -> None:
    """Two runs by the same definitions run by the same graph; another task definition makes another graph."""
    scenario = started(task("a"), others=[task_def("a")])
    began = [scenario.state.started]
    for definition in (task_def("a"), task_def("a", retry_count=9)):
        scenario.shelf.add(definition)
        scenario.terminate()
        scenario.restart(use_latest_definitions=True)
        began.append(scenario.state.started)
    graphs = Graphs(scenario.shelf)
    assert graphs.of(began[0]) is graphs.of(began[1])
    assert graphs.of(began[2]) is not graphs.of(began[0])


def test_graph_key_is_recomputed_where_an_event_has_none() -> None:
    """The key is an abbreviation of what the event says anyway."""
    began = started(task("a"), others=[task_def("a")]).state.started
    assert graph_key(began.definition_hash, began.task_definition_hashes) == began.graph_key
    assert graph_key(began.definition_hash, {}) == began.definition_hash


@pytest.mark.parametrize("lost", ["workflow", "task"])
def test_graphs_without_a_definition_that_a_workflow_names_stops(lost: str) -> None:
    """A registry that has lost what the log needs is a defect, told with the hash and the workflow."""
    began = started(task("a"), others=[task_def("a")]).state.started
    shelf = Shelf()
    if lost == "task":
        shelf.add(workflow(task("a")))
    wanted = began.definition_hash if lost == "workflow" else began.task_definition_hashes["a"]
    with pytest.raises(InvariantViolated, match=f"{wanted}, which workflow wf runs by"):
        Graphs(shelf).of(began)
    assert wanted != DefinitionHash("")
