"""What a table of workflows holds, and in which form."""

import pytest

from engine.definitions import WorkflowDef
from engine.ids import WorkflowId
from engine.model import WorkflowState
from engine.testing import Scenario
from streams.partition import table as table_module
from streams.partition.table import WorkflowTable
from tests.engine.building import fork, join, switch, task

FLOW = WorkflowDef(
    name="flow",
    tasks=(
        task("first"),
        fork("fork", [task("left"), switch("pick", "a", {"a": [task("chosen")]})], [task("right", retry_count=2)]),
        join("join", "pick", "right"),
        task("last"),
    ),
    variables={"text": "é🎬", "nested": {"list": [1, 2.5, None, True]}},
)


def states() -> list[WorkflowState]:
    """Return one workflow at each of its moments."""
    scenario = Scenario(FLOW)
    scenario.start({"case": {"deep": ["x"]}})
    found = [scenario.state]
    for step in (
        lambda: scenario.complete("first", {"n": 1}),
        lambda: scenario.fail("right", "once"),
        lambda: scenario.wait(61_000),
        lambda: scenario.complete("left"),
        lambda: scenario.complete("right", {"ok": "é"}),
        lambda: scenario.complete("chosen"),
        lambda: scenario.complete("last"),
    ):
        step()
        found.append(scenario.state)
    return found


@pytest.mark.parametrize("state", states(), ids=lambda state: f"version {state.version}")
def test_a_packed_workflow_is_the_same_workflow(state: WorkflowState) -> None:
    """At each moment of its life, packing loses nothing."""
    table = WorkflowTable()
    table.put(state)
    packed = table.packed(state.workflow_id)
    assert packed is not None
    again = WorkflowTable()
    again.put_packed(state.workflow_id, packed)
    assert again.packed(state.workflow_id) == packed
    assert again.peek(state.workflow_id) == state
    assert again.get(state.workflow_id) == state


def some(count: int) -> list[WorkflowState]:
    """Return so many workflows."""
    found = []
    for number in range(count):
        scenario = Scenario(FLOW, workflow_id=f"w{number}")
        scenario.start({"case": number})
        found.append(scenario.state)
    return found


@pytest.mark.parametrize("hot_max", [1, 3, 10, 25])
def test_no_more_than_hot_max_workflows_are_held_unpacked(hot_max: int) -> None:
    """Beyond it the oldest are packed, and every workflow is still there."""
    table = WorkflowTable(hot_max=hot_max)
    made = some(40)
    for state in made:
        table.put(state)
    assert len(table._hot) <= hot_max  # noqa: SLF001 - the bound is about the inside
    assert len(table) == 40
    assert [table.get(state.workflow_id) for state in made] == made
    assert len(table._hot) <= hot_max  # noqa: SLF001 - likewise
    assert sorted(table.ids()) == sorted(state.workflow_id for state in made)


def test_states_of_idle_workflows_can_be_looked_at_without_making_them_busy() -> None:
    """A list of everything, or a look at one, does not drive out what is in use."""
    table = WorkflowTable(hot_max=3)
    made = some(10)
    for state in made:
        table.put(state)
    hot = set(table._hot)  # noqa: SLF001 - what is busy is inside
    assert sorted(table.states(), key=lambda state: state.workflow_id) == sorted(
        made, key=lambda state: state.workflow_id
    )
    assert table.peek(made[0].workflow_id) == made[0]
    assert set(table._hot) == hot  # noqa: SLF001 - likewise


def test_a_newer_state_replaces_a_packed_one() -> None:
    """There is one truth about a workflow, the newest that was put."""
    before, after = states()[:2]
    table = WorkflowTable()
    table.put(before)
    table.put_packed(before.workflow_id, table.packed(before.workflow_id) or b"")
    table.put(after)
    assert table.get(after.workflow_id) == after
    assert len(table) == 1
    table.drop(after.workflow_id)
    assert after.workflow_id not in table
    assert table.get(after.workflow_id) is None


def test_ended_ids_are_bounded_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is remembered for long, not for ever; being seen again makes an id new."""
    monkeypatch.setattr(table_module, "ENDED_IDS_MAX", 3)
    table = WorkflowTable()
    for name in ("a", "b", "c", "a", "d"):
        table.note_ended(WorkflowId(name))
    assert [name for name in "abcd" if table.has_ended(WorkflowId(name))] == ["a", "c", "d"]
