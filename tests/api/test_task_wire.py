"""How `streams.task_wire` shows attempts, on states that the real engine made."""

import orjson
import pytest

from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.graph import Graphs
from engine.ids import RefName
from engine.json_value import JsonObject
from engine.status import TaskStatus
from engine.testing import Scenario
from streams.task_wire import claimed, definition_json, render_task

GREET = WorkflowDef(
    name="greetings",
    version=3,
    tasks=(WorkflowTask(name="greet", task_reference_name=RefName("greet_ref"), input_parameters={"x": 1}),),
)
INTEGERS = (
    "seq",
    "retryCount",
    "pollCount",
    "iteration",
    "scheduledTime",
    "startTime",
    "endTime",
    "updateTime",
    "firstStartTime",
    "queueWaitTime",
    "startDelayInSeconds",
    "callbackAfterSeconds",
    "responseTimeoutSeconds",
    "workflowPriority",
    "rateLimitPerFrequency",
    "rateLimitFrequencyInSeconds",
)


def shown(scenario: Scenario, ref: str) -> JsonObject:
    """Return the newest attempt of a ref as the wire shows it."""
    task = scenario.task(ref)
    node = Graphs(scenario.shelf).of(scenario.state.started).node(task.spec.node)
    return render_task(scenario.state, task, node.task, node.task_definition)


def test_scheduled_task_is_shown_as_workers_expect_it() -> None:
    """Ids, names, counts and times of a fresh attempt, and the definition that it came from."""
    scenario = Scenario(GREET, TaskDef(name="greet", response_timeout_seconds=20))
    scenario.start({"a": 1}, correlation_id="c-1", priority=7)
    wire = shown(scenario, "greet_ref")
    expected = {
        "taskId": "wf~1",
        "workflowInstanceId": "wf",
        "workflowType": "greetings",
        "taskType": "greet",
        "taskDefName": "greet",
        "referenceTaskName": "greet_ref",
        "status": "SCHEDULED",
        "correlationId": "c-1",
        "workflowPriority": 7,
        "inputData": {"x": 1},
        "outputData": {},
        "seq": 1,
        "retryCount": 0,
        "pollCount": 0,
        "scheduledTime": scenario.now_ms,
        "startTime": 0,
        "endTime": 0,
        "queueWaitTime": 0,
        "responseTimeoutSeconds": 20,
        "loopOverTask": False,
        "callbackFromWorker": True,
    }
    assert {name: wire[name] for name in expected} == expected
    assert wire["workflowTask"]["taskDefinition"]["responseTimeoutSeconds"] == 20


def test_no_field_is_null_and_times_are_integers() -> None:
    """One null or one float in a batch makes the Python client drop all of it."""
    scenario = Scenario(GREET)
    scenario.start()
    scenario.fail("greet_ref", "no")
    for seq in scenario.state.tasks:
        wire = render_task(scenario.state, scenario.state.tasks[seq], GREET.tasks[0], None)
        assert None not in wire.values()
        assert all(type(wire[name]) is int for name in INTEGERS)


def test_task_that_nobody_defined_shows_the_defaults_that_hold_for_it() -> None:
    """At execution time the definition is there, also where none was registered."""
    scenario = Scenario(GREET)
    scenario.start()
    definition = shown(scenario, "greet_ref")["workflowTask"]["taskDefinition"]
    assert (definition["name"], definition["retryCount"], definition["responseTimeoutSeconds"]) == ("greet", 3, 3600)
    assert "taskDefinition" not in definition_json(GREET)["tasks"][0]


def test_claimed_task_is_in_progress_for_its_worker() -> None:
    """A claim starts the clock, counts the poll, and leaves the original as it was."""
    scenario = Scenario(GREET)
    scenario.start()
    queued = shown(scenario, "greet_ref")
    before = orjson.dumps(queued)
    taken = claimed(queued, "w1", scenario.now_ms + 40)
    assert (taken["status"], taken["workerId"], taken["pollCount"]) == ("IN_PROGRESS", "w1", 1)
    assert (taken["startTime"], taken["updateTime"], taken["queueWaitTime"]) == (
        scenario.now_ms + 40,
        scenario.now_ms + 40,
        40,
    )
    assert orjson.dumps(queued) == before


def test_task_given_back_and_claimed_again_keeps_its_first_start() -> None:
    """IN_PROGRESS gives the attempt back: same id, one poll more, and the delay is over once it is claimed."""
    scenario = Scenario(GREET)
    scenario.start()
    scenario.report("greet_ref", TaskStatus.IN_PROGRESS, output={"done": 10}, callback_after_seconds=5)
    given_back = shown(scenario, "greet_ref")
    assert (given_back["status"], given_back["callbackAfterSeconds"]) == ("SCHEDULED", 5)
    assert given_back["outputData"] == {"done": 10}
    taken = claimed(given_back, "w1", scenario.now_ms + 5_000)
    assert taken["taskId"] == "wf~1"
    assert taken["callbackAfterSeconds"] == 0
    assert taken["startTime"] == given_back["startTime"]


def test_failed_attempt_and_its_retry_name_each_other() -> None:
    """The old attempt is `retried`, the new one says which it follows and when it may be handed out."""
    scenario = Scenario(GREET, TaskDef(name="greet", retry_count=1, retry_delay_seconds=30))
    scenario.start()
    scenario.fail("greet_ref", "no luck")
    first = render_task(scenario.state, scenario.state.tasks[1], GREET.tasks[0], None)  # type: ignore[index]
    second = shown(scenario, "greet_ref")
    assert (first["status"], first["retried"], first["reasonForIncompletion"]) == ("FAILED", True, "no luck")
    assert (second["retryCount"], second["retriedTaskId"], second["startDelayInSeconds"]) == (1, "wf~1", 30)
    assert second["firstStartTime"] == first["startTime"]


def test_ended_task_is_executed_and_shows_its_worker_and_output() -> None:
    """What a worker reported is what is shown."""
    scenario = Scenario(GREET)
    scenario.start()
    scenario.complete("greet_ref", {"result": "Hello"})
    wire = shown(scenario, "greet_ref")
    assert (wire["status"], wire["executed"], wire["retried"]) == ("COMPLETED", True, False)
    assert (wire["workerId"], wire["outputData"], wire["endTime"]) == ("w1", {"result": "Hello"}, scenario.now_ms)


@pytest.mark.parametrize(("domains", "domain"), [({}, None), ({"greet": "blue"}, "blue"), ({"*": "red"}, "red")])
def test_domain_is_shown_where_there_is_one(domains: dict[str, str], domain: str | None) -> None:
    """No domain means no field."""
    scenario = Scenario(GREET)
    scenario.start(task_to_domain=domains)
    assert shown(scenario, "greet_ref").get("domain") == domain


def test_fork_is_shown_under_conductors_name() -> None:
    """A FORK_JOIN of the definition is a FORK once it runs; its JOIN keeps its name."""
    definition = WorkflowDef(
        name="forked",
        tasks=(
            WorkflowTask(
                name="f",
                task_reference_name=RefName("f"),
                type="FORK_JOIN",
                fork_tasks=((WorkflowTask(name="a", task_reference_name=RefName("a")),),),
            ),
            WorkflowTask(name="j", task_reference_name=RefName("j"), type="JOIN", join_on=(RefName("a"),)),
        ),
    )
    scenario = Scenario(definition)
    scenario.start()
    assert (shown(scenario, "f")["taskType"], shown(scenario, "j")["taskType"]) == ("FORK", "JOIN")
