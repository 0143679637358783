"""Claims about masked fields: nothing of them is shown, and what the engine goes on with is whole."""

import msgspec

from engine.commands import UpgradeWorkflow
from engine.events import WorkflowStarted
from engine.json_value import JsonObject
from engine.testing import Scenario
from streams.history.rows import execution_row, task_row
from streams.kept_outputs import KeptOutputs
from streams.masking import MASK, masked
from streams.partition.performing import perform
from streams.partition.timers import Timers
from streams.partition.turn import Outbox
from tests.engine.building import task, workflow

SECRET = "4111-1111"


def test_field_is_masked_wherever_its_name_occurs() -> None:
    """In objects, in lists of them, and whatever its value is; other fields stay, and the original does too."""
    value = {"card": {"n": 1}, "a": [{"card": SECRET, "b": 2}, [{"card": None}]], "cards": 3}
    expected = {"card": MASK, "a": [{"card": MASK, "b": 2}, [{"card": MASK}]], "cards": 3}
    assert masked(value, ("card",)) == expected
    assert value["card"] == {"n": 1}


def test_object_without_masked_fields_is_given_back_itself() -> None:
    """Most definitions mask nothing."""
    value = {"a": 1}
    assert masked(value, ()) is value


def test_worker_gets_what_people_do_not_see() -> None:
    """The masked fields stand in the event, so that whoever shows the workflow knows them; the input is whole."""
    scenario = Scenario(
        workflow(task("pay", input_parameters={"card": "${workflow.input.card}"}), masked_fields=("card",))
    )
    scenario.start({"card": SECRET})
    begun = scenario.events[0]
    assert isinstance(begun, WorkflowStarted)
    assert begun.masked_fields == ("card",)
    assert scenario.task("pay").spec.input == {"card": SECRET}


def test_restart_takes_the_masked_fields_of_its_definition() -> None:
    """They may have been forgotten at first."""
    scenario = Scenario(workflow(task("pay")))
    scenario.start({"card": SECRET})
    scenario.terminate()
    scenario.shelf.add(workflow(task("pay"), version=2, masked_fields=("card",)))
    scenario.restart(use_latest_definitions=True)
    assert scenario.state.started.masked_fields == ("card",)


def test_other_versions_and_reruns_keep_to_the_masked_fields_of_their_definition() -> None:
    """An upgrade takes those of the new version; a rerun from the beginning keeps those that are there."""
    scenario = Scenario(workflow(task("pay")))
    scenario.start({"card": SECRET})
    scenario.shelf.add(workflow(task("pay"), version=2, masked_fields=("card",)))
    scenario.when(UpgradeWorkflow(workflow_id=scenario.workflow_id, version=2))
    assert scenario.state.started.masked_fields == ("card",)
    scenario.complete("pay")
    scenario.rerun()
    assert scenario.state.started.masked_fields == ("card",)


def test_listeners_do_not_see_what_is_masked() -> None:
    """They are told of outputs, and are not the workers that a masked field is for."""
    tell: JsonObject = {"onSuccess": [{"type": "paid", "payload": {"card": "${pay.output.card}", "n": 1}}]}
    flow = workflow(
        task("pay", on_state_change=tell),
        masked_fields=("card",),
        workflow_status_listener_enabled=True,
        workflow_status_listener_sink="conductor:told",
    )
    scenario = Scenario(flow)
    scenario.start()
    scenario.complete("pay", {"card": SECRET, "ok": True})
    outbox, timers = Outbox(), Timers()
    for effect in scenario.effects:
        perform(effect, scenario.state, outbox=outbox, timers=timers, outputs=KeptOutputs())
    payloads = [message.payload for _, message in outbox.messages]
    assert SECRET not in repr(payloads)
    assert [payload.get("payload") or payload["output"] for payload in payloads] == [
        {"card": MASK, "n": 1},
        {"card": MASK, "ok": True},
    ]


def test_rows_of_workflows_and_tasks_are_masked() -> None:
    """What analysts and searches read."""
    scenario = Scenario(
        workflow(task("pay", input_parameters={"card": "${workflow.input.card}"}), masked_fields=("card",))
    )
    scenario.start({"card": SECRET, "n": 1})
    scenario.complete("pay", {"card": SECRET})
    state = scenario.state
    rows = [
        execution_row(state, created_at_ms=1, position=1, partition=0),
        task_row(state.started, scenario.task("pay"), created_at_ms=1, event_version=1),
    ]
    assert SECRET not in repr(rows)
    shown = rows[0][-2]
    assert isinstance(shown, bytes)
    assert msgspec.json.decode(shown) == {"card": MASK, "n": 1}
