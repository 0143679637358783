"""Claims about EVENT: a message that Podium sends, once per attempt that it decided."""

import pytest

from engine.effects import DispatchTask
from engine.ids import TaskSeq
from engine.model import RunningTask
from engine.outward import standing_effects
from engine.scheduling import ENGINE_WORKER
from engine.status import TaskStatus
from engine.tasks.event import message_of
from engine.testing import Scenario
from tests.engine.building import fork, join, loop, output_of, started, switch, task, task_def


def _message(scenario: Scenario, ref: str = "e") -> dict[str, object]:
    found = scenario.task(ref)
    assert isinstance(found, RunningTask)
    return message_of(scenario.state, found)


def _acknowledged(scenario: Scenario, ref: str = "e", status: TaskStatus = TaskStatus.COMPLETED) -> None:
    message = _message(scenario, ref)
    scenario.report(ref, status, output=message, worker_id=ENGINE_WORKER, reason="it said so")


def test_event_is_dispatched_once_and_ends_when_its_sink_has_acknowledged() -> None:
    """Until then what follows it has to wait, and a crash sends it again."""
    scenario = started(task("e", "EVENT", sink="kafka:t"), task("after"))
    assert scenario.statuses() == {"e": "IN_PROGRESS"}
    assert scenario.effects == [DispatchTask(seq=TaskSeq(1))]
    assert standing_effects(scenario.state) == (DispatchTask(seq=TaskSeq(1)),)
    _acknowledged(scenario)
    assert scenario.open_refs() == ["after"]


def test_event_sends_its_input_and_what_names_its_workflow() -> None:
    """That is the task's output too, as in Conductor."""
    given = {"a": "${workflow.input.n}"}
    scenario = started(task("e", "EVENT", sink="kafka:t", input_parameters=given), n=7)
    _acknowledged(scenario)
    assert output_of(scenario, "e") == {
        "a": 7,
        "sink": "kafka:t",
        "asyncComplete": False,
        "workflowInstanceId": "wf",
        "workflowType": "flow",
        "workflowVersion": 1,
        "correlationId": None,
        "taskToDomain": {},
        "event_produced": "kafka:t",
    }
    assert scenario.status == "COMPLETED"


@pytest.mark.parametrize(
    ("sink", "name"),
    [
        ("conductor", "conductor:flow:e"),
        ("conductor:done", "conductor:flow:done"),
        ("kafka:a.b-c_1", "kafka:a.b-c_1"),
        ("${workflow.input.where}", "kafka:from-input"),
        ("kafka:${workflow.input.topic}", "kafka:mixed"),
    ],
)
def test_event_names_its_sink_in_full(sink: str, name: str) -> None:
    """An internal queue belongs to the workflow's name; an expression is resolved when the task is scheduled."""
    scenario = started(task("e", "EVENT", sink=sink), where="kafka:from-input", topic="mixed")
    assert _message(scenario)["event_produced"] == name


@pytest.mark.parametrize("sink", [None, "", 7, "topic", "sqs:q", "kafka:", "kafka:a b", "http://somewhere/", "x:y"])
def test_event_whose_sink_turns_out_to_be_none_fails_for_good(sink: object) -> None:
    """Another attempt would come to the same; the reason says what a sink is."""
    scenario = started(
        task("e", "EVENT", sink="${workflow.input.where}"), others=[task_def("e", retry_count=3)], where=sink
    )
    assert scenario.statuses() == {"e": "FAILED_WITH_TERMINAL_ERROR"}
    assert "kafka:" in scenario.task("e").progress.reason
    assert scenario.dispatched == set()


def test_event_with_async_complete_stays_open_after_its_acknowledgement() -> None:
    """It is not sent again, and somebody else ends the task."""
    scenario = started(task("e", "EVENT", sink="conductor", async_complete=True), task("after"))
    _acknowledged(scenario)
    assert scenario.open_refs() == ["e"]
    assert standing_effects(scenario.state) == ()
    scenario.update("e", TaskStatus.COMPLETED, {"done": True})
    assert output_of(scenario, "e")["done"] is True
    assert output_of(scenario, "e")["event_produced"] == "conductor:flow:e"
    assert scenario.open_refs() == ["after"]


def test_event_that_failed_is_retried_as_its_definition_says() -> None:
    """A further attempt is a further message, with an id of its own."""
    scenario = started(task("e", "EVENT", sink="kafka:t"), others=[task_def("e", retry_count=1, retry_delay_seconds=5)])
    _acknowledged(scenario, status=TaskStatus.FAILED)
    scenario.wait(5_000)
    assert scenario.dispatched == {2}
    _acknowledged(scenario)
    assert scenario.status == "COMPLETED"


def test_event_in_a_fork_a_switch_and_a_loop_is_sent_once_in_each() -> None:
    """Each pass is a message of its own; an internal queue has one name for all passes."""
    scenario = started(
        fork(
            "f", [task("a", "EVENT", sink="kafka:t")], [switch("s", "x", {"x": [task("b", "EVENT", sink="kafka:t")]})]
        ),
        join("j"),
        loop("l", "$.l.iteration < 2", task("c", "EVENT", sink="conductor")),
    )
    assert scenario.open_refs() == ["a", "j", "b"]
    _acknowledged(scenario, "a")
    _acknowledged(scenario, "b")
    for ref in ("c__1", "c__2"):
        assert _message(scenario, ref)["event_produced"] == "conductor:flow:c"
        _acknowledged(scenario, ref)
    assert scenario.status == "COMPLETED"


def test_event_with_a_start_delay_is_sent_when_it_is_over() -> None:
    """Not before."""
    scenario = started(task("e", "EVENT", sink="kafka:t", start_delay=2))
    assert scenario.dispatched == set()
    scenario.wait(2_000)
    assert scenario.dispatched == {1}


def test_event_that_a_dynamic_task_names_takes_its_sink_from_the_input() -> None:
    """The definition of a DYNAMIC task knows no sink of its own."""
    given = {"which": "EVENT", "sink": "kafka:t"}
    scenario = started(task("d", "DYNAMIC", dynamic_task_name_param="which", input_parameters=given))
    assert _message(scenario, "d")["event_produced"] == "kafka:t"
